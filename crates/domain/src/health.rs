//! Whether a target may be asked, from what it answered before (W55), and how many repeats a provider may be sent (W54).
//!
//! Passive: only real traffic is counted, and what a client did is never held against a target. Which requests there are,
//! and what an answer meant, is not known here.

use crate::limits;
use crate::time::Monotonic;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// What became of a request, or what is asked of the target now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole answer came. `is_probe` = of the one request that a half-open circuit let through.
    Succeeded {
        /// Whether it was the probe.
        is_probe: bool,
    },
    /// It failed: W53's column *health*.
    Failed {
        /// Whether it was the probe.
        is_probe: bool,
        /// A random number, which spreads the next try by ± 10 %.
        draw: u64,
    },
    /// It has too much to do and says for how long.
    Throttled {
        /// Whether it was the probe.
        is_probe: bool,
        /// Its own `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// It refuses us as we are configured: no request can succeed.
    Misconfigured,
    /// The probe ended without saying anything of the target: its client left.
    ProbeLost,
}

/// Whether a target may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Ready,
    /// One request may try whether it is well again.
    Probe,
    /// Not before then: it has too much to do.
    Cooling(Monotonic),
    /// Not before then: it failed.
    Open(Monotonic),
}

/// The health of one target as one node sees it.
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    state: State,
    /// Failures since the last success.
    failed_in_a_row: u32,
    outcomes: Outcomes,
    cools_until: Monotonic,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Closed,
    /// Nobody asks until then.
    Open { until: Monotonic, lasted: Duration },
    /// One at a time.
    HalfOpen { lasted: Duration, succeeded: u8, probing_since: Option<Monotonic> },
}

impl Circuit {
    /// Whether it may be asked. Nothing changes by asking.
    pub fn standing(&self, now: Monotonic) -> Standing {
        if now < self.cools_until {
            return Standing::Cooling(self.cools_until);
        }
        match self.state {
            State::Closed => Standing::Ready,
            State::Open { until, .. } if now < until => Standing::Open(until),
            State::HalfOpen { probing_since: Some(since), .. } if now < later(since, limits::PROBE_MAX) => {
                Standing::Open(later(now, Duration::from_secs(1)))
            }
            State::Open { .. } | State::HalfOpen { .. } => Standing::Probe,
        }
    }

    /// Whether one request goes now, and whether as the probe; `None` = another was faster.
    pub fn begin(&mut self, now: Monotonic) -> Option<bool> {
        match self.standing(now) {
            Standing::Ready => Some(false),
            Standing::Cooling(_) | Standing::Open(_) => None,
            Standing::Probe => {
                let (lasted, succeeded) = match self.state {
                    State::HalfOpen { lasted, succeeded, .. } => (lasted, succeeded),
                    State::Open { lasted, .. } => (lasted, 0),
                    State::Closed => (Duration::ZERO, 0),
                };
                self.state = State::HalfOpen { lasted, succeeded, probing_since: Some(now) };
                Some(true)
            }
        }
    }

    /// Takes what happened; whether the circuit opened by it.
    pub fn step(&mut self, event: Event, now: Monotonic) -> bool {
        match event {
            Event::Succeeded { is_probe } => {
                self.succeeded(is_probe, now);
                false
            }
            Event::Failed { is_probe, draw } => self.failed(is_probe, draw, now),
            Event::Throttled { is_probe, retry_after } => {
                let cools = retry_after.unwrap_or(limits::COOL_MIN).clamp(limits::COOL_MIN, limits::COOL_MAX);
                self.cools_until = self.cools_until.max(later(now, cools));
                if is_probe {
                    self.release();
                }
                false
            }
            Event::Misconfigured => {
                let was_open = matches!(self.state, State::Open { .. });
                let until = later(now, limits::CIRCUIT_OPEN_MAX);
                self.state = State::Open { until, lasted: limits::CIRCUIT_OPEN_MAX };
                !was_open
            }
            Event::ProbeLost => {
                self.release();
                false
            }
        }
    }

