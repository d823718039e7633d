//! What this node knows: every key, every organization, and how fresh that is.
//!
//! The whole key table lives in memory: no cache, no miss storm (`architecture.md` §8). The request path reads it and
//! nothing else; who changed it is not known here.

mod confirm;
mod entry;
mod follow;
mod keys;
mod neighbours;
mod own;
mod shard;

pub use confirm::{Waited, Watchtower};
pub(crate) use entry::{KeyEntry, Tenant, Unusable};
pub(crate) use follow::Follower;
pub(crate) use keys::{Keys, Presented};
pub(crate) use neighbours::Neighbours;
pub(crate) use own::Openers;

use crate::limits::Limiters;
use claviger_domain::id::{IdMap, OrganizationId};
use claviger_domain::revocation::Epoch;
use claviger_domain::time::{Clock, Monotonic, Now, OtherClock, Timestamp};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::watch;

/// Keys, organizations, and the lease under which they may be believed.
pub(crate) struct Snapshot {
    pub(crate) keys: Keys,
    /// The counters of limited keys; they move with the table.
    pub(crate) limiters: Limiters,
    organizations: RwLock<IdMap<OrganizationId, Arc<Tenant>>>,
    applied: watch::Sender<Epoch>,
    /// Whether an operator told this node to leave.
    pub(crate) leaving: watch::Sender<bool>,
    /// The end of the validity lease in monotonic nanoseconds; `u64::MAX` on SQLite, where the one process that
    /// writes is the one that reads.
    valid_until: AtomicU64,
    /// The database's clock; `i64::MIN` = it has none, or has not been heard.
    database_clock: AtomicI64,
}

/// No clock but this machine's is known.
const UNHEARD: i64 = i64::MIN;

impl Snapshot {
    fn new(limiters: Limiters) -> Self {
        Self {
            keys: Keys::default(),
            limiters,
            organizations: RwLock::default(),
            applied: watch::Sender::new(Epoch::default()),
            leaving: watch::Sender::new(false),
            valid_until: AtomicU64::new(0),
            database_clock: AtomicI64::new(UNHEARD),
        }
    }

    /// Whether what is known here may be believed at `now` (R2).
    pub(crate) fn is_fresh(&self, now: Monotonic) -> bool {
        now.0 < self.valid_until.load(Ordering::Acquire)
    }

    /// What is known here may be believed until then.
    fn believe_until(&self, until: Monotonic) {
        self.valid_until.store(until.0, Ordering::Release);
    }

    /// How much longer what is known here may be believed.
    pub(crate) fn fresh_for(&self, now: Monotonic) -> std::time::Duration {
        Monotonic(self.valid_until.load(Ordering::Acquire)).since(now)
    }

    /// By which time limits are judged: the later one of this machine's clock and the database's (`keys.md` §2.1 step 6).
    pub(crate) fn latest(&self, now: Now) -> Timestamp {
        match self.database_clock.load(Ordering::Acquire) {
            UNHEARD => now.wall,
            bits => now.wall.max(OtherClock::from_bits(bits).at(now.monotonic)),
        }
    }

    /// The same, from a clock of which no more is read than is needed.
    pub(crate) fn latest_of(&self, clock: &dyn Clock) -> Timestamp {
        match self.database_clock.load(Ordering::Acquire) {
            UNHEARD => clock.wall(),
            _ => self.latest(clock.now()),
        }
    }

    fn hear(&self, clock: OtherClock) {
        self.database_clock.store(clock.to_bits(), Ordering::Release);
    }

    /// The organization, if this node knows it.
    pub(crate) fn find_organization(&self, id: OrganizationId) -> Option<Arc<Tenant>> {
        self.organizations.read().get(&id).cloned()
    }

    /// What ids of organizations' own models begin with.
    pub(crate) fn slugs(&self) -> BTreeSet<String> {
        let organizations = self.organizations.read();
        let own = organizations.values().filter_map(|tenant| tenant.own.as_deref());
        own.flat_map(own::OwnModels::slugs).map(str::to_owned).collect()
    }

    fn learn_organization(&self, tenant: Tenant) {
        self.organizations.write().insert(tenant.id, Arc::new(tenant));
    }

    /// The epoch applied last.
    pub(crate) fn epoch(&self) -> Epoch {
        *self.applied.borrow()
    }

    /// Resolves when this node has applied `epoch`.
    pub(crate) async fn applied(&self, epoch: Epoch) {
        // The sender lives in this struct, so waiting cannot fail while we are borrowed.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= epoch).await;
    }
}
