//! `embeddings` (2.5): what is read of a request, and vectors in the form the caller expects (W14).
//!
//! Official clients ask for base64 when their user says nothing, and Node's yields empty vectors without an error when
//! floats come back; so an answer in the other form is converted, whatever the upstream made of it.

mod ask;
mod reply;

#[cfg(test)]
mod tests;

pub use ask::EmbeddingsAsk;
