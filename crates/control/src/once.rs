//! `Idempotency-Key` of management acts (`wire.md` W31): the header, its scope, and what is running under it.
//!
//! What was done under one is kept by the store with the act itself; here stands only what runs in this process now.

use crate::authorize::Member;
use crate::body::Fields;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_storage::Once;
use http::request::Parts;

/// The header and the path it stands under.
#[derive(Clone, Debug)]
pub(crate) struct Idempotency {
    key: Option<String>,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path().to_owned();
        let key = claviger_wire::idempotency::key(&parts.headers)?;
        Ok(Self { key, path })
    }
}

impl Idempotency {
    /// Under what the act is done once; `None` without the header. The body counts as it was read, before handlers take
    /// its fields.
    pub(crate) fn of(self, call: &Call<Member>, fields: &Fields) -> Option<Once> {
        let (kind, id) = call.actor.attribution().actor.parts();
        Some(Once {
            principal: format!("{}:{kind}:{id}", call.actor.scope().0),
            path: self.path,
            key: self.key?,
            body_hash: fields.hash(),
            expires_at: call.now.wall.plus(limits::REPLAY),
        })
    }
}

/// An answer that was given before, without what was shown only once.
pub(crate) fn replayed(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert("idempotent-replayed", http::HeaderValue::from_static("true"));
    response
}

/// A place among the acts that run now; gone when it is dropped.
pub(crate) struct Running {
    control: Control,
    place: Option<(String, String, String)>,
}

impl Running {
    /// # Errors
    /// 409 when the same runs already.
    pub(crate) fn begin(control: &Control, once: Option<&Once>) -> Result<Self, Refusal> {
        let place = once.map(|once| (once.principal.clone(), once.path.clone(), once.key.clone()));
        if let Some(place) = &place
            && !control.running().lock().insert(place.clone())
        {
            return Err(Code::IdempotencyInProgress.into());
        }
        Ok(Self { control: control.clone(), place })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.control.running().lock().remove(place);
        }
    }
}
