//! The revocation protocol in simulated histories: none slips, and each rule is needed.

use claviger_testkit::world::{Removed, Told, tell};
use std::sync::atomic::{AtomicU64, Ordering};

/// Histories of every run.
const HISTORIES: u64 = 20_000;

/// Histories in which a removed rule must show.
const ENOUGH: u64 = 4_000;

#[test]
fn no_history_admits_what_was_answered_as_revoked() {
    let next = AtomicU64::new(0);
    let sums = std::thread::scope(|threads| {
        let work = || {
            let mut sum = Told::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= HISTORIES {
                    return sum;
                }
                let told = tell(seed, Removed::Nothing).unwrap_or_else(|slip| panic!("{slip:?}"));
                sum.answered += told.answered;
                sum.silenced += told.silenced;
                sum.refused += told.refused;
                sum.joined += told.joined;
            }
        };
        let workers: Vec<_> = (0..2).map(|_| threads.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no slip")).collect::<Vec<_>>()
    });
    let sum = |of: fn(&Told) -> u64| sums.iter().map(of).sum::<u64>();
    let (answered, silenced) = (sum(|told| told.answered), sum(|told| told.silenced));
    let (refused, joined) = (sum(|told| told.refused), sum(|told| told.joined));
    println!("{HISTORIES} histories: {answered} answered, {silenced} silenced, {refused} refused, {joined} joined");
    // A simulation in which nothing happens proves nothing.
    assert!(answered > HISTORIES && silenced > HISTORIES / 4 && refused > HISTORIES / 20 && joined > HISTORIES);
}

fn caught(removed: Removed) {
    let found = (0..ENOUGH).find_map(|seed| tell(seed, removed).err());
    println!("{removed:?}: {found:?}");
    assert!(found.is_some(), "without {removed:?} nothing slipped in {ENOUGH} histories");
}

#[test]
fn a_lease_counted_from_the_reply_is_caught() {
    caught(Removed::LeaseFromSending);
}

#[test]
fn a_node_that_joins_after_its_snapshot_is_caught() {
    caught(Removed::JoinBeforeSnapshot);
}

#[test]
fn an_epoch_from_a_sequence_is_caught() {
    caught(Removed::EpochInCommitOrder);
}

#[test]
fn an_ignored_refusal_is_caught() {
    caught(Removed::RefusalHonoured);
}

#[test]
fn silence_without_a_margin_for_clock_rates_is_caught() {
    caught(Removed::ClockRateMargin);
}
