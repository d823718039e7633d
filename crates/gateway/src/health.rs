//! What this node knows of its upstreams while it runs: health of targets, requests in flight, repeats (W54, W55).
//!
//! It outlives catalogs: a target that is the same in the next one keeps its circuit. What follows from an outcome is
//! `domain::routing`'s and `domain::health`'s to say.

use crate::node::Node;
use claviger_domain::catalog::{Catalog, Provider, Target};
use claviger_domain::health::{Circuit, Event, RepeatBudget, Standing};
use claviger_domain::id::{IdMap, ProviderId};
use claviger_domain::time::Monotonic;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// All providers that were asked, or may be.
#[derive(Default)]
pub(crate) struct Health {
    /// Those that the configuration declares, by name.
    declared: RwLock<BTreeMap<String, Arc<ProviderHealth>>>,
    /// Organizations' own. They stay out of the metrics, whose labels are a closed list.
    own: RwLock<IdMap<ProviderId, Own>>,
}

/// A provider of an organization, remembered for as long as anybody may ask it.
struct Own {
    provider: Weak<Provider>,
    health: Arc<ProviderHealth>,
}

/// One provider.
#[derive(Default)]
pub(crate) struct ProviderHealth {
    in_flight: AtomicU32,
    repeats: Mutex<RepeatBudget>,
    answered: AtomicU64,
    failed: AtomicU64,
    targets: RwLock<BTreeMap<String, Arc<Mutex<Circuit>>>>,
}

/// A target that a request may be sent to, and what is known of it.
pub(crate) struct Candidate {
    pub(crate) target: Arc<Target>,
    pub(crate) provider: Arc<ProviderHealth>,
    pub(crate) circuit: Arc<Mutex<Circuit>>,
}

impl Health {
    /// What is known of a target.
    pub(crate) fn candidate(&self, target: &Arc<Target>) -> Candidate {
        let provider = match target.provider.row {
            None => self.declared(&target.provider.name),
            Some(id) => self.own(id, &target.provider),
        };
        let known = provider.targets.read().get(&target.upstream_model).map(Arc::clone);
        let circuit = known
            .unwrap_or_else(|| Arc::clone(provider.targets.write().entry(target.upstream_model.clone()).or_default()));
        Candidate { target: Arc::clone(target), provider, circuit }
    }

    fn declared(&self, name: &str) -> Arc<ProviderHealth> {
        let known = self.declared.read().get(name).map(Arc::clone);
        known.unwrap_or_else(|| Arc::clone(self.declared.write().entry(name.to_owned()).or_default()))
    }

    fn own(&self, id: ProviderId, provider: &Arc<Provider>) -> Arc<ProviderHealth> {
        // One whose row has changed since is another one: what was known of it may have been its former address's.
        let is_it = |own: &&Own| std::ptr::eq(own.provider.as_ptr(), Arc::as_ptr(provider));
        let known = self.own.read().get(&id).filter(is_it).map(|own| Arc::clone(&own.health));
        known.unwrap_or_else(|| {
            let health = Arc::<ProviderHealth>::default();
            let own = Own { provider: Arc::downgrade(provider), health: Arc::clone(&health) };
            self.own.write().insert(id, own);
            health
        })
    }

    /// Forgets organizations' providers that are gone.
    pub(crate) fn sweep(&self) {
        self.own.write().retain(|_, own| own.provider.strong_count() > 0);
    }

    /// Forgets what another catalog no longer has.
    pub(crate) fn keep(&self, catalog: &Catalog) {
        let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for target in catalog.list().flat_map(|(_, model)| model.tiers.iter().flatten()) {
            named.entry(&target.provider.name).or_default().push(&target.upstream_model);
        }
        self.declared.write().retain(|name, provider| {
            let kept = named.get(name.as_str());
            if let Some(models) = kept {
                provider.targets.write().retain(|model, _| models.contains(&model.as_str()));
            }
            kept.is_some()
        });
    }

    /// Every provider, for the metrics.
    pub(crate) fn reading(&self, now: Monotonic) -> Vec<Reading> {
        let is_open = |provider: &ProviderHealth| {
            let targets = provider.targets.read();
            targets.values().any(|circuit| matches!(circuit.lock().standing(now), Standing::Open(_) | Standing::Probe))
        };
        let all = self.declared.read();
        let reading = |(name, provider): (&String, &Arc<ProviderHealth>)| Reading {
            name: name.clone(),
            answered: provider.answered.load(Ordering::Relaxed),
            failed: provider.failed.load(Ordering::Relaxed),
            is_open: is_open(provider),
        };
        all.iter().map(reading).collect()
    }
}

