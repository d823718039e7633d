//! Endpoints whose answers are pictures and sound: what they ask for, and what they use.
//!
//! A picture or a second of sound is never looked into: bytes pass through. What is counted stands beside them or
//! follows from the request.

mod duration;
pub mod edits;
pub mod events;
mod form;
pub mod images;
mod request;
pub mod speech;
pub mod transcribe;
mod usage;

#[cfg(test)]
mod tests;
