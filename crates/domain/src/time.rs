//! Points in time as arguments: wall time for people and records, monotonic time for durations.
//!
//! It refuses to know how a clock is read; whoever reads one implements [`Clock`].

use std::fmt;
use std::time::Duration;

/// Microseconds since 1970-01-01T00:00:00Z. Range of the database column: `i64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Nanoseconds on a clock that only goes forward; comparable within one process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

/// One reading of both clocks, passed to whatever needs the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall time: shown, stored, compared with expiries.
    pub wall: Timestamp,
    /// Monotonic time: for timeouts, leases and latencies.
    pub monotonic: Monotonic,
}

/// What another clock said at an instant of this process, carried on from there: the clock that all nodes share, even
/// where this machine's own is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherClock {
    /// Its wall time less the monotonic one, in microseconds.
    ahead: i64,
}

impl OtherClock {
    /// It said `wall` at this instant or shortly before.
    pub fn said(wall: Timestamp, at: Monotonic) -> Self {
        Self { ahead: wall.0.saturating_sub(at.micros()) }
    }

    /// What it says at `now`: never later than the truth, as long as the two run at one rate.
    pub fn at(self, now: Monotonic) -> Timestamp {
        Timestamp(self.ahead.saturating_add(now.micros()))
    }

    /// As a number, for a place that is read without a lock.
    pub const fn to_bits(self) -> i64 {
        self.ahead
    }

    /// From that number.
    pub const fn from_bits(ahead: i64) -> Self {
        Self { ahead }
    }
}

impl Monotonic {
    fn micros(self) -> i64 {
        i64::try_from(self.0.checked_div(1_000).unwrap_or(0)).unwrap_or(i64::MAX)
    }
}

/// The source of [`Now`]; the real one is in the binary, a stepped one in the tests.
pub trait Clock: Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Reads the wall's alone, where the other is not asked for.
    fn wall(&self) -> Timestamp {
        self.now().wall
    }

    /// Reads the one that only goes forward alone.
    fn monotonic(&self) -> Monotonic {
        self.now().monotonic
    }
}

/// The source of randomness, as an argument. Must be cryptographic wherever a secret is drawn.
pub trait Random: Send {
    /// Fills `bytes` whole.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl Timestamp {
    /// Behind everything that happens.
    pub const NEVER: Self = Self(i64::MAX);

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The timestamp of whole seconds; saturates at the range of `i64` microseconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// This time plus a duration; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time less a duration; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The UTC calendar date, `2026-11-21`.
    pub fn date(self) -> String {
        let (year, month, day) = civil_from_days(self.seconds().div_euclid(86_400));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// RFC 3339 in UTC with whole seconds, `2026-11-21T10:00:00Z`.
    pub fn rfc3339(self) -> String {
        let second = self.seconds().rem_euclid(86_400);
        format!("{}T{:02}:{:02}:{:02}Z", self.date(), second / 3600, (second / 60) % 60, second % 60)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl Monotonic {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Days since 1970 to (year, month, day) of the proleptic Gregorian calendar.
/// Method: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
#[expect(clippy::arithmetic_side_effects, reason = "days come from i64 microseconds: all terms stay below 2^48")]
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_people_write_them() {
        assert_eq!(Timestamp::from_seconds(0).rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_seconds(951_782_399).rfc3339(), "2000-02-28T23:59:59Z");
        assert_eq!(Timestamp::from_seconds(951_782_400).date(), "2000-02-29");
        assert_eq!(Timestamp::from_seconds(1_795_255_200).rfc3339(), "2026-11-21T10:00:00Z");
        assert_eq!(Timestamp(-1).rfc3339(), "1969-12-31T23:59:59Z");
    }
}
