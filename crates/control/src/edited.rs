//! How an edit with a version ends, as an answer; and `If-Match`, which names the version it is based on.

use crate::respond::Refusal;
use axum::extract::FromRequestParts;
use claviger_domain::error::Code;
use claviger_domain::revocation::Epoch;
use claviger_storage::{self as storage, Edited};
use http::header;
use http::request::Parts;

/// The version that `If-Match` names; `None` without the header, or with `*`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let version = text.trim_matches('"').parse();
        version.map(|version| Self(Some(version))).map_err(|_| Refusal::invalid("If-Match", "the object's version"))
    }
}

/// The object and its epoch, or why nothing was changed. `refused` is what the object's state forbids.
pub(crate) fn settle<T>(edited: Edited<T>, refused: Code) -> Result<(T, Epoch), Refusal> {
    match edited {
        Edited::Done(object, epoch) => Ok((object, epoch)),
        Edited::Stale => Err(Code::VersionConflict.into()),
        Edited::Unknown => Err(Refusal::not_found()),
        Edited::Refused => Err(refused.into()),
    }
}

/// A write that may meet another object of the same name.
pub(crate) fn of_naming(cause: storage::Error, param: &str) -> Refusal {
    match cause {
        storage::Error::Conflict(_) => Refusal::from(Code::NameTaken).about(param),
        other => Refusal::of_write(other),
    }
}
