//! What an answer is called towards its caller, whatever its server calls it (W8, W13).
//!
//! An id of an upstream is everybody's who shares its credential, so it is never shown and never taken. What a caller's id
//! is bound to is not known here.

use crate::scan::quote_into;
use bytes::Bytes;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::ResponseId;

/// Which ids stand for which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerNames {
    /// What the answer is called.
    pub answer: ResponseId,
    /// What the answer that it goes on from is called where it is kept.
    pub previous_upstream: Option<String>,
}

/// What stands in an answer instead of its server's words, as JSON.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) model: Bytes,
    /// The answer's id; `None` = it is left alone, and so is the next.
    pub(super) id: Option<Bytes>,
    /// The answer that it goes on from.
    pub(super) previous: Bytes,
}

/// The answer that a request goes on from is not known: another's, nobody's, or no id at all.
pub fn no_previous() -> PublicError {
    let message = "No answer with this id is kept here. Send the whole conversation as 'input'.";
    PublicError::with_message(Code::NotFound, message).about("previous_response_id")
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    quote_into(&mut out, text);
    out.into()
}

/// What an answer is shown with.
pub(super) fn shown(model: Bytes, answer: Option<ResponseId>, previous: Option<&str>) -> Shown {
    let previous = previous.map_or_else(|| Bytes::from_static(b"null"), quoted);
    Shown { model, id: answer.map(|id| quoted(&id.text())), previous }
}
