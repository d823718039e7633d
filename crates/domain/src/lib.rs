//! The words and rules of Claviger, pure.
//!
//! Everything that decides money or rights lives here as values and functions of them: no I/O, no async, no HTTP or
//! SQL, no clock, no source of randomness, no floats. The words outlive every transport and every database, and
//! property tests over them run in milliseconds.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::float_arithmetic,
        clippy::arithmetic_side_effects
    )
)]
#![deny(missing_docs)]

pub mod address;
pub mod audit;
pub mod base62;
#[cfg(any(test, feature = "bugs"))]
pub mod bugs;
pub mod catalog;
pub mod credential;
pub mod credit_lease;
pub mod denied;
pub mod egress;
pub mod endpoint;
pub mod error;
pub mod gcra;
pub mod health;
pub mod id;
pub mod id_token;
pub mod key;
pub mod ledger;
pub mod lifetime;
pub mod limits;
pub mod meter;
pub mod money;
pub mod notice;
pub mod own_provider;
pub mod person;
pub mod place;
pub mod price;
pub mod rate_share;
pub mod request;
pub mod result_link;
pub mod revocation;
pub mod right;
pub mod rights;
pub mod routing;
pub mod seal;
pub mod secret;
pub mod settlement;
pub mod task;
pub mod tenancy;
pub mod time;
pub mod trust;
pub mod webauthn;
