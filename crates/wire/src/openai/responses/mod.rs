//! `responses` (2.3): what is read and edited of a request, answers whole and as typed events, and calls about answers
//! that are kept.
//!
//! Callers and upstreams have ids of their own for an answer; each is shown its own and never the other's (ADR 0067).

mod answer;
mod ask;
mod count;
mod fields;
mod kept;
mod names;
mod stream;

#[cfg(test)]
mod tests;

pub use ask::ResponsesAsk;
pub use count::{ConversationAsk, Purpose};
pub use kept::{KeptCall, KnownAs};
pub use names::{AnswerNames, no_previous};
