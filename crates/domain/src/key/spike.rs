//! When a key spends so much more than it did that its owners want to know (`keys.md` §4).
//!
//! The last hour is compared with the mean hour of the seven days before it, or of as many as the key is old. Whoever
//! spends little is never told of. What was spent, and whether it was told before, is not known here.

use crate::limits;
use crate::money::Nano;
use std::time::Duration;

/// What a key was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// In the last hour.
    pub lately: Nano,
    /// In the seven days before it.
    pub before: Nano,
    /// How long the key was there when the last hour began.
    pub age: Duration,
}

impl Spending {
    /// The mean hour of before, cut off.
    pub fn mean(&self) -> Nano {
        Nano(self.before.0.checked_div(self.hours()).unwrap_or(0))
    }

    /// Whether this is worth an alarm, of whoever is told of more than `least` an hour.
    pub fn is_spike(&self, least: Nano) -> bool {
        let lately = i128::from(self.lately.0).saturating_mul(i128::from(self.hours()));
        let usual = i128::from(self.before.0).saturating_mul(i128::from(limits::SPIKE_FACTOR));
        self.age >= limits::SPIKE_KEY_AGE && self.lately > least && lately > usual
    }

    /// Hours that the mean is of, at least one.
    fn hours(&self) -> i64 {
        let hours = self.age.min(limits::SPIKE_MEAN).as_secs().checked_div(3600).unwrap_or(0);
        i64::try_from(hours).unwrap_or(i64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: i64 = 1_000_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn is_spike(lately: i64, before: i64, hours: u32) -> bool {
        Spending { lately: Nano(lately), before: Nano(before), age: HOUR * hours }.is_spike(Nano(UNIT))
    }

    #[test]
    fn more_than_eight_times_the_mean_hour_and_more_than_a_unit_is_a_spike() {
        let week = 24 * 7;
        let before = i64::from(week) * UNIT;
        assert!(!is_spike(8 * UNIT, before, week), "eight times is not more");
        assert!(is_spike(8 * UNIT + 1, before, week));
        assert!(!is_spike(UNIT, 0, week), "a unit is not more than one");
        assert!(is_spike(UNIT + 1, 0, week), "it never spent");
    }

    #[test]
    fn the_mean_is_of_the_hours_that_the_key_was_there() {
        // Two units an hour for two days, then seventeen in one.
        assert!(is_spike(17 * UNIT, 48 * 2 * UNIT, 48));
        assert!(!is_spike(16 * UNIT, 48 * 2 * UNIT, 48));
        // An older key is compared with a week.
        assert!(is_spike(17 * UNIT, 168 * 2 * UNIT, 5_000));
        assert!(!is_spike(100 * UNIT, 0, 23), "a young key is finding its use");
        assert_eq!(Spending { lately: Nano(0), before: Nano(96), age: HOUR * 48 }.mean(), Nano(2));
    }

    #[test]
    fn nothing_overflows() {
        assert!(is_spike(i64::MAX, i64::MAX, 168), "as much in an hour as in a week");
        assert!(!is_spike(2 * UNIT, i64::MAX, 24));
        assert!(is_spike(i64::MAX, 0, u32::MAX));
    }
}
