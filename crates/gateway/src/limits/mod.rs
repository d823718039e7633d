//! Limits on requests, tokens and places: of keys, environments and organizations (`keys.md` §5).
//!
//! A key that nothing limits touches nothing here. The counters of a limited one are made at its first use and dropped
//! when they say no more than new ones would. Whether a caller may do something at all is decided in `restricted.rs`.

mod counters;
mod pass;
mod places;
mod refused;
mod restricted;
mod shares;

pub(crate) use pass::{Pass, Seen};
pub(crate) use places::Places;
pub(crate) use restricted::{check_address, check_endpoint, check_endpoint_name, check_model, client_of, is_callable};

use crate::node::Node;
use crate::respond::Refusal;
use crate::snapshot::{KeyEntry, Tenant};
use claviger_domain::gcra::Rate;
use claviger_domain::id::KeyId;
use claviger_domain::key::{Limits, Policy};
use claviger_domain::time::{Monotonic, Now};
use counters::{Counters, Rates};
use parking_lot::Mutex;
use pass::{Scope, Subject};
use shares::Debts;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SHARDS: usize = 64;

/// Which counters of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Of what is refused.
    Enforced,
    /// Of what would be refused.
    Shadow,
    /// Of what a key asks about itself.
    SelfService,
}

type Shard = Mutex<HashMap<(KeyId, Part), Arc<Counters>>>;

/// The counters of keys.
pub(crate) struct Limiters {
    shards: Vec<Shard>,
    /// When this node began: what older keys have used before is not known.
    since: Now,
    /// The most that any one key may.
    ceiling: Limits,
    self_service: Option<Rate>,
    /// Since when other nodes count too, in monotonic nanoseconds; zero = this node is alone, as far as it knows.
    shared_since: AtomicU64,
    /// What was used of shared rates and is not yet told.
    pub(crate) debts: Arc<Debts>,
}

