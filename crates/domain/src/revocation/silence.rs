//! How long each node has been silent, on the clock of whoever looks: its renewals stood still between two readings.
//!
//! Pure. What follows from a silence (a node that cannot admit any more, a seat whose credit may be given back) is decided
//! by who asks; no wall clock is trusted here.

use super::Reading;
use crate::id::NodeId;
use crate::time::Monotonic;
use std::collections::BTreeMap;
use std::time::Duration;

/// A node whose renewals did not change since they were first read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The node.
    pub id: NodeId,
    /// Its renewals: it has spoken if they differ from these.
    pub renewals: i64,
    /// What lies between the first answer and the last question.
    pub lasts: Duration,
}

/// What was read of every node's renewals.
#[derive(Clone, Debug, Default)]
pub struct Silences(BTreeMap<NodeId, (i64, Monotonic)>);

impl Silences {
    /// Takes a reading; every node that has not spoken since an earlier one.
    pub fn step(&mut self, reading: &Reading) -> Vec<Silent> {
        self.0.retain(|id, _| reading.nodes.iter().any(|node| node.id == *id));
        let mut silent = Vec::new();
        for node in &reading.nodes {
            let seen = self.0.entry(node.id).or_insert((node.renewals, reading.answered_at));
            if seen.0 == node.renewals {
                let lasts = reading.asked_at.since(seen.1);
                silent.push(Silent { id: node.id, renewals: node.renewals, lasts });
            } else {
                *seen = (node.renewals, reading.answered_at);
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::{Counter, Epoch};

    fn reading(asked: u64, answered: u64, nodes: &[(u128, i64)]) -> Reading {
        let counter = |(id, renewals): &(u128, i64)| Counter {
            id: NodeId::from_u128(*id),
            applied: Epoch(0),
            renewals: *renewals,
            validity: Duration::from_secs(1),
        };
        let at = |milliseconds: u64| Monotonic(milliseconds * 1_000_000);
        Reading { asked_at: at(asked), answered_at: at(answered), nodes: nodes.iter().map(counter).collect() }
    }

    fn step(silences: &mut Silences, reading: &Reading) -> Vec<(u128, u64)> {
        let silent = silences.step(reading);
        silent.iter().map(|silent| (silent.id.to_u128(), silent.lasts.as_millis().try_into().unwrap())).collect()
    }

    #[test]
    fn silence_is_what_lies_between_the_first_answer_and_the_last_question() {
        let mut silences = Silences::default();
        assert_eq!(step(&mut silences, &reading(0, 10, &[(1, 5), (2, 7)])), [(1, 0), (2, 0)]);
        assert_eq!(step(&mut silences, &reading(1_000, 1_100, &[(1, 5), (2, 8)])), [(1, 990)]);
        assert_eq!(step(&mut silences, &reading(2_000, 2_100, &[(1, 5), (2, 8)])), [(1, 1_990), (2, 900)]);
    }

    #[test]
    fn a_node_that_left_and_came_back_begins_anew() {
        let mut silences = Silences::default();
        step(&mut silences, &reading(0, 10, &[(1, 0)]));
        step(&mut silences, &reading(500, 510, &[]));
        assert_eq!(step(&mut silences, &reading(5_000, 5_010, &[(1, 0)])), [(1, 0)]);
    }
}
