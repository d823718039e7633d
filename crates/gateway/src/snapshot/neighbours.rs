//! What each node does for all: forgets nodes that have been silent for long, and events that everybody has.
//!
//! A former start on this node's own seat is forgotten as soon as its silence is proved, so that a crash does not make
//! every later revocation wait; any other after a day. Silence is judged on this node's own monotonic clock.

use claviger_domain::id::NodeId;
use claviger_domain::limits;
use claviger_domain::time::{Clock, Monotonic};
use claviger_storage::{Error, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two prunings of the events.
const PRUNE: Duration = Duration::from_secs(60);

pub(crate) struct Neighbours {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) id: NodeId,
    pub(crate) validity: Duration,
}

/// Renewals, and by when they had been read for the first time.
type Seen = HashMap<NodeId, (i64, Monotonic)>;

impl Neighbours {
    /// Runs until `stopped`.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut seen = Seen::new();
        let mut pruned: Option<Monotonic> = None;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(self.validity.max(Duration::from_secs(1))) => {}
            }
            let now = self.clock.now();
            let is_due = pruned.is_none_or(|pruned| now.monotonic.since(pruned) >= PRUNE);
            let mut worked = self.forget(&mut seen).await;
            if is_due && worked.is_ok() {
                pruned = Some(now.monotonic);
                worked = self.store.prune_rights_events(now.wall.minus(limits::RIGHTS_EVENTS_KEPT)).await.map(drop);
            }
            if let Err(error) = worked {
                tracing::debug!(%error, "silent nodes and old events are looked at later: {error}");
            }
        }
    }

    async fn forget(&self, seen: &mut Seen) -> Result<(), Error> {
        let asked_at = self.clock.now().monotonic;
        let nodes = self.store.list_nodes().await?;
        let answered_at = self.clock.now().monotonic;
        seen.retain(|id, _| nodes.iter().any(|node| node.id == *id));
        for node in nodes.iter().filter(|node| node.id != self.id) {
            let fresh = (node.renewals, answered_at);
            let (renewals, since) = *seen.entry(node.id).or_insert(fresh);
            if renewals != node.renewals {
                seen.insert(node.id, fresh);
                continue;
            }
            let silent = asked_at.since(since);
            let is_former_start = node.seat == self.store.seat();
            let limit = if is_former_start { limits::silence_of(node.validity) } else { limits::NODE_FORGOTTEN };
            if silent >= limit && self.store.forget_node(node.id, node.renewals).await? {
                tracing::info!(node = %node.id, "a node that has been silent is forgotten: it must register anew");
            }
        }
        Ok(())
    }
}