/// What is shown of a provider.
pub(crate) struct Reading {
    pub(crate) name: String,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Whether one of its targets is left alone now.
    pub(crate) is_open: bool,
}

impl ProviderHealth {
    /// Counts an attempt; `false` when it would be one repeat too many.
    pub(crate) fn try_count(&self, is_repeat: bool, now: Monotonic) -> bool {
        let mut repeats = self.repeats.lock();
        if is_repeat {
            return repeats.try_repeat(now);
        }
        repeats.asked(now);
        true
    }

    /// Whether it has as many requests as it may have; 0 = no limit.
    pub(crate) fn is_full(&self, max: u32) -> bool {
        max > 0 && self.in_flight.load(Ordering::Relaxed) >= max
    }

    /// Takes one of `max` places; given back by dropping it.
    pub(crate) fn try_enter(self: &Arc<Self>, max: u32) -> Option<Place> {
        let entered = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
            (running < max).then(|| running.saturating_add(1))
        });
        entered.ok().map(|_| Place(Arc::clone(self)))
    }
}

/// A place among the requests that a provider may have.
pub(crate) struct Place(Arc<ProviderHealth>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request at a target, until it is known what that says of the target.
pub(crate) struct Watched {
    target: Arc<Target>,
    provider: Arc<ProviderHealth>,
    circuit: Arc<Mutex<Circuit>>,
    is_probe: bool,
    is_told: bool,
}

impl Candidate {
    /// Begins; `None` when the target may not be asked any more.
    pub(crate) fn begin(&self, now: Monotonic) -> Option<Watched> {
        let is_probe = self.circuit.lock().begin(now)?;
        let (target, provider) = (Arc::clone(&self.target), Arc::clone(&self.provider));
        Some(Watched { target, provider, circuit: Arc::clone(&self.circuit), is_probe, is_told: false })
    }
}

impl Watched {
    /// A stream began: that much a probe wanted to know. Whether it ends well is told later.
    pub(crate) fn spoke(&mut self, now: Monotonic) {
        if std::mem::take(&mut self.is_probe) {
            self.circuit.lock().step(Event::Succeeded { is_probe: true }, now);
        }
    }

    /// It answered whole.
    pub(crate) fn succeeded(&mut self, now: Monotonic) {
        if !std::mem::replace(&mut self.is_told, true) {
            self.provider.answered.fetch_add(1, Ordering::Relaxed);
            let is_probe = std::mem::take(&mut self.is_probe);
            self.circuit.lock().step(Event::Succeeded { is_probe }, now);
        }
    }

    /// It failed.
    pub(crate) fn failed(&mut self, node: &Node) {
        let (is_probe, draw) = (self.is_probe, node.draw_below(u64::MAX));
        self.told(Event::Failed { is_probe, draw }, node.monotonic());
    }

    /// It has too much to do.
    pub(crate) fn throttled(&mut self, retry_after: Option<Duration>, now: Monotonic) {
        let is_probe = self.is_probe;
        self.told(Event::Throttled { is_probe, retry_after }, now);
    }

    /// It refuses us as we are configured.
    pub(crate) fn misconfigured(&mut self, status: u16, now: Monotonic) {
        if self.told(Event::Misconfigured, now) {
            let Target { provider, upstream_model, .. } = &*self.target;
            tracing::error!(provider = %provider.name, upstream_model, status, "a provider refuses what it is asked: check its address, its credential and the model's name there; it is left alone for a minute");
        }
    }

    fn told(&mut self, event: Event, now: Monotonic) -> bool {
        if std::mem::replace(&mut self.is_told, true) {
            return false;
        }
        self.is_probe = false;
        self.provider.failed.fetch_add(1, Ordering::Relaxed);
        let has_opened = self.circuit.lock().step(event, now);
        if has_opened && matches!(event, Event::Failed { .. }) {
            let Target { provider, upstream_model, .. } = &*self.target;
            tracing::warn!(provider = %provider.name, upstream_model, "a target fails and is left alone for a while");
        }
        has_opened
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.is_probe {
            self.circuit.lock().step(Event::ProbeLost, Monotonic(0));
        }
    }
}
