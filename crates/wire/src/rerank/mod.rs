//! `rerank` (`wire.md` §2.9, W17): documents put in the order in which they answer a query.
//!
//! Servers differ in path, in the name of the list and in the form of the answer; callers get one form that every
//! client reads. Nothing but scores and figures is taken from an answer: the documents are the caller's own.

mod ask;
mod reply;

#[cfg(test)]
mod tests;

pub use ask::RerankAsk;
