//! Endpoints whose answers are pictures and sound: what they ask for, and what they use.
//!
//! A picture or a second of sound is never looked into: bytes pass through. What is counted stands beside them or
//! follows from the request.

mod duration;
pub mod edits;
pub mod events;
pub(crate) mod form;
pub mod images;
pub(crate) mod request;
pub mod speech;
pub mod transcribe;
pub(crate) mod usage;

#[cfg(test)]
mod tests;
