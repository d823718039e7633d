//! The management plane: authenticate, authorise, one handler per operation, one renderer of refusals.
//!
//! It answers rows that the listener matched and never matches a path itself; it speaks to nodes only through rows and
//! the epoch, so it has no request in flight and no outbound socket. The binary gives it a store, a clock, randomness
//! and a way to wait until a node knows a change.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod agents;
mod ask;
mod audit;
mod auth;
mod authenticate;
mod authorize;
mod body;
#[cfg(feature = "bugs")]
pub mod bugs;
mod confirmation;
mod edited;
mod environments;
mod invites;
mod issuers;
mod jobs;
mod keys;
mod leaks;
mod limits;
mod mail;
mod me;
mod members;
mod once;
mod openapi;
mod operator;
mod organization;
mod page;
mod passkeys;
mod password;
mod ports;
mod presented;
mod providers;
mod query;
mod registries;
mod requests;
mod respond;
mod serve;
mod session;
mod settings;
mod usage;
mod wallet;

#[cfg(test)]
mod tests;

pub use audit::{AuditSettings, CheckpointSink, Sent};
pub use issuers::{Issuer, IssuerSettings, SignOn};
pub use jobs::JobStatus;
pub use leaks::{LeakSettings, ReporterKey};
pub use mail::Letter;
pub use openapi::document as openapi_document;
pub use ports::{
    AskIssuers, AwaitRights, Awaited, DeliverMail, Found, NoNodes, ProbeProviders, Question, Told, Unanswered,
    Undelivered, no_node,
};
pub use providers::{ProviderSettings, models_of};
pub use serve::{Control, ControlBody, Origin, Settings};
pub use settings::{PeopleSettings, SignUp};
