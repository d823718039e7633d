//! The epoch, the validity lease that lets a node admit, and the proof that a change of rights is in force everywhere.
//!
//! Every change of rights bumps one counter; a node may admit until *the moment it sent its last answered poll* + S on
//! its own monotonic clock (`keys.md` §6, `reliability.md` §6). Pure machines stand beside: [`Member`], the node's
//! half, [`Observer`], the half of whoever must know that all nodes have followed, and [`Silences`], who has fallen silent. How the news travels, and which
//! clock ticks, is not known here.

mod member;
mod observer;
mod silence;

pub use member::{Answered, Event, Member, Position, Standing, Step};
pub use observer::{Counter, Observer, Reading};
pub use silence::{Silences, Silent};

use crate::id::{KeyId, NodeId, OrganizationId};
use crate::money::Nano;
use crate::right::words;
use crate::time::Monotonic;
use serde::Serialize;
use std::time::Duration;

/// The counter that every change of rights bumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
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
    /// When the database wrote it, by the database's clock: tells an epoch from the same number in another history.
    pub mark: i64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

words! {
    /// How a node is known not to admit by older rights any more.
    How {
        /// It has said that it applied the change.
        Acknowledged = "acknowledged";
        /// It has not renewed its lease for longer than the lease lasts.
        Silenced = "silenced";
        /// It has left in good order, after its last admission.
        Left = "left";
    }
}

/// One node's part of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct NodeConfirmation {
    /// The node.
    #[serde(serialize_with = "as_text")]
    pub id: NodeId,
    /// Why it does not admit by the old rights any more.
    #[serde(serialize_with = "as_word")]
    pub how: How,
    /// How long that took to be known.
    pub ms: u64,
}

/// The proof that a change of rights is in force on every node (`keys.md` §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// The change.
    pub epoch: Epoch,
    /// From the request to the proof.
    pub took_ms: u64,
    /// Every node that was registered; empty when none runs, so that nobody can admit anything.
    pub nodes: Vec<NodeConfirmation>,
    /// Requests of the key that were admitted before and still run on the answering node.
    pub running_here: u64,
    /// Whether streams of the key were cut.
    pub cut: bool,
}

fn as_text<S: serde::Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn as_word<S: serde::Serializer>(how: &How, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(how.name())
}
