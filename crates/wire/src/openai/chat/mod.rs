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
pub use stream::ChatStream;
