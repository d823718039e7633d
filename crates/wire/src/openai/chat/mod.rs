//! `chat/completions` (2.1): what is read and edited of a request. Its answers are made of choices.

mod ask;
mod bound;
mod edit;
mod fields;

#[cfg(test)]
mod tests;

pub use ask::ChatAsk;
