//! The one real clock of the program.
//!
//! Everything else takes the time as an argument. Monotonic time counts from the making of the clock.

use claviger_domain::time::{Clock, Monotonic, Now, Timestamp};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads the machine's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineClock {
    start: Instant,
}

impl MachineClock {
    /// A clock whose monotonic zero is now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Now {
        Now { wall: self.wall(), monotonic: self.monotonic() }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(i64::try_from(wall.as_micros()).unwrap_or(i64::MAX));
        #[cfg(feature = "bugs")]
        let wall = Timestamp(wall.0 + AHEAD.load(std::sync::atomic::Ordering::Relaxed) * 1_000_000);
        wall
    }

    fn monotonic(&self) -> Monotonic {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        #[cfg(feature = "bugs")]
        let nanos = distorted(nanos);
        Monotonic(nanos)
    }
}

/// Thousandths of the true rate at which the monotonic clocks of this test build run.
#[cfg(feature = "bugs")]
static RATE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1000);

/// Seconds by which the wall clock of this test build is ahead of the machine's.
#[cfg(feature = "bugs")]
static AHEAD: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

/// Sets the wall clock of this process, as an operator or a time server would. Before the first reading.
#[cfg(feature = "bugs")]
pub(crate) fn set_ahead(seconds: i64) {
    AHEAD.store(seconds, std::sync::atomic::Ordering::Relaxed);
}

/// Makes every monotonic clock run at `rate` thousandths of the true rate. Before the first is made.
#[cfg(feature = "bugs")]
pub(crate) fn run_at(rate: u64) {
    RATE.store(rate, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(feature = "bugs")]
fn distorted(nanos: u64) -> u64 {
    let rate = RATE.load(std::sync::atomic::Ordering::Relaxed);
    u64::try_from(u128::from(nanos) * u128::from(rate) / 1000).unwrap_or(u64::MAX)
}
