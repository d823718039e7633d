//! What tests share: stores of both engines, a stepped clock, seeded randomness.
//!
//! A dev-dependency only. It knows domain, wire and storage, and none of the crates whose unit tests use it, so that no
//! test meets two copies of a type.

pub mod clock;
pub mod rng;
pub mod stores;
pub mod world;
