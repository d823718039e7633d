//! The protocols, pure: bytes ↔ types, without a server.
//!
//! Bytes that Claviger has no reason to edit leave as they came (W5): documents are scanned once, acted on by span and
//! spliced. No sockets, no storage, no clock, and no decision about money: quantities are made here, prices elsewhere.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::float_arithmetic)
)]
#![deny(missing_docs)]

pub mod anthropic;
mod body;
#[cfg(feature = "bugs")]
pub mod bugs;
pub mod conditions;
pub mod content_type;
pub mod dialect;
pub mod error_body;
pub mod headers;
pub mod idempotency;
pub mod inference;
pub mod media;
pub mod multipart;
pub mod openai;
pub mod rate_headers;
pub mod rerank;
pub mod scan;
pub mod simulator;
pub mod splice;
pub mod sse;
pub mod task;
mod tools;
pub mod url;
pub mod usage;
pub mod video;
