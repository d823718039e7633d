//! The epoch, and the validity lease that lets a node admit.
//!
//! Every change of rights bumps one counter; a node may admit until *the moment it sent its last answered poll* + S on
//! its own monotonic clock (`keys.md` §6, `reliability.md` §6). How the news travels is not known here.

use crate::id::{KeyId, OrganizationId};
use crate::money::Nano;
use crate::right::words;
use crate::time::Monotonic;
use std::time::Duration;

/// The counter that every change of rights bumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

words! {
    /// What changed.
    EventKind {
        /// A key was made, changed, disabled, enabled or revoked: read it again.
        Key = "key";
        /// An organization was made or changed: read it again.
        Organization = "organization";
        /// A wallet was funded by an amount.
        Funding = "funding";
    }
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsEvent {
    /// The epoch it made.
    pub epoch: Epoch,
    /// Whose.
    pub organization: OrganizationId,
    /// What, with what a node needs to act.
    pub change: Change,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Read this key again.
    Key(KeyId),
    /// Read this organization again.
    Organization,
    /// The wallet has this much more.
    Funding(Nano),
}

/// Until when this node may admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidityLease {
    sent_at: Monotonic,
    length: Duration,
}

impl ValidityLease {
    /// A lease of the given length, counted from the *sending* of the poll that was answered.
    pub const fn new(sent_at: Monotonic, length: Duration) -> Self {
        Self { sent_at, length }
    }

    /// Whether admission is allowed at `now`.
    pub fn is_fresh(&self, now: Monotonic) -> bool {
        now.since(self.sent_at) < self.length
    }

    /// The end of the lease, as a monotonic instant.
    pub fn ends_at(&self) -> Monotonic {
        Monotonic(self.sent_at.0.saturating_add(u64::try_from(self.length.as_nanos()).unwrap_or(u64::MAX)))
    }
}
