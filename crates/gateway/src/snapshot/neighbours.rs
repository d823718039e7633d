//! What each node does for all: forgets nodes that have been silent for long, closes the books of dead ones, and drops
//! events that everybody has.
//!
//! A former start on this node's own seat is forgotten as soon as its silence is proved, so that a crash does not make
//! every later revocation wait. A seat whose node has been silent for a minute and whose session the database does not know
//! any more is closed: its credit goes back. Any other silent node is forgotten after a day. Silence is judged on this
//! node's own monotonic clock.

use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::id::{NodeId, SeatId};
use claviger_domain::limits;
use claviger_domain::revocation::{Reading, Silences};
use claviger_domain::time::{Clock, Monotonic};
use claviger_storage::{CloseSeatOutcome, Error, NodeRow, Store};
use std::collections::BTreeMap;
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

/// What this node has seen of the others.
#[derive(Default)]
struct Seen {
    silences: Silences,
    /// Seats that hold credit and have no node, and since when they were found so.
    left: BTreeMap<SeatId, Monotonic>,
}

impl Neighbours {
    /// Runs until `stopped`.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut seen = Seen::default();
        let mut pruned: Option<Monotonic> = None;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(self.validity.max(Duration::from_secs(1))) => {}
            }
            let now = self.clock.now();
            let is_due = pruned.is_none_or(|pruned| now.monotonic.since(pruned) >= PRUNE);
            let mut worked = self.look(&mut seen).await;
            if is_due && worked.is_ok() {
                pruned = Some(now.monotonic);
                worked = self.store.prune_rights_events(now.wall.minus(limits::RIGHTS_EVENTS_KEPT)).await.map(drop);
                if worked.is_ok() {
                    let before = now.wall.minus(limits::SHARED_RATES_KEPT);
                    worked = self.store.prune_shared_rates(before).await.map(drop);
                }
            }
            if let Err(error) = worked {
                tracing::debug!(%error, "silent nodes and old events are looked at later: {error}");
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> Result<(), Error> {
        let asked_at = self.clock.now().monotonic;
        let nodes = self.store.list_nodes().await?;
        let answered_at = self.clock.now().monotonic;
        let counters = nodes.iter().map(NodeRow::counter).collect();
        for silent in seen.silences.step(&Reading { asked_at, answered_at, nodes: counters }) {
            let Some(node) = nodes.iter().find(|node| node.id == silent.id && node.id != self.id) else { continue };
            let is_former_start = node.seat == self.store.seat();
            let proved = limits::silence_of(node.validity);
            let is_forgotten = silent.lasts >= if is_former_start { proved } else { limits::NODE_FORGOTTEN };
            if !is_former_start && silent.lasts >= proved.max(limits::SEAT_CLOSED) {
                self.close(node.seat, vec![(node.id, node.renewals)]).await?;
            }
            if is_forgotten && self.store.forget_node(node.id, node.renewals).await? {
                tracing::info!(node = %node.id, "a node that has been silent is forgotten: it must register anew");
            }
        }
        self.close_left(&mut seen.left, answered_at).await
    }

    /// Seats that left credit behind without a node: whoever is starting there holds its lock.
    async fn close_left(&self, left: &mut BTreeMap<SeatId, Monotonic>, now: Monotonic) -> Result<(), Error> {
        let seats = self.store.list_left_seats().await?;
        left.retain(|seat, _| seats.contains(seat));
        for seat in seats {
            let since = *left.entry(seat).or_insert(now);
            if now.since(since) >= limits::SEAT_CLOSED {
                self.close(seat, Vec::new()).await?;
            }
        }
        Ok(())
    }

    async fn close(&self, seat: SeatId, silent: Vec<(NodeId, i64)>) -> Result<(), Error> {
        let now = self.clock.now();
        let by = Attribution::local(Actor::System, "", now.wall);
        if let CloseSeatOutcome::Closed(found) = self.store.close_seat(seat, silent, now, &by).await? {
            tracing::warn!(
                %seat,
                returned = %found.returned,
                lost = found.lost,
                in_doubt = found.in_doubt,
                "a node is dead: what it had leased went back"
            );
        }
        Ok(())
    }
}
