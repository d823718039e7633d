//! The table of W53, draws and affinity, row by row. Health and sockets are not known here.

use super::*;
use std::collections::BTreeMap;

#[test]
fn the_table_of_what_follows_is_the_one_of_w53() {
    use Code::{Overloaded, ServiceUnavailable, UpstreamAuthError, UpstreamError, UpstreamTimeout};
    let short = Some(Duration::from_secs(2));
    let wait = Again::IfAlone(Duration::from_secs(2));
    let status = Trouble::Status;
    let rows = [
        (Trouble::Full, None, Again::No, Next::Always, Mark::Nothing, Some(Overloaded)),
        (Trouble::Unreachable, None, Again::AtOnce, Next::Always, Mark::Failure, Some(ServiceUnavailable)),
        (Trouble::Dropped, None, Again::AtOnce, Next::UnlessJob, Mark::Failure, Some(UpstreamError)),
        (Trouble::Broken, None, Again::No, Next::UnlessJob, Mark::Failure, Some(UpstreamError)),
        (Trouble::TimedOut, None, Again::No, Next::UnlessJob, Mark::Failure, Some(UpstreamTimeout)),
        (status(429), short, wait, Next::Always, Mark::Cools, Some(Overloaded)),
        (status(429), Some(Duration::from_secs(3)), Again::No, Next::Always, Mark::Cools, Some(Overloaded)),
        (status(429), None, Again::No, Next::Always, Mark::Cools, Some(Overloaded)),
        (status(503), short, wait, Next::Always, Mark::Failure, Some(Overloaded)),
        (status(529), None, Again::No, Next::Always, Mark::Failure, Some(Overloaded)),
    ];
    for (trouble, said, again, next, mark, answer) in rows {
        assert_eq!(course(trouble, said), Course { again, next, mark, answer }, "{trouble:?} {said:?}");
    }
    for code in [408, 500, 502, 504, 507, 599] {
        let expected =
            Course { again: Again::No, next: Next::UnlessJob, mark: Mark::Failure, answer: Some(UpstreamError) };
        assert_eq!(course(status(code), short), expected, "{code}");
    }
    for (code, answer) in
        [(401, UpstreamAuthError), (402, UpstreamAuthError), (403, UpstreamAuthError), (404, UpstreamError)]
            .into_iter()
            .chain([301, 302, 307, 308, 405, 410].map(|code| (code, UpstreamError)))
    {
        let expected = Course { again: Again::No, next: Next::Always, mark: Mark::Misconfigured, answer: Some(answer) };
        assert_eq!(course(status(code), short), expected, "{code}");
    }
    for code in [400, 409, 413, 415, 422, 451] {
        let expected = Course { again: Again::No, next: Next::Never, mark: Mark::Nothing, answer: None };
        assert_eq!(course(status(code), short), expected, "{code}");
    }
}

#[test]
fn a_draw_falls_on_the_target_whose_share_it_lies_in() {
    let first = |drawn: u64| by_weight(&[1, 3], |_| drawn);
    assert_eq!(first(0), [0, 1]);
    for drawn in 1..4 {
        assert_eq!(first(drawn), [1, 0]);
    }
    assert_eq!(first(99), [0, 1], "a draw beyond the total still names a target");
    assert_eq!(by_weight(&[0, 5, 0], |_| 0), [1], "a drained target is not asked");
    assert_eq!(by_weight(&[], |_| 0), [0_usize; 0]);
}

#[test]
fn over_many_draws_targets_get_their_shares() {
    let mut first = [0_u32; 3];
    for drawn in 0..1000_u64 {
        first[by_weight(&[1, 2, 7], |total| drawn % total)[0]] += 1;
    }
    assert_eq!(first, [100, 200, 700]);
}

#[test]
fn affinity_keeps_a_callers_prefix_on_one_target_and_moves_only_the_share_of_one_that_goes() {
    let targets = [(1, "a", "m"), (1, "b", "m"), (1, "c", "m")];
    let mut shares: BTreeMap<usize, u32> = BTreeMap::new();
    for number in 0..600 {
        let key = format!("prefix-{number}");
        let order = by_affinity(targets, "key", &key);
        assert_eq!(order.len(), 3);
        assert_eq!(order, by_affinity(targets, "key", &key));
        *shares.entry(order[0]).or_default() += 1;
        // The last one goes: whoever was not there stays where it was.
        let fewer = by_affinity(targets[..2].iter().copied(), "key", &key);
        if order[0] != 2 {
            assert_eq!(fewer[0], order[0]);
        } else {
            assert_eq!(fewer[0], order[1]);
        }
    }
    assert!(shares.values().all(|share| (140..=260).contains(share)), "{shares:?}");
}

#[test]
fn affinity_gives_more_to_a_heavier_target_and_nothing_to_a_drained_one() {
    let targets = [(1, "a", "m"), (3, "b", "m"), (0, "c", "m")];
    let heavy = (0..400).filter(|number| by_affinity(targets, &format!("key-{number}"), "")[0] == 1).count();
    assert!((260..=340).contains(&heavy), "{heavy}");
    assert_eq!(by_affinity(targets, "k", "").len(), 2);
}
