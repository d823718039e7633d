//! The data plane: one proxied request, as typed stages, on hyper.
//!
//! `pipeline.rs` is the walk; each stage is a file with one struct whose only constructor consumes the stage before, so
//! an unauthenticated or unpaid dispatch does not compile. The management API is a closure here: the two planes meet
//! only in rows of the endpoint table and in the epoch.
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

mod admitted;
mod alarm;
mod alarms;
mod authenticated;
mod body;
#[cfg(feature = "bugs")]
pub mod bugs;
mod callers;
mod credit;
mod dispatched;
mod drain;
mod exchange;
mod flow;
mod health;
mod kept;
mod limits;
mod listener;
mod local;
mod matched;
#[cfg(feature = "measured")]
pub mod measured;
mod memory;
mod metrics;
mod node;
mod observe;
mod once;
mod parsed;
mod pipeline;
mod planned;
mod received;
mod refusals;
mod relayed;
mod respond;
mod running;
mod settled;
mod snapshot;
mod socket;
mod task;
mod tasks;
mod treasury;
mod upstream;
mod verify;
mod wallets;

pub use body::{BodyError, PacedBody};
pub use flow::Flow;
pub use listener::serve;
pub use node::{Gateway, RouteSettings, Settings, StartError};
pub use received::RequestContext;
pub use snapshot::{Waited, Watchtower};
