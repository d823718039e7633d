//! What this node may let through of rates that several nodes count together (`keys.md` §5, ADR 0050).
//!
//! As long as a node is alone it counts by itself and asks nobody. From the moment it has seen another it also needs units
//! that the database let through: it draws a quantum, spends it without asking, and asks once more before it refuses. What
//! answers used beyond what was let through is told behind them. How many units there are is `domain::rate_share`'s.

use super::counters::Counters;
use super::pass::Kind;
use crate::node::Node;
use claviger_domain::gcra::{Full, Rate};
use claviger_domain::rate_share::ShareAsk;
use claviger_domain::time::Monotonic;
use claviger_storage::SharedLimiter;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long a request waits for the database's answer, and what it is told when there is none.
const ANSWER: Duration = Duration::from_secs(1);

/// How long debts are gathered before they are told: other nodes let this much more through meanwhile.
const GATHER: Duration = Duration::from_millis(200);

/// The shares of one limiter.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    name: String,
    /// When it was first counted here, if nothing can have been counted before.
    new_since: Option<Monotonic>,
    requests: Share,
    tokens: Share,
}

/// The share of one rate.
#[derive(Debug, Default)]
struct Share {
    /// Units let through and not used; below zero, units used and not let through.
    units: AtomicI64,
    /// One ask at a time; what was said last, when it was no.
    turn: tokio::sync::Mutex<Option<Refused>>,
}

/// So many units were not let through then, nor before so long has passed.
#[derive(Clone, Copy, Debug)]
struct Refused {
    need: u64,
    at: Monotonic,
    wait: Duration,
}

impl Shares {
    pub(super) fn of(name: String, new_since: Option<Monotonic>) -> Self {
        Self { name, new_since, ..Self::default() }
    }

    /// The rates changed: what was let through under the former ones is used by nobody.
    pub(super) fn forget(&self) {
        for share in [&self.requests, &self.tokens] {
            share.units.fetch_min(0, Ordering::Relaxed);
        }
    }

    fn on(&self, kind: Kind) -> &Share {
        match kind {
            Kind::Tokens => &self.tokens,
            Kind::Requests | Kind::Concurrency => &self.requests,
        }
    }

    /// Gives back units that were taken and not used.
    pub(super) fn give_back(&self, kind: Kind, units: u64) {
        self.on(kind).put(signed(units));
    }

    /// Books what was used in truth, where `cost` had been taken; `true` when more is used now than was let through.
    pub(super) fn settle(&self, kind: Kind, cost: u64, used: u64) -> bool {
        self.on(kind).put(signed(cost).saturating_sub(signed(used))) < 0
    }

    /// Takes units, asking once where this node has too few.
    ///
    /// # Errors
    /// [`Full`]: they are not let through now.
    pub(super) async fn take(
        &self,
        node: &Node,
        (kind, rate): (Kind, &Rate),
        cost: u64,
        shared_since: Monotonic,
    ) -> Result<(), Full> {
        let share = self.on(kind);
        if share.take(cost) {
            return Ok(());
        }
        let mut turn = share.turn.lock().await;
        // Twice, since an answer that ends meanwhile may owe what was just drawn.
        for _ in 0..2 {
            if share.take(cost) {
                return Ok(());
            }
            let left = share.units.load(Ordering::Relaxed);
            let ask = ShareAsk {
                need: cost.saturating_sub(u64::try_from(left).unwrap_or(0)),
                debt: u64::try_from(left.saturating_neg()).unwrap_or(0),
            };
            let now = node.monotonic();
            if let Some(said) = turn.filter(|said| ask.need >= said.need && now.since(said.at) < said.wait) {
                return Err(Full { wait: said.wait.saturating_sub(now.since(said.at)) });
            }
            let is_new = self.new_since.is_some_and(|since| since >= shared_since);
            let granted = self.ask(node, (kind, rate), ask, is_new).await?;
            share.put(signed(ask.debt));
            match granted {
                Ok(units) => share.put(signed(units)),
                Err(full) => {
                    *turn = Some(Refused { need: ask.need, at: node.monotonic(), wait: full.wait });
                    return Err(full);
                }
            };
        }
        Err(Full { wait: ANSWER })
    }

    /// Tells what is owed.
    async fn tell(&self, node: &Node, (kind, rate): (Kind, &Rate)) {
        let share = self.on(kind);
        let _turn = share.turn.lock().await;
        let debt = u64::try_from(share.units.load(Ordering::Relaxed).saturating_neg()).unwrap_or(0);
        if debt > 0 && matches!(self.ask(node, (kind, rate), ShareAsk { need: 0, debt }, false).await, Ok(Ok(_))) {
            share.put(signed(debt));
        }
    }

    /// # Errors
    /// When the database does not answer: nothing is let through, and what is owed stays owed.
    async fn ask(
        &self,
        node: &Node,
        (kind, rate): (Kind, &Rate),
        ask: ShareAsk,
        is_new: bool,
    ) -> Result<Result<u64, Full>, Full> {
        let of = if kind == Kind::Tokens { "tpm" } else { "rpm" };
        let limiter = SharedLimiter { name: format!("{} {of}", self.name), rate: *rate, is_new };
        let answer = tokio::time::timeout(ANSWER, node.store.share_rate(limiter, ask, node.wall())).await;
        match answer {
            Ok(Ok(granted)) => Ok(granted),
            Ok(Err(error)) => {
                tracing::warn!(%error, limiter = %self.name, "a shared rate could not be asked for: nothing is let through");
                Err(Full { wait: ANSWER })
            }
            Err(_) => Err(Full { wait: ANSWER }),
        }
    }
}

impl Share {
    fn take(&self, cost: u64) -> bool {
        let cost = signed(cost);
        let taken = self.units.try_update(Ordering::Relaxed, Ordering::Relaxed, |units| {
            if units >= cost { units.checked_sub(cost) } else { None }
        });
        taken.is_ok()
    }

    /// What there is then.
    fn put(&self, units: i64) -> i64 {
        self.units.fetch_add(units, Ordering::Relaxed).saturating_add(units)
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// Limiters that owe, until they have told it.
#[derive(Default)]
pub(crate) struct Debts {
    owing: Mutex<Vec<(Arc<Counters>, Kind, Rate)>>,
    bell: Notify,
}

impl Debts {
    pub(super) fn add(&self, counters: &Arc<Counters>, kind: Kind, rate: Rate) {
        self.owing.lock().push((Arc::clone(counters), kind, rate));
        self.bell.notify_one();
    }

    /// Tells debts until the node stops.
    pub(crate) async fn run(self: Arc<Self>, node: Arc<Node>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.bell.notified() => {}
                _ = stop.wait_for(|is_stopping| *is_stopping) => return,
            }
            tokio::time::sleep(GATHER).await;
            let owing = std::mem::take(&mut *self.owing.lock());
            for (counters, kind, rate) in owing {
                // Whoever is listed twice owes nothing the second time.
                counters.shares.tell(&node, (kind, &rate)).await;
            }
        }
    }
}
