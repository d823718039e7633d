//! The machine against an exact count of every window, in virtual time.

use super::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// A limiter with its history: the times and costs of everything let through.
struct Watched {
    rate: Rate,
    level: Level,
    passed: Vec<(u64, u64)>,
}

impl Watched {
    fn new(rate: Rate) -> Self {
        Self { rate, level: Level::default(), passed: Vec::new() }
    }

    fn ask(&mut self, cost: u64, at: u64) -> Result<Taken, Full> {
        let taken = self.rate.take(self.level, cost, Monotonic(at))?;
        self.level = taken.level;
        self.passed.push((at, cost));
        Ok(taken)
    }

    /// The most that any window of 60 s let through: every such maximum begins at something that passed.
    fn most_in_a_minute(&self) -> u64 {
        let mut most = 0;
        let (mut sum, mut end) = (0, 0);
        for (index, (begin, cost)) in self.passed.iter().enumerate() {
            while end < self.passed.len() && self.passed[end].0 < begin + MINUTE_NS {
                sum += self.passed[end].1;
                end += 1;
            }
            most = most.max(sum);
            assert!(end > index);
            sum -= cost;
        }
        most
    }
}

#[test]
fn ten_seconds_worth_may_come_at_once_and_then_one_an_interval() {
    let mut watched = Watched::new(Rate::per_minute(60, None));
    assert_eq!((watched.rate.burst(), watched.rate.bound_of_a_minute()), (10, 69));
    for _ in 0..10 {
        assert!(watched.ask(1, SECOND).is_ok());
    }
    assert_eq!(watched.ask(1, SECOND), Err(Full { wait: Duration::from_secs(1) }));
    assert_eq!(watched.ask(1, SECOND + 356_000_000), Err(Full { wait: Duration::from_millis(644) }));
    assert!(watched.ask(1, 2 * SECOND).is_ok());
    let reading = watched.rate.reading(watched.level, Monotonic(2 * SECOND + SECOND / 2));
    assert_eq!(reading, Reading { limit: 60, remaining: 0, reset: Duration::from_millis(9_500) });
    let reading = watched.rate.reading(watched.level, Monotonic(60 * SECOND));
    assert_eq!(reading, Reading { limit: 60, remaining: 10, reset: Duration::ZERO });
}

#[test]
fn small_limits_and_own_bursts() {
    assert_eq!((Rate::per_minute(1, None).burst(), Rate::per_minute(1, None).bound_of_a_minute()), (1, 1));
    assert_eq!(Rate::per_minute(5, None).bound_of_a_minute(), 5);
    assert_eq!(Rate::per_minute(600, Some(1)).bound_of_a_minute(), 600);
    assert_eq!(Rate::per_minute(0, Some(0)), Rate::per_minute(1, Some(1)), "a rate of nothing does not exist");
    assert_eq!(Rate::per_minute(u32::MAX, None).interval_ns, 14);
}

#[test]
fn a_cost_above_the_burst_passes_when_nothing_is_owed_and_is_owed_whole() {
    let mut watched = Watched::new(Rate::per_minute(600, None));
    assert!(watched.ask(1_000, 0).is_ok(), "a hundred at once, but slow is not impossible");
    assert_eq!(watched.ask(1, 0), Err(Full { wait: Duration::from_millis(90_100) }));
    assert!(watched.ask(1, 90_100_000_000).is_ok());
    assert!(watched.ask(101, 99 * SECOND).is_err(), "something is owed");
    assert!(watched.ask(101, 101 * SECOND).is_ok());
}

#[test]
fn what_was_used_beyond_the_estimate_is_owed_and_what_was_not_used_comes_back() {
    let rate = Rate::per_minute(600, None);
    let now = Monotonic(SECOND);
    let taken = rate.take(Level::default(), 100, now).unwrap();
    let debt = rate.add(taken.level, 300, now);
    assert_eq!(rate.take(debt, 1, now), Err(Full { wait: Duration::from_millis(30_100) }));
    let back = rate.give_back(taken.level, 40, taken, now);
    assert_eq!(rate.reading(back, now).remaining, 40);
    // Eight of the ten seconds have been waited for: only two seconds' worth can still come back.
    let later = Monotonic(9 * SECOND);
    assert_eq!(rate.give_back(taken.level, 100, taken, later).0, taken.level.0 - 2 * SECOND);
}

#[test]
fn sixty_windows_at_ten_times_the_limit_pass_within_the_bound_and_nearly_all_of_it_is_usable() {
    // From twelve on two fit at once: below, who asks at even steps may come just too early each time.
    for limit in [12, 60, 600, 6_000] {
        let mut watched = Watched::new(Rate::per_minute(limit, None));
        let step = MINUTE_NS / u64::from(limit) / 10;
        let mut at = 5 * SECOND;
        let end = at + 60 * MINUTE_NS;
        while at < end {
            let _ = watched.ask(1, at);
            at += step;
        }
        let bound = watched.rate.bound_of_a_minute();
        assert!(watched.most_in_a_minute() <= bound, "{limit}: {} > {bound}", watched.most_in_a_minute());
        assert!(bound * 6 <= u64::from(limit) * 7, "{limit}: the stated bound is at most 7/6");
        let usable = u64::from(limit) * 60 * 95 / 100;
        assert!(watched.passed.len() as u64 >= usable, "{limit}: {} of {usable}", watched.passed.len());
    }
}

