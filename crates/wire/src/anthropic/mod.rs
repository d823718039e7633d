//! Endpoints in Anthropic's dialect (2.4): `messages`, and `messages/count_tokens`.
//!
//! The request's fields lie in one table, for both endpoints read the same body. Anthropic's three input numbers are
//! disjoint as they come; its figures on streams are cumulative.

mod answer;
mod ask;
mod count;
mod fields;
mod stream;
mod usage;

#[cfg(test)]
mod tests;

pub use ask::MessagesAsk;
pub use count::CountAsk;
pub(crate) use count::read_count;
