//! A clock that moves when a test says so.

use claviger_domain::time::{Clock, Monotonic, Now, Timestamp};
use parking_lot::Mutex;
use std::time::Duration;

/// 2026-11-21T10:00:00Z, where tests begin unless they say otherwise.
pub const START: Timestamp = Timestamp(1_795_255_200_000_000);

/// A clock that stands still between steps; both readings move together unless the wall is set.
#[derive(Debug)]
pub struct SteppedClock(Mutex<Now>);

impl SteppedClock {
    /// A clock at [`START`].
    pub fn new() -> Self {
        Self::at(START)
    }

    /// A clock at a wall time.
    pub fn at(wall: Timestamp) -> Self {
        Self(Mutex::new(Now { wall, monotonic: Monotonic(1_000_000_000) }))
    }

    /// Lets time pass on both clocks.
    pub fn step(&self, by: Duration) {
        let mut now = self.0.lock();
        now.wall = now.wall.plus(by);
        now.monotonic =
            Monotonic(now.monotonic.0 + u64::try_from(by.as_nanos()).expect("a test steps less than 584 years"));
    }

    /// Sets the wall clock, as an operator or a time server does; the monotonic one goes on.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.lock().wall = wall;
    }
}

impl Default for SteppedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Now {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_when_stepped() {
        let clock = SteppedClock::new();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.step(Duration::from_secs(2));
        assert_eq!(clock.now().wall.seconds() - before.wall.seconds(), 2);
        assert_eq!(clock.now().monotonic.since(before.monotonic), Duration::from_secs(2));
        assert_eq!(START.rfc3339(), "2026-11-21T10:00:00Z");
    }
}
