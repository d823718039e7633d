//! Shares of a rate that several nodes count together (`keys.md` §5).
//!
//! The rate is counted once, where all nodes look, by the word of `gcra.rs` on one clock. A node lets through only what was
//! let through there before: it asks for a quantum, uses it up without asking, and asks again. So any 60 seconds pass at
//! most the bound of the rate and, for each node, one quantum that it had from before. What was used in truth beyond what
//! was let through is a debt, told with the next ask. Where the word is kept, and who asks, is not known here.

use crate::gcra::{Full, Level, Rate};
use crate::time::Monotonic;

/// Into how many asks a node divides a minute's limit: an ask is a transaction, a quantum is what a node may have unused.
const QUANTA_A_MINUTE: u32 = 64;

/// What a node wants of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareAsk {
    /// Units that a request needs now; zero only tells the debt.
    pub need: u64,
    /// Units used beyond what was let through.
    pub debt: u64,
}

/// How many units a node asks for at once, if it needs no more.
pub fn quantum(rate: &Rate) -> u64 {
    u64::from(rate.limit()).checked_div(u64::from(QUANTA_A_MINUTE)).unwrap_or(0).max(1)
}

/// Books the debt, and lets a quantum through, or at least what is needed, or nothing.
pub fn share(rate: &Rate, level: Level, ask: ShareAsk, now: Monotonic) -> (Level, Result<u64, Full>) {
    let level = if ask.debt > 0 { rate.add(level, ask.debt, now) } else { level };
    if ask.need == 0 {
        return (level, Ok(0));
    }
    let wanted = ask.need.max(quantum(rate));
    if let Ok(taken) = rate.take(level, wanted, now) {
        return (taken.level, Ok(wanted));
    }
    match rate.take(level, ask.need, now) {
        Ok(taken) => (taken.level, Ok(ask.need)),
        Err(full) => (level, Err(full)),
    }
}

/// The most units that any 60 seconds let through on so many nodes together.
pub fn bound_of_a_minute(rate: &Rate, nodes: u64) -> u64 {
    rate.bound_of_a_minute().saturating_add(quantum(rate).saturating_mul(nodes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Monotonic;

    const SECOND: u64 = 1_000_000_000;

    fn ask(need: u64) -> ShareAsk {
        ShareAsk { need, debt: 0 }
    }

    #[test]
    fn a_quantum_is_let_through_while_there_is_one_and_then_what_is_needed() {
        let rate = Rate::per_minute(640, None);
        assert_eq!((quantum(&rate), quantum(&Rate::per_minute(6, None))), (10, 1));
        let (mut level, mut passed) = (Level::default(), Vec::new());
        let refused = loop {
            let (next, outcome) = share(&rate, level, ask(1), Monotonic(SECOND));
            level = next;
            match outcome {
                Ok(units) => passed.push(units),
                Err(full) => break full,
            }
        };
        assert_eq!(passed, [vec![10; 10], vec![1; 6]].concat(), "the burst is 106, in quanta and what is left of it");
        assert!(refused.wait.as_nanos() <= 60_000_000_000_u128.div_ceil(640), "{refused:?}");
    }

    #[test]
    fn a_debt_is_booked_with_or_without_a_need() {
        let rate = Rate::per_minute(60, None);
        let (level, told) = share(&rate, Level::default(), ShareAsk { need: 0, debt: 25 }, Monotonic(0));
        assert_eq!((level, told), (Level(25 * SECOND), Ok(0)));
        let (same, refused) = share(&rate, level, ask(1), Monotonic(0));
        assert_eq!((same, refused.map_err(|full| full.wait.as_secs())), (level, Err(16)));
    }

    /// Nodes that ask whenever they have nothing, at ten times the rate: whichever minute one looks at, the bound holds.
    #[test]
    fn many_nodes_pass_no_more_than_the_bound_in_any_minute() {
        for (limit, nodes) in [(6, 3), (60, 2), (1_000, 5), (9_000, 2)] {
            let rate = Rate::per_minute(limit, None);
            let mut units = vec![0_u64; nodes];
            let (mut level, mut passed) = (Level::default(), Vec::new());
            let step = SECOND * 6 / u64::from(limit);
            for tick in 0..(180 * SECOND / step) {
                let now = Monotonic(tick * step);
                // An uneven choice, the same in every run.
                let node = usize::try_from((tick * tick + tick / 7) % nodes as u64).unwrap();
                if units[node] == 0 {
                    let (next, outcome) = share(&rate, level, ask(1), now);
                    level = next;
                    units[node] = outcome.unwrap_or(0);
                }
                if units[node] > 0 {
                    units[node] -= 1;
                    passed.push(now.0);
                }
            }
            let bound = bound_of_a_minute(&rate, nodes as u64);
            for (index, begin) in passed.iter().enumerate() {
                let end = passed.partition_point(|at| *at < begin + 60 * SECOND);
                assert!((end - index) as u64 <= bound, "{limit} on {nodes}: {} of {bound}", end - index);
            }
            let usable = passed.len() as u64;
            assert!(usable * 100 >= u64::from(limit) * 3 * 95, "{limit} on {nodes}: {usable}");
        }
    }
}