impl Limiters {
    pub(crate) fn new(since: Now, ceiling: Limits, self_service_rpm: u32) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            since,
            ceiling,
            self_service: (self_service_rpm > 0).then(|| Rate::per_minute(self_service_rpm, None)),
            shared_since: AtomicU64::new(0),
            debts: Arc::default(),
        }
    }

    /// When this node began.
    pub(crate) const fn begun(&self) -> Monotonic {
        self.since.monotonic
    }

    /// Another node is there: from now on rates are shared, until this node ends. What the others let through last may
    /// still count long after they have gone, so there is no way back.
    pub(crate) fn share_from(&self, now: Monotonic) {
        let _ = self.shared_since.compare_exchange(0, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Since when rates are shared, if they are.
    fn shared_since(&self) -> Option<Monotonic> {
        Some(self.shared_since.load(Ordering::Relaxed)).filter(|since| *since > 0).map(Monotonic)
    }

    /// What limits a key: its own limits below the instance's.
    fn rates(&self, own: &Limits) -> Option<Rates> {
        let least = |own: Option<u32>, ceiling: Option<u32>| match (own, ceiling) {
            (Some(own), Some(ceiling)) => Some(own.min(ceiling)),
            (own, ceiling) => own.or(ceiling),
        };
        Rates::of(&Limits {
            rpm: least(own.rpm, self.ceiling.rpm),
            tpm: least(own.tpm, self.ceiling.tpm),
            concurrency: least(own.concurrency, self.ceiling.concurrency),
            burst: own.burst,
        })
    }

    /// The counters of a key, made now if there are none.
    fn counters(&self, key: &KeyEntry, part: Part, rates: &Rates, now: Monotonic) -> Arc<Counters> {
        let Some(shard) = self.shard(key.id) else { return Arc::default() };
        let mut shard = shard.lock();
        let counters = shard.entry((key.id, part)).or_insert_with(|| {
            let is_older = key.made_at() <= self.since.wall;
            let name = key.id.to_string();
            Arc::new(match is_older {
                true => Counters::exhausted(name, rates, self.since.monotonic),
                false => Counters::new(name, now),
            })
        });
        Arc::clone(counters)
    }

    /// The policy of a key was edited: what was counted stays counted.
    pub(crate) fn policy_changed(&self, key: KeyId, former: &Policy, policy: &Policy, now: Monotonic) {
        let Some(shard) = self.shard(key) else { return };
        let shard = shard.lock();
        let shadow = |policy: &Policy| policy.shadow.as_ref().and_then(|shadow| Rates::of(&shadow.limits));
        let parts = [
            (Part::Enforced, self.rates(&former.enforced.limits), self.rates(&policy.enforced.limits)),
            (Part::Shadow, shadow(former), shadow(policy)),
        ];
        for (part, former, rates) in parts {
            if let (Some(counters), Some(former)) = (shard.get(&(key, part)), former) {
                counters.convert(&former, rates.as_ref(), now);
            }
        }
    }

    /// Drops counters that say no more than new ones would and that nobody holds.
    pub(crate) fn sweep(&self, now: Monotonic) {
        for shard in &self.shards {
            shard.lock().retain(|_, counters| Arc::strong_count(counters) > 1 || !counters.is_idle(now));
        }
    }

    fn shard(&self, key: KeyId) -> Option<&Shard> {
        let [first, second, ..] = key.symbols();
        self.shards.get(usize::from(first ^ second.rotate_left(3)).checked_rem(SHARDS)?)
    }
}

/// Takes a place and a request of everything that limits this caller, whatever the model (step 10).
///
/// # Errors
/// 429.
pub(crate) fn enter(node: &Node, key: &KeyEntry, tenant: &Tenant) -> Result<Pass, Refusal> {
    match subjects(node, key, tenant) {
        None => Ok(Pass::default()),
        Some(subjects) => Pass::enter(subjects, node.shared_clock()),
    }
}

/// Takes what [`enter`] took also of what all nodes share, where there are several.
///
/// # Errors
/// 429.
pub(crate) async fn share(node: &Node, pass: &mut Pass) -> Result<(), Refusal> {
    match node.snapshot.limiters.shared_since() {
        None => Ok(()),
        Some(since) => pass.share(node, since).await,
    }
}

/// The same where nobody waits: it is told to the others behind this.
pub(crate) fn owe(node: &Node, pass: &mut Pass) {
    if node.snapshot.limiters.shared_since().is_some() {
        pass.owe(&node.snapshot.limiters.debts);
    }
}

/// What limits this caller, whatever the model, looked at without taking anything.
pub(crate) fn look(node: &Node, key: &KeyEntry, tenant: &Tenant) -> Seen {
    let subjects = subjects(node, key, tenant).unwrap_or_default();
    Seen::of(&subjects, node.monotonic())
}

/// `None` = nothing limits it.
fn subjects(node: &Node, key: &KeyEntry, tenant: &Tenant) -> Option<Vec<Subject>> {
    let policy = key.policy();
    let enforced = node.snapshot.limiters.rates(&policy.enforced.limits);
    let shadow = policy.shadow.as_ref().and_then(|shadow| Rates::of(&shadow.limits));
    if enforced.is_none() && shadow.is_none() && tenant.places.is_none() {
        return None;
    }
    let mut subjects = Vec::new();
    if let Some(rates) = enforced {
        let counters = node.snapshot.limiters.counters(key, Part::Enforced, &rates, node.monotonic());
        subjects.push(Subject { scope: Scope::Key, model: None, rates, counters, is_shadow: false });
    }
    if let Some(places) = &tenant.places {
        subjects.extend(places.on_all_models(key.environment()));
    }
    if let Some(rates) = shadow {
        let counters = node.snapshot.limiters.counters(key, Part::Shadow, &rates, node.monotonic());
        subjects.push(Subject { scope: Scope::Key, model: None, rates, counters, is_shadow: true });
    }
    Some(subjects)
}

/// Takes a request of the limits on one model, and the estimated tokens of everything (step 13).
///
/// # Errors
/// 429.
pub(crate) async fn take_tokens(
    node: &Node,
    pass: &mut Pass,
    (key, tenant): (&KeyEntry, &Tenant),
    model: &str,
    estimate: u64,
) -> Result<(), Refusal> {
    if let Some(places) = &tenant.places {
        pass.add(places.on_model(key.environment(), model), node.shared_clock())?;
    }
    pass.take_tokens(estimate)?;
    share(node, pass).await
}

/// Takes one of the requests that a key may make about itself; they count in no other limit (W19).
///
/// # Errors
/// 429.
pub(crate) fn self_service(node: &Node, key: &KeyEntry) -> Result<(), Refusal> {
    let Some(rate) = node.snapshot.limiters.self_service else { return Ok(()) };
    let Some(shard) = node.snapshot.limiters.shard(key.id) else { return Ok(()) };
    // No history is assumed here: this protects the node, not what somebody pays for.
    let counters = Arc::clone(shard.lock().entry((key.id, Part::SelfService)).or_default());
    let now = node.monotonic();
    let rates = Rates { requests: Some(rate), tokens: None, concurrency: None };
    counters.take_request(&rate, now).map(drop).map_err(|full| {
        refused::self_service(&Subject { scope: Scope::Key, model: None, rates, counters, is_shadow: false }, full, now)
    })
}
