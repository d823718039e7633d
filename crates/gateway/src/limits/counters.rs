//! The words of one limiter, changed by compare-and-swap, and the rates they are counted under.
//!
//! The rates are values of a policy and are replaced with it; the counters are shared by all versions of the policy, so
//! that an edit never makes a limit fuller than before.

use super::shares::Shares;
use claviger_domain::gcra::{Full, Level, Rate, Reading, Taken};
use claviger_domain::key::Limits;
use claviger_domain::time::Monotonic;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a policy limits; at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) requests: Option<Rate>,
    pub(crate) tokens: Option<Rate>,
    pub(crate) concurrency: Option<u32>,
}

impl Rates {
    /// The rates of a policy; `None` when it limits nothing. A burst of one's own is one of requests: of tokens, ten
    /// seconds' worth may come at once.
    pub(crate) fn of(limits: &Limits) -> Option<Self> {
        let rates = Self {
            requests: limits.rpm.map(|limit| Rate::per_minute(limit, limits.burst)),
            tokens: limits.tpm.map(|limit| Rate::per_minute(limit, None)),
            concurrency: limits.concurrency,
        };
        (rates.requests.is_some() || rates.tokens.is_some() || rates.concurrency.is_some()).then_some(rates)
    }
}

/// The state of one limiter.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    tokens: AtomicU64,
    in_flight: AtomicU32,
    /// What this node may let through of rates that several nodes share.
    pub(super) shares: Shares,
}

impl Counters {
    /// Of somebody of this name who comes for the first time, at `now`.
    pub(crate) fn new(name: String, now: Monotonic) -> Self {
        Self { shares: Shares::of(name, Some(now)), ..Self::default() }
    }

    /// Of somebody who may have been counted before this node began, at `since`: tighter than it was, never looser.
    pub(crate) fn exhausted(name: String, rates: &Rates, since: Monotonic) -> Self {
        let word = |rate: Option<Rate>| AtomicU64::new(rate.map_or(0, |rate| rate.exhausted(since).0));
        let shares = Shares::of(name, None);
        Self { requests: word(rates.requests), tokens: word(rates.tokens), in_flight: AtomicU32::new(0), shares }
    }

    /// The policy changed: what was counted is counted under the new rates.
    pub(crate) fn convert(&self, former: &Rates, rates: Option<&Rates>, now: Monotonic) {
        let words = [
            (&self.requests, former.requests, rates.and_then(|rates| rates.requests)),
            (&self.tokens, former.tokens, rates.and_then(|rates| rates.tokens)),
        ];
        for (word, former, rate) in words {
            if former != rate {
                self.shares.forget();
            }
            match (former, rate) {
                (Some(former), Some(rate)) if former != rate => {
                    change(word, |level| rate.converted(&former, level, now));
                }
                (Some(_), None) => word.store(0, Ordering::Relaxed),
                _ => {}
            }
        }
    }

    /// Whether a limiter without history would say the same.
    pub(crate) fn is_idle(&self, now: Monotonic) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
            && [&self.requests, &self.tokens].iter().all(|word| Rate::is_idle(level(word), now))
    }

    /// One more in flight; `false` when there are `most` already.
    pub(crate) fn enter(&self, most: u32) -> bool {
        let entered = self.in_flight.try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            if count < most { count.checked_add(1) } else { None }
        });
        entered.is_ok()
    }

    /// Whether there are fewer than `most` in flight.
    pub(crate) fn has_place(&self, most: u32) -> bool {
        self.in_flight.load(Ordering::Relaxed) < most
    }

    /// One less in flight.
    pub(crate) fn leave(&self) {
        let _ = self.in_flight.try_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }

    pub(crate) fn take_request(&self, rate: &Rate, now: Monotonic) -> Result<Taken, Full> {
        take(&self.requests, rate, 1, now)
    }

    /// Another limit refused, in the same instant, what this one has let through.
    pub(crate) fn give_request_back(&self, rate: &Rate, now: Monotonic) {
        change(&self.requests, |level| rate.give_back(level, 1, Taken { level }, now));
    }

    pub(crate) fn take_tokens(&self, rate: &Rate, cost: u64, now: Monotonic) -> Result<Taken, Full> {
        take(&self.tokens, rate, cost, now)
    }

    /// What was used in truth, where `cost` had been taken.
    pub(crate) fn settle_tokens(&self, rate: &Rate, (cost, taken): (u64, Taken), used: u64, now: Monotonic) {
        change(&self.tokens, |level| match used.checked_sub(cost) {
            Some(more) => rate.add(level, more, now),
            None => rate.give_back(level, cost.saturating_sub(used), taken, now),
        });
    }

    pub(crate) fn read_requests(&self, rate: &Rate, now: Monotonic) -> Reading {
        rate.reading(level(&self.requests), now)
    }

    pub(crate) fn read_tokens(&self, rate: &Rate, now: Monotonic) -> Reading {
        rate.reading(level(&self.tokens), now)
    }
}

fn level(word: &AtomicU64) -> Level {
    Level(word.load(Ordering::Relaxed))
}

fn change(word: &AtomicU64, change: impl Fn(Level) -> Level) {
    let _ = word.try_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(change(Level(word)).0));
}

/// The one word says all, so no order with other memory is needed.
fn take(word: &AtomicU64, rate: &Rate, cost: u64, now: Monotonic) -> Result<Taken, Full> {
    let mut before = word.load(Ordering::Relaxed);
    loop {
        let taken = rate.take(Level(before), cost, now)?;
        match word.compare_exchange_weak(before, taken.level.0, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ok(taken),
            Err(other) => before = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn rates(rpm: u32) -> Rates {
        Rates::of(&Limits { rpm: Some(rpm), tpm: Some(rpm), ..Limits::default() }).unwrap()
    }

    #[test]
    fn many_threads_pass_exactly_what_one_would() {
        let (counters, rates, passed) = (Counters::default(), rates(600), AtomicUsize::new(0));
        let rate = rates.requests.unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if counters.take_request(&rate, Monotonic(1)).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 100);
    }

    #[test]
    fn a_place_is_given_to_exactly_as_many_as_there_are() {
        let (counters, entered) = (Counters::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if counters.enter(7) {
                            entered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(entered.into_inner(), 7);
        counters.leave();
        assert!(counters.enter(7) && !counters.enter(7));
        (0..9).for_each(|_| counters.leave());
        assert!(counters.is_idle(Monotonic(0)), "the count never goes below nothing");
    }

    #[test]
    fn an_edit_and_a_restart_leave_no_more_than_there_was() {
        let (now, former, raised) = (Monotonic(1_000_000_000), rates(60), rates(6_000));
        let counters = Counters::default();
        for _ in 0..9 {
            assert!(counters.take_request(&former.requests.unwrap(), now).is_ok());
        }
        counters.convert(&former, Some(&raised), now);
        assert_eq!(counters.read_requests(&raised.requests.unwrap(), now).remaining, 1);
        let restarted = Counters::exhausted(String::new(), &former, now);
        assert!(restarted.take_request(&former.requests.unwrap(), now).is_err());
        assert!(!restarted.is_idle(now) && restarted.is_idle(Monotonic(11_000_000_000)));
    }
}
