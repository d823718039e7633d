//! How long the disk takes to make a group of charges durable: what no answer that costs can be faster than.
//!
//! Counted by the appending thread, read by the metrics. Without a clock nothing is counted.

use claviger_domain::time::{Clock, Monotonic};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds: narrow where a solid disk answers, wide where one is in trouble.
const BOUNDS_MICROS: [u64; 19] = [
    50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 800, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 1_000_000,
];

/// The histogram of this process.
#[derive(Default)]
pub(crate) struct SyncTimes {
    clock: OnceLock<Arc<dyn Clock>>,
    buckets: [AtomicU64; BOUNDS_MICROS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
    /// Of the last sync; 0 = none yet.
    last_nanos: AtomicU64,
}

/// What a histogram had counted when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReading {
    /// Upper bound in microseconds, and how many syncs took no longer.
    pub buckets: Vec<(u64, u64)>,
    /// All syncs.
    pub count: u64,
    /// Their time together, nanoseconds.
    pub nanos: u64,
}

impl SyncTimes {
    /// Counts by this clock from now on; the first one stays.
    pub(crate) fn count_by(&self, clock: Arc<dyn Clock>) {
        let _ = self.clock.set(clock);
    }

    /// The beginning of a sync, for [`SyncTimes::end`].
    pub(crate) fn begin(&self) -> Option<Monotonic> {
        self.clock.get().map(|clock| clock.monotonic())
    }

    /// The end of a sync that succeeded.
    pub(crate) fn end(&self, begin: Option<Monotonic>) {
        if let Some((clock, begin)) = self.clock.get().zip(begin) {
            self.record(clock.monotonic().since(begin));
        }
    }

    fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(BOUNDS_MICROS.partition_point(|bound| *bound < micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.last_nanos.store(nanos, Ordering::Relaxed);
    }

    /// How long the last one took, once there was one.
    pub(crate) fn last(&self) -> Option<Duration> {
        let nanos = self.last_nanos.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    pub(crate) fn read(&self) -> SyncReading {
        let mut below = 0_u64;
        let cumulated = BOUNDS_MICROS.iter().zip(&self.buckets).map(|(bound, bucket)| {
            below = below.saturating_add(bucket.load(Ordering::Relaxed));
            (*bound, below)
        });
        SyncReading {
            buckets: cumulated.collect(),
            count: self.count.load(Ordering::Relaxed),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_falls_into_the_bucket_of_its_time_and_none_into_two() {
        let times = SyncTimes::default();
        for micros in [1, 50, 51, 1_000_000, 1_000_001] {
            times.record(Duration::from_micros(micros));
        }
        let reading = times.read();
        assert_eq!(reading.buckets.first(), Some(&(50, 2)));
        assert_eq!(reading.buckets.get(1), Some(&(100, 3)));
        assert_eq!(reading.buckets.last(), Some(&(1_000_000, 4)), "the slowest is beyond every bound");
        assert_eq!((reading.count, reading.nanos), (5, 2_000_103_000));
    }

    #[test]
    fn without_a_clock_nothing_is_counted() {
        let times = SyncTimes::default();
        times.end(times.begin());
        assert_eq!(times.read().count, 0);
    }
}
