//! `chat/completions` (2.1): what is read and edited of a request, of a whole answer and of a stream of chunks.

mod answer;
mod ask;
mod bound;
mod edit;
mod fields;
mod mould;
mod reply;
mod stream;
mod tools;

#[cfg(test)]
mod tests;

pub use ask::ChatAsk;
pub use bound::ModelLimits;
pub use edit::Edits;
pub use reply::{ChatReply, read_reply};
pub use stream::{ChatStream, Content, DONE, StreamStep};

/// What an upstream said instead of an answer; for the record, never for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFault {
    /// Whether it named an error, or sent what is no answer.
    pub kind: FaultKind,
    /// Its words, cut to [`claviger_domain::limits::UPSTREAM_MESSAGE_BYTES`], or ours about what cannot be read.
    pub message: String,
}

/// How an upstream failed within a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It sent an error object or ended a choice with an error.
    Reported,
    /// It sent what is not an answer of this endpoint.
    Unreadable,
}

impl UpstreamFault {
    fn unreadable(message: &str) -> Self {
        Self { kind: FaultKind::Unreadable, message: message.to_owned() }
    }

    fn reported(document: &[u8]) -> Self {
        let said = crate::dialect::read_message(document);
        let message = match crate::error_body::cut_message(&said.message) {
            "" => "A choice ended with an error.",
            message => message,
        };
        Self { kind: FaultKind::Reported, message: message.to_owned() }
    }
}