    fn succeeded(&mut self, is_probe: bool, now: Monotonic) {
        match &mut self.state {
            State::Closed => {
                self.failed_in_a_row = 0;
                self.outcomes.note(now, true);
            }
            State::HalfOpen { succeeded, probing_since, .. } if is_probe => {
                *succeeded = succeeded.saturating_add(1);
                *probing_since = None;
                if *succeeded >= limits::PROBES_TO_CLOSE {
                    *self = Self { cools_until: self.cools_until, ..Self::default() };
                }
            }
            // Begun before it opened: old news.
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    fn failed(&mut self, is_probe: bool, draw: u64, now: Monotonic) -> bool {
        let lasted = match self.state {
            State::Closed => {
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
                self.outcomes.note(now, false);
                if self.failed_in_a_row < limits::FAILURES_TO_OPEN && !self.outcomes.are_bad(now) {
                    return false;
                }
                limits::CIRCUIT_OPEN
            }
            State::HalfOpen { lasted, .. } if is_probe => {
                lasted.saturating_mul(2).clamp(limits::CIRCUIT_OPEN, limits::CIRCUIT_OPEN_MAX)
            }
            State::Open { .. } | State::HalfOpen { .. } => return false,
        };
        self.state = State::Open { until: later(now, spread(lasted, draw)), lasted };
        self.failed_in_a_row = 0;
        self.outcomes = Outcomes::default();
        true
    }

    fn release(&mut self) {
        if let State::HalfOpen { probing_since, .. } = &mut self.state {
            *probing_since = None;
        }
    }
}

/// `lasted` ± 10 %.
fn spread(lasted: Duration, draw: u64) -> Duration {
    let percent = u32::try_from(draw.checked_rem(21).unwrap_or(0)).unwrap_or(0).saturating_add(90);
    lasted.saturating_mul(percent).checked_div(100).unwrap_or(lasted)
}

fn later(at: Monotonic, by: Duration) -> Monotonic {
    Monotonic(at.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
}

/// Slices of a window.
const SLICES: usize = 6;

/// Outcomes of the last 30 s, in slices of 5 s.
#[derive(Clone, Copy, Debug, Default)]
struct Outcomes([Slice; SLICES]);

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// Which slice of time it counts.
    number: u64,
    /// Good ones, or requests.
    one: u32,
    /// Bad ones, or repeats.
    other: u32,
}

impl Outcomes {
    fn note(&mut self, now: Monotonic, is_success: bool) {
        if let Some(slice) = slice_of(&mut self.0, now, limits::HEALTH_WINDOW) {
            let counter = if is_success { &mut slice.one } else { &mut slice.other };
            *counter = counter.saturating_add(1);
        }
    }

    /// Half of at least twenty failed.
    fn are_bad(&self, now: Monotonic) -> bool {
        let (succeeded, failed) = sums(&self.0, now, limits::HEALTH_WINDOW);
        let all = succeeded.saturating_add(failed);
        all >= limits::OUTCOMES_TO_JUDGE && failed.saturating_mul(2) >= all
    }
}

/// The slice of now, emptied when it last counted another time.
fn slice_of(slices: &mut [Slice; SLICES], now: Monotonic, window: Duration) -> Option<&mut Slice> {
    let number = number_of(now, window);
    let place = usize::try_from(number.checked_rem(SLICES as u64)?).ok()?;
    let slice = slices.get_mut(place)?;
    if slice.number != number {
        *slice = Slice { number, ..Slice::default() };
    }
    Some(slice)
}

fn sums(slices: &[Slice; SLICES], now: Monotonic, window: Duration) -> (u32, u32) {
    let oldest = number_of(now, window).saturating_sub(SLICES as u64).saturating_add(1);
    let counted = slices.iter().filter(|slice| slice.number >= oldest);
    counted.fold((0, 0), |sum, slice| (sum.0.saturating_add(slice.one), sum.1.saturating_add(slice.other)))
}

/// From 1, so that an empty slice counts no time.
fn number_of(now: Monotonic, window: Duration) -> u64 {
    let length = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).checked_div(SLICES as u64).unwrap_or(1);
    now.0.checked_div(length).unwrap_or(0).saturating_add(SLICES as u64)
}

/// Repeats that a provider may be sent: 10 % of its requests over 10 s, and ten more, so that a provider in trouble is
/// not asked three times as much (W54).
#[derive(Clone, Debug, Default)]
pub struct RepeatBudget([Slice; SLICES]);

impl RepeatBudget {
    /// A request's first attempt goes to it.
    pub fn asked(&mut self, now: Monotonic) {
        if let Some(slice) = slice_of(&mut self.0, now, limits::REPEAT_WINDOW) {
            slice.one = slice.one.saturating_add(1);
        }
    }

    /// Whether a further attempt may go to it; if so, it is counted.
    pub fn try_repeat(&mut self, now: Monotonic) -> bool {
        let (asked, repeats) = sums(&self.0, now, limits::REPEAT_WINDOW);
        if repeats >= asked.checked_div(10).unwrap_or(0).saturating_add(limits::REPEATS_FREE) {
            return false;
        }
        if let Some(slice) = slice_of(&mut self.0, now, limits::REPEAT_WINDOW) {
            slice.other = slice.other.saturating_add(1);
        }
        true
    }
}
