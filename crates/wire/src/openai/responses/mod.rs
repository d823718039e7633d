//! `responses` (2.3): what is read and edited of a request, and answers whole and as typed events.
//!
//! Ids of the upstream are never taken from a caller: what they stand for is not known to be theirs (ADR 0054).

mod answer;
mod ask;
mod fields;
mod stream;

#[cfg(test)]
mod tests;

pub use ask::ResponsesAsk;
