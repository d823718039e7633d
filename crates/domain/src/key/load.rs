//! What a key asked in the last hour, and how much of it its limits refused: twelve slots of five minutes.
//!
//! Whoever is refused more than one of a hundred requests has a limit that does not fit (`keys.md` §4, `rate_limited`).

use crate::limits;
use crate::time::Timestamp;

const SLOTS: usize = 12;
const SLOT_MICROS: i64 = 300_000_000;

/// One key's last hour.
#[derive(Clone, Debug, Default)]
pub struct HourLoad {
    /// Requests and refused ones, of the slot `number % SLOTS`.
    slots: [(u32, u32); SLOTS],
    /// The newest slot, counted from 1970.
    newest: i64,
}

impl HourLoad {
    /// Counts what came until `now`. Time that goes backwards counts in the newest slot.
    pub fn add(&mut self, requests: u32, refused: u32, now: Timestamp) {
        self.go_on(now);
        let place = usize::try_from(self.newest.rem_euclid(SLOTS as i64)).unwrap_or(0);
        if let Some((all, of_them)) = self.slots.get_mut(place) {
            *all = all.saturating_add(requests);
            *of_them = of_them.saturating_add(refused);
        }
    }

    /// Whether too much of the last hour was refused.
    pub fn is_limited(&mut self, now: Timestamp) -> bool {
        self.go_on(now);
        let (all, refused) = self.sums();
        refused.saturating_mul(limits::RATE_LIMITED_SHARE) > all
    }

    /// Whether nothing came in the last hour.
    pub fn is_empty(&mut self, now: Timestamp) -> bool {
        self.go_on(now);
        self.sums().0 == 0
    }

    fn sums(&self) -> (u64, u64) {
        self.slots.iter().fold((0, 0), |(all, refused), slot| {
            (all.saturating_add(u64::from(slot.0)), refused.saturating_add(u64::from(slot.1)))
        })
    }

    fn go_on(&mut self, now: Timestamp) {
        let number = now.0.div_euclid(SLOT_MICROS);
        let steps = number.saturating_sub(self.newest).clamp(0, SLOTS as i64);
        for step in 0..steps {
            let place = number.saturating_sub(step).rem_euclid(SLOTS as i64);
            if let Some(slot) = usize::try_from(place).ok().and_then(|place| self.slots.get_mut(place)) {
                *slot = (0, 0);
            }
        }
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_of_a_hundred_in_the_last_hour_is_too_much() {
        let minute = |minutes: i64| Timestamp(1_800_000_000_000_000 + minutes * 60_000_000);
        let mut load = HourLoad::default();
        assert!(load.is_empty(minute(0)) && !load.is_limited(minute(0)));
        load.add(100, 1, minute(0));
        assert!(!load.is_limited(minute(0)), "one of a hundred");
        load.add(99, 1, minute(30));
        assert!(load.is_limited(minute(30)), "two of 199");
        load.add(1, 0, minute(31));
        assert!(!load.is_limited(minute(31)), "two of 200");
        load.add(50, 1, minute(59));
        assert!(load.is_limited(minute(59)));
        assert!(load.is_limited(minute(62)), "the first slot is gone: two of 151");
        assert!(!load.is_limited(minute(119)) && load.is_empty(minute(119)));
        load.add(1, 1, minute(90));
        assert!(load.is_limited(minute(119)), "a clock that went back loses nothing");
    }
}
