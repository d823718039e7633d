//! Waits until a change of rights is in force on every node, by looking at what all of them have reported.
//!
//! `domain::revocation::Observer` decides. Waiters share readings: one question to the database answers everyone who asked
//! before it was sent.

use claviger_domain::id::NodeId;
use claviger_domain::limits;
use claviger_domain::revocation::{Epoch, NodeConfirmation, Observer, Reading};
use claviger_domain::time::{Clock, Monotonic};
use claviger_storage::{Error, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(4);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A pause is this part of the time that was waited already: looking costs a confirmation a sixth of it at most, and a
/// node that stays silent costs the database ten looks a second.
const PAUSE_PART: u32 = 6;

/// What came of waiting.
#[derive(Clone, Debug)]
pub enum Waited {
    /// Every node is through.
    Confirmed(Vec<NodeConfirmation>),
    /// These are still waited for.
    Pending(Vec<NodeId>),
    /// The database could not be asked.
    Lost,
}

/// Whoever must know that all nodes have followed. A clone shares its readings.
#[derive(Clone)]
pub struct Watchtower(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    validity: Duration,
    last: Mutex<Reading>,
}

impl Watchtower {
    /// A watchtower over the nodes of a store; `validity` is the longest lease that may be waited out.
    pub fn new(store: Store, clock: Arc<dyn Clock>, validity: Duration) -> Self {
        Self(Arc::new(Inner { store, clock, validity, last: Mutex::default() }))
    }

    /// How long a confirmation can take while nodes and database do what they should.
    pub fn patience(&self) -> Duration {
        limits::confirmation_patience(self.0.validity)
    }

    /// Waits, `patience` at most, until no node admits by rights older than `epoch`. Asked after the commit.
    pub async fn confirmed(&self, epoch: Epoch, patience: Duration) -> Waited {
        let begun = self.0.clock.now().monotonic;
        let mut observer = Observer::new(epoch, begun);
        let mut was_answered = false;
        let watch = async {
            loop {
                match self.reading(self.0.clock.now().monotonic).await {
                    Ok(reading) => {
                        was_answered = true;
                        observer.step(&reading);
                        if let Some(nodes) = observer.confirmed() {
                            return nodes;
                        }
                    }
                    // Observing goes on where it was: a lost reading is no silence of a node.
                    Err(error) => tracing::debug!(%error, "the nodes could not be read: {error}"),
                }
                tokio::time::sleep(pause(self.0.clock.now().monotonic.since(begun))).await;
            }
        };
        match tokio::time::timeout(patience, watch).await {
            Ok(nodes) => Waited::Confirmed(nodes),
            Err(_elapsed) if was_answered => Waited::Pending(observer.pending()),
            Err(_elapsed) => Waited::Lost,
        }
    }

    /// A reading that was asked for at `since` or later.
    async fn reading(&self, since: Monotonic) -> Result<Reading, Error> {
        let mut last = self.0.last.lock().await;
        if last.asked_at >= since && !last.nodes.is_empty() {
            return Ok(last.clone());
        }
        let asked_at = self.0.clock.now().monotonic;
        let nodes = self.0.store.list_nodes().await?;
        let answered_at = self.0.clock.now().monotonic;
        let counters = nodes.iter().map(claviger_storage::NodeRow::counter);
        #[cfg(feature = "bugs")]
        let counters = counters.map(crate::bugs::mistaken);
        *last = Reading { asked_at, answered_at, nodes: counters.collect() };
        Ok(last.clone())
    }
}

fn pause(waited: Duration) -> Duration {
    waited.checked_div(PAUSE_PART).unwrap_or_default().clamp(PAUSE, PAUSE_MAX)
}
