//! How a key is changed, and how that ended.
//!
//! What an act demands of whoever acts is said here by the caller and judged by `standing.rs`, under the lock.

use crate::replay::Once;
use crate::standing::Demand;
use claviger_domain::audit::Action;
use claviger_domain::key::Key;
use claviger_domain::revocation::Epoch;

/// How a key is changed.
#[derive(Clone, Debug)]
pub struct KeyAct {
    /// What the audit record says.
    pub action: Action,
    /// The version that the change is based on.
    pub version: Option<i64>,
    /// Under which Idempotency-Key it is done once.
    pub once: Option<Once>,
    /// Words of whoever acts, for the audit record alone.
    pub note: Option<String>,
    /// What whoever acts must be under the lock.
    pub demand: Demand,
}

impl KeyAct {
    /// An act of somebody, who may have lost since what let them in.
    pub const fn asking(action: Action, demand: Demand) -> Self {
        Self { action, version: None, once: None, note: None, demand }
    }
}

/// An act that nobody need be asked about: the program's own, or that of whoever holds the key.
impl From<Action> for KeyAct {
    fn from(action: Action) -> Self {
        Self::asking(action, Demand::Nothing)
    }
}

/// How a key was, or was not, changed.
#[derive(Clone, Debug)]
pub enum ChangeKeyOutcome<E> {
    /// It is as decided.
    Changed(Changed),
    /// The decision was a refusal.
    Refused(E),
    /// The key has another version.
    Stale,
    /// Enabled again, it would be one more than the organization may have.
    LimitReached {
        /// As many as that.
        limit: u32,
        /// How many of them were not used for 90 days.
        unused: u32,
    },
    /// It was done before under the same Idempotency-Key.
    Repeated {
        /// The key as it is now.
        key: Key,
    },
    /// The Idempotency-Key was used with another body.
    OtherBody,
}

/// A key after an act on it.
#[derive(Clone, Debug)]
pub struct Changed {
    /// As it is now.
    pub key: Key,
    /// The epoch that brings the change into force.
    pub epoch: Epoch,
    /// Whether this call changed it; a repetition does not.
    pub is_new: bool,
}
