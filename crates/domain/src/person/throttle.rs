//! The brake on guessing: so many tries at once, then one at a time, for ever forgiving (`keys.md` §7).
//!
//! Whoever has one IPv6 address has the 2⁶⁴ of its network: these are one subject.
//!
//! A subject is a person or an address, known only by a number; there is no lock-out, so nobody can shut another out for
//! longer than a moment. The memory is bounded: when it is full the subject that has waited longest is forgotten, which
//! forgives a stranger rather than refusing one.

use crate::time::Monotonic;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// The brake: `tries` at once, and one more each `refill`.
#[derive(Debug)]
pub struct Throttle {
    tries: u32,
    refill: Duration,
    subjects_max: usize,
    /// Subject → the instant at which all its tries are there again.
    full_at: HashMap<u64, Monotonic>,
}

impl Throttle {
    /// `tries` in each `window`, for at most `subjects_max` subjects.
    pub fn new(tries: u32, window: Duration, subjects_max: usize) -> Self {
        let refill = window.checked_div(tries.max(1)).unwrap_or(window);
        Self { tries: tries.max(1), refill, subjects_max, full_at: HashMap::new() }
    }

    /// Takes a try for every subject, or for none.
    ///
    /// # Errors
    /// How long to wait when one of them has no try left.
    pub fn take(&mut self, subjects: &[u64], now: Monotonic) -> Result<(), Duration> {
        let room = self.refill.saturating_mul(self.tries.saturating_sub(1));
        let mut wait = Duration::ZERO;
        for subject in subjects {
            let debt = self.full_at.get(subject).map_or(Duration::ZERO, |full_at| full_at.since(now));
            wait = wait.max(debt.saturating_sub(room));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        for subject in subjects {
            let from = self.full_at.get(subject).copied().unwrap_or(now).max(now);
            self.make_room(now);
            self.full_at.insert(*subject, plus(from, self.refill));
        }
        Ok(())
    }

    /// Gives the try back: it was no guess.
    pub fn give_back(&mut self, subjects: &[u64]) {
        for subject in subjects {
            if let Some(full_at) = self.full_at.get_mut(subject) {
                full_at.0 = full_at.0.saturating_sub(nanos(self.refill));
            }
        }
    }

    fn make_room(&mut self, now: Monotonic) {
        if self.full_at.len() < self.subjects_max {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= self.subjects_max
            && let Some(first) = self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(subject, _)| *subject)
        {
            self.full_at.remove(&first);
        }
    }
}

/// The network that guesses from this address: an IPv4 address itself, of IPv6 the /64. A text that is no address is its own.
pub fn guesser(address: &str) -> String {
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn plus(at: Monotonic, duration: Duration) -> Monotonic {
    Monotonic(at.0.saturating_add(nanos(duration)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000_000)
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_guesser() {
        let network = guesser("2001:db8:1:2::1");
        for address in ["2001:db8:1:2::2", "2001:db8:1:2:ffff:ffff:ffff:ffff"] {
            assert_eq!(guesser(address), network);
        }
        assert_ne!(guesser("2001:db8:1:3::1"), network);
        assert_eq!(guesser("::ffff:192.0.2.7"), guesser("192.0.2.7"));
        assert_ne!(guesser("192.0.2.8"), guesser("192.0.2.7"));
    }

    #[test]
    fn five_tries_a_minute_then_one_each_twelve_seconds() {
        let mut throttle = Throttle::new(5, Duration::from_secs(60), 100);
        for _ in 0..5 {
            assert_eq!(throttle.take(&[1, 2], at(0)), Ok(()));
        }
        assert_eq!(throttle.take(&[1], at(0)), Err(Duration::from_secs(12)));
        assert_eq!(throttle.take(&[3, 2], at(2)), Err(Duration::from_secs(10)), "one tired subject is enough");
        assert_eq!(throttle.take(&[3], at(2)), Ok(()), "and the other paid nothing for it");
        assert_eq!(throttle.take(&[1], at(12)), Ok(()));
        assert!(throttle.take(&[1], at(12)).is_err());
        assert_eq!(throttle.take(&[1], at(200)), Ok(()), "no lock-out");
    }

    #[test]
    fn what_was_no_guess_is_given_back() {
        let mut throttle = Throttle::new(5, Duration::from_secs(60), 100);
        for _ in 0..100 {
            assert_eq!(throttle.take(&[1], at(0)), Ok(()));
            throttle.give_back(&[1]);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::new(5, Duration::from_secs(60), 10);
        for subject in 0..1000 {
            assert_eq!(throttle.take(&[subject], at(1)), Ok(()));
        }
        assert!(throttle.full_at.len() <= 10);
    }
}
