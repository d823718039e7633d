//! Storage: whole business acts on SQLite or Postgres, and the only home of SQL.
//!
//! [`Store`] is one concrete type over two pools. One method is one transaction: change, audit record, epoch and rights
//! event stand or fall together, and no handle to a transaction leaves the crate. Rules live in `domain`; engine types
//! appear in no signature. Not found is `Ok(None)`.
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

mod agents;
mod audit;
mod cells;
mod charges;
mod door;
mod engine;
mod environments;
mod epochs;
mod error;
mod foreign;
mod identities;
mod inference_replay;
mod invites;
mod journal;
mod key_ends;
mod key_policy;
mod key_row;
mod keys;
mod keyset;
mod leases;
mod ledger;
mod links;
mod members;
mod migrate;
mod nodes;
mod notices;
mod organizations;
mod owners;
mod page;
mod passkeys;
mod people;
mod peppers;
mod person_row;
mod prices;
mod providers;
mod rate_limits;
mod record;
mod record_body;
mod recovery;
mod refusals;
mod registries;
mod replay;
mod requests;
mod rollups;
mod seats;
mod sessions;
mod setup;
mod shared_rates;
mod standing;
mod statements;
mod store;
mod tasks;
mod tenancy;
mod trusts;
mod usage;
mod verify;

#[cfg(feature = "bugs")]
pub mod bugs;

pub use agents::{CreateAgentOutcome, NewAgent};
pub use audit::{AuditEntry, AuditEvent, AuditFault, AuditFilter, AuditReport, SecurityMinute};
pub use charges::{ChargeSlot, Charges, Delivered, Durable, Intent, Lost, QueueFull, SyncReading};
pub use environments::{ArchiveOutcome, Edited};
pub use epochs::Rights;
pub use error::{Cause, Error, OpenError};
pub use foreign::{ForeignSource, ForeignTable, read_foreign};
pub use identities::{Arrival, Home, Identity};
pub use inference_replay::{Claimed, KeptReply, ReplayClaim};
pub use invites::{AcceptOutcome, InviteOutcome, Joining, NewInvite, ResendOutcome};
pub use keys::{
    Alarm, CallerUse, ChangeKeyOutcome, Changed, CreateKeyOutcome, ExchangeOutcome, ImportDone, ImportOutcome,
    ImportedKey, KeyAct, KeyFilter, LeakDone, PresentedToken, SecretUse, Sighting, Trail,
};
pub use leases::{LeaseGrant, OpenLease};
pub use ledger::{Grant, InDoubt, Wallet};
pub use members::{Decisions, KeyFate, LeftKey, Member, MemberOutcome, Own, RemovalOutcome};
pub use migrate::schema_fingerprint;
pub use nodes::{NodeRow, PollAsk, Polled};
pub use notices::{ClaimedMail, Delivery, NewMail};
pub use organizations::{LiveSecret, OrganizationEdit};
pub use owners::KeyOwner;
pub use page::{Order, Page, PageRequest};
pub use passkeys::{Passkey, PasskeyOutcome};
pub use people::{NewUser, Profile, UserChange};
pub use providers::ProviderOutcome;
pub use rate_limits::{ALL_MODELS, ModelPermissions, RateLimit, RateLimitChange};
pub use refusals::Refusals;
pub use registries::NewRegistry;
pub use replay::Once;
pub use requests::RequestFilter;
pub use rollups::{KeySpend, RollUpLimits, RolledUp};
pub use seats::{CloseSeatOutcome, ClosedSeat};
pub use sessions::{GoodToken, NewToken, Replaces};
pub use setup::{SetUp, SetUpOutcome};
pub use shared_rates::SharedLimiter;
pub use standing::Demand;
pub use store::{DatabaseUrl, Engine, Store};
pub use tasks::{CreateTaskOutcome, KeptTask, TaskFilter, TaskResult};
pub use tenancy::NewOrganization;
pub use trusts::{CreateTrustOutcome, Meant};
pub use usage::{UsageDimension, UsageQuery, UsageRow};
pub use verify::{LedgerFault, LedgerReport};