proptest! {
    #[test]
    fn no_window_of_a_minute_passes_more_than_the_bound(
        limit in 1_u32..200,
        burst in proptest::option::of(1_u32..50),
        // Mostly more than the limit lets through, with pauses that fill it again.
        asks in proptest::collection::vec((0_u64..600, 1_u64..3, 0_u32..40), 600),
    ) {
        let mut watched = Watched::new(Rate::per_minute(limit, burst));
        let (mut at, most) = (0, u64::from(watched.rate.burst()));
        for (permille, cost, pause) in asks {
            at += watched.rate.interval_ns * permille / 1_000;
            if pause == 0 {
                at += watched.rate.capacity_ns();
            }
            let _ = watched.ask(cost.min(most), at);
        }
        prop_assert!(watched.most_in_a_minute() <= watched.rate.bound_of_a_minute());
    }

    #[test]
    fn whoever_waits_as_told_passes(limit in 1_u32..100_000, costs in proptest::collection::vec(1_u64..5_000, 1..50)) {
        let mut watched = Watched::new(Rate::per_minute(limit, None));
        let mut at = SECOND;
        for cost in costs {
            if let Err(full) = watched.ask(cost, at) {
                prop_assert!(full.wait > Duration::ZERO);
                let wait = u64::try_from(full.wait.as_nanos()).unwrap();
                prop_assert!(watched.ask(cost, at + wait - 1).is_err(), "one nanosecond earlier it does not");
                at += wait;
                prop_assert!(watched.ask(cost, at).is_ok());
            }
        }
    }

    #[test]
    fn tokens_are_exact_over_time_whatever_was_estimated(
        limit in 60_u32..100_000,
        answers in proptest::collection::vec((0_u64..2 * SECOND, 1_u64..200, 0_u64..600, 0_u64..SECOND), 1..200),
    ) {
        // One answer at a time: an estimate, then the truth.
        let rate = Rate::per_minute(limit, None);
        let (mut level, mut at, mut used, mut largest) = (Level::default(), SECOND, 0_u64, 0_u64);
        for (gap, estimate, truth, lasts) in answers {
            at += gap;
            let Ok(taken) = rate.take(level, estimate, Monotonic(at)) else { continue };
            level = taken.level;
            at += lasts;
            level = match truth.checked_sub(estimate) {
                Some(more) => rate.add(level, more, Monotonic(at)),
                None => rate.give_back(level, estimate - truth, taken, Monotonic(at)),
            };
            used += truth;
            largest = largest.max(estimate.max(truth));
        }
        let allowed = u128::from(at - SECOND) / u128::from(rate.interval_ns) + u128::from(rate.burst()) + u128::from(largest);
        prop_assert!(u128::from(used) <= allowed, "{used} used, {allowed} allowed");
    }

    #[test]
    fn a_changed_limit_is_never_fuller_than_before(
        before in 1_u32..10_000, after in 1_u32..10_000, own in proptest::option::of(1_u32..5_000),
        owed in 0_u64..120 * SECOND, now in SECOND..1_000 * SECOND,
    ) {
        let (former, rate) = (Rate::per_minute(before, None), Rate::per_minute(after, own));
        let (level, now) = (Level(now + owed), Monotonic(now));
        let level_after = rate.converted(&former, level, now);
        let (was, is) = (former.reading(level, now).remaining, rate.reading(level_after, now).remaining);
        prop_assert!(is <= was && is <= rate.burst(), "{was} before, {is} after");
        let debt = |rate: &Rate, level: Level| (level.0 - now.0).saturating_sub(rate.capacity_ns()) / rate.interval_ns;
        prop_assert!(debt(&rate, level_after) >= debt(&former, level), "a debt is not forgiven");
        prop_assert_eq!(rate.converted(&rate, rate.exhausted(now), now), rate.exhausted(now));
    }

    #[test]
    fn a_restarted_limiter_passes_no_more_than_one_that_went_on(limit in 1_u32..1_000, restart in 0_u64..120 * SECOND, step in 1_u64..SECOND) {
        let mut watched = Watched::new(Rate::per_minute(limit, None));
        let (mut at, mut has_restarted) = (0, false);
        while at < 180 * SECOND {
            if at >= restart && !has_restarted {
                has_restarted = true;
                watched.level = watched.rate.exhausted(Monotonic(at));
            }
            let _ = watched.ask(1, at);
            at += step.max(SECOND / 100);
        }
        prop_assert!(watched.most_in_a_minute() <= watched.rate.bound_of_a_minute());
    }

    #[test]
    fn no_input_overflows(level in any::<u64>(), cost in any::<u64>(), now in any::<u64>(), limit in any::<u32>(), burst in proptest::option::of(any::<u32>())) {
        let rate = Rate::per_minute(limit, burst);
        let (level, now) = (Level(level), Monotonic(now));
        if let Ok(taken) = rate.take(level, cost, now) {
            let _ = rate.give_back(rate.add(taken.level, cost, now), cost, taken, now);
        }
        let _ = rate.converted(&Rate::per_minute(1, None), level, now);
        let _ = rate.reading(level, now);
    }
}
