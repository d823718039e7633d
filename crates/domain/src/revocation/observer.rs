//! The observer's half: when is a change in force on every node?
//!
//! A node is through when it has acknowledged the epoch, has left, or is *silenced*: its renewals did not change between
//! two readings that lie further apart, on the observer's own clock, than a lease lasts on any clock. Both readings must
//! have begun after the change was committed. No wall clock is trusted.

use super::{Epoch, How, NodeConfirmation};
use crate::id::NodeId;
use crate::limits::silence_of;
use crate::time::Monotonic;
use std::collections::BTreeMap;
use std::time::Duration;

/// One node as the database had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Counter {
    /// The node.
    pub id: NodeId,
    /// What it has said it applied.
    pub applied: Epoch,
    /// How often it was renewed.
    pub renewals: i64,
    /// S as that node has it: how long its leases last, by its own clock.
    pub validity: Duration,
}

/// All registered nodes, read at one point in time between two instants of the observer's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Before the question was sent.
    pub asked_at: Monotonic,
    /// After the answer came.
    pub answered_at: Monotonic,
    /// Every registered node.
    pub nodes: Vec<Counter>,
}

/// A node's renewals, and by when they had been read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    renewals: i64,
    by: Monotonic,
}

/// Waits for one change. Made after the change was committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observer {
    epoch: Epoch,
    since: Monotonic,
    waiting: BTreeMap<NodeId, Seen>,
    through: BTreeMap<NodeId, NodeConfirmation>,
    has_read: bool,
}

impl Observer {
    /// An observer of `epoch`, which is committed at `now`.
    pub const fn new(epoch: Epoch, now: Monotonic) -> Self {
        Self { epoch, since: now, waiting: BTreeMap::new(), through: BTreeMap::new(), has_read: false }
    }

    /// Takes a reading; those that began before the observer did tell nothing.
    pub fn step(&mut self, reading: &Reading) {
        if reading.asked_at < self.since {
            return;
        }
        self.has_read = true;
        let ms = milliseconds(reading.answered_at.since(self.since));
        let gone: Vec<NodeId> =
            self.waiting.keys().copied().filter(|id| !reading.nodes.iter().any(|node| node.id == *id)).collect();
        for id in gone {
            self.pass(id, How::Left, ms);
        }
        for node in &reading.nodes {
            if node.applied >= self.epoch {
                self.pass(node.id, How::Acknowledged, ms);
                continue;
            }
            let fresh = Seen { renewals: node.renewals, by: reading.answered_at };
            match self.waiting.get_mut(&node.id) {
                Some(seen) if seen.renewals != node.renewals => *seen = fresh,
                Some(seen) => {
                    if reading.asked_at.since(seen.by) >= silence_of(node.validity) {
                        self.pass(node.id, How::Silenced, ms);
                    }
                }
                None if self.through.contains_key(&node.id) => {}
                None => {
                    self.waiting.insert(node.id, fresh);
                }
            }
        }
    }

    fn pass(&mut self, id: NodeId, how: How, ms: u64) {
        self.waiting.remove(&id);
        self.through.entry(id).or_insert(NodeConfirmation { id, how, ms });
    }

    /// Every node's confirmation, once there is nobody to wait for.
    pub fn confirmed(&self) -> Option<Vec<NodeConfirmation>> {
        (self.has_read && self.waiting.is_empty()).then(|| self.through.values().cloned().collect())
    }

    /// Nodes that are waited for.
    pub fn pending(&self) -> Vec<NodeId> {
        self.waiting.keys().copied().collect()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic(milliseconds * 1_000_000)
    }

    fn reading(asked: u64, answered: u64, nodes: &[(u128, i64, i64)]) -> Reading {
        let counter = |(id, applied, renewals): &(u128, i64, i64)| Counter {
            id: NodeId::from_u128(*id),
            applied: Epoch(*applied),
            renewals: *renewals,
            validity: S,
        };
        Reading { asked_at: at(asked), answered_at: at(answered), nodes: nodes.iter().map(counter).collect() }
    }

    fn hows(observer: &Observer) -> Option<Vec<&'static str>> {
        observer.confirmed().map(|nodes| nodes.iter().map(|node| node.how.name()).collect())
    }

    #[test]
    fn all_must_have_acknowledged() {
        let mut observer = Observer::new(Epoch(7), at(0));
        assert_eq!(observer.confirmed(), None, "nothing was read");
        observer.step(&reading(1, 2, &[(1, 7, 5), (2, 6, 5)]));
        assert_eq!(observer.pending(), [NodeId::from_u128(2)]);
        observer.step(&reading(3, 4, &[(1, 7, 6), (2, 8, 6)]));
        assert_eq!(hows(&observer), Some(vec!["acknowledged", "acknowledged"]));
    }

    #[test]
    fn a_node_is_silenced_by_renewals_that_stand_still_for_longer_than_a_lease() {
        let mut observer = Observer::new(Epoch(7), at(0));
        observer.step(&reading(0, 10, &[(1, 6, 5)]));
        observer.step(&reading(1_059, 1_070, &[(1, 6, 5)]));
        assert_eq!(hows(&observer), None, "1.049 s apart");
        observer.step(&reading(1_060, 1_070, &[(1, 6, 5)]));
        assert_eq!(hows(&observer), Some(vec!["silenced"]));
    }

    #[test]
    fn a_renewal_begins_the_silence_anew() {
        let mut observer = Observer::new(Epoch(7), at(0));
        observer.step(&reading(0, 10, &[(1, 6, 5)]));
        observer.step(&reading(1_000, 1_010, &[(1, 6, 6)]));
        observer.step(&reading(2_059, 2_060, &[(1, 6, 6)]));
        assert_eq!(hows(&observer), None);
        observer.step(&reading(2_060, 2_061, &[(1, 6, 6)]));
        assert_eq!(hows(&observer), Some(vec!["silenced"]));
    }

    #[test]
    fn a_reading_that_began_before_the_commit_does_not_count() {
        let mut observer = Observer::new(Epoch(7), at(100));
        observer.step(&reading(99, 101, &[]));
        assert_eq!(hows(&observer), None);
        observer.step(&reading(100, 101, &[]));
        assert_eq!(hows(&observer), Some(vec![]), "no node, nobody to wait for");
    }

    #[test]
    fn a_node_that_left_is_not_waited_for() {
        let mut observer = Observer::new(Epoch(7), at(0));
        observer.step(&reading(1, 2, &[(1, 6, 5)]));
        observer.step(&reading(3, 4, &[]));
        assert_eq!(hows(&observer), Some(vec!["left"]));
    }
}
