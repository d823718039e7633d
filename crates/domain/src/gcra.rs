//! A rate limit in one 64-bit word (`keys.md` §5, `decisions.md` 17 and 22).
//!
//! The word is the *theoretical arrival time*: the monotonic nanosecond at which everything that was let through would
//! have come, had it come evenly. A rate of L a minute lets one unit through every T = ⌈60·10⁹ / L⌉ ns, and `burst` units
//! at once when nothing came for long. A cost of n passes if max(word, now) + n·T − now ≤ burst·T; so any 60 seconds pass
//! at most L + burst − 1 units, with the usual burst of ten seconds' worth at most 7/6 of L. A cost above the burst
//! passes when nothing is owed and leaves its whole cost owed: slow, never impossible. What is known only afterwards is
//! added or given back then; what was owed and has been waited for since is not given back.
//!
//! Pure integer steps: whoever holds the word swaps it by compare-and-swap, and who is limited is not known here.

use crate::time::Monotonic;
use std::time::Duration;

/// Nanoseconds of the window that limits are stated for.
const MINUTE_NS: u64 = 60_000_000_000;

/// The share of a minute's limit that may come at once: ten seconds' worth.
const BURSTS_A_MINUTE: u32 = 6;

/// The longest a debt can be: it keeps sums of nanoseconds far from the end of 64 bits.
const DEBT_NS_MAX: u64 = 1 << 60;

/// A limit a minute and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    limit: u32,
    burst: u32,
    interval_ns: u64,
}

/// The word: a theoretical arrival time in monotonic nanoseconds. Zero: nothing was ever let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level(pub u64);

/// A cost that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The word behind it; also until when what was taken is owed.
    pub level: Level,
}

/// A cost that was not let through: nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// After this long it passes, if nothing else comes.
    pub wait: Duration,
}

/// What a limit shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The limit a minute.
    pub limit: u32,
    /// Units that would pass at once now.
    pub remaining: u32,
    /// When nothing is owed any more.
    pub reset: Duration,
}

impl Rate {
    /// `limit` units a minute, at least one; `burst` of them at once, else ten seconds' worth, at least one.
    pub fn per_minute(limit: u32, burst: Option<u32>) -> Self {
        let limit = limit.max(1);
        let burst = burst.unwrap_or(limit / BURSTS_A_MINUTE).max(1);
        Self { limit, burst, interval_ns: MINUTE_NS.div_ceil(u64::from(limit)) }
    }

    /// The limit a minute.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Units that may come at once.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// The most units that any 60 seconds let through, as long as no cost is above the burst.
    pub fn bound_of_a_minute(&self) -> u64 {
        u64::from(self.limit).saturating_add(u64::from(self.burst)).saturating_sub(1)
    }

    /// Lets `cost` units through at `now`, or not.
    ///
    /// # Errors
    /// [`Full`]: the word stays as it is.
    pub fn take(&self, level: Level, cost: u64, now: Monotonic) -> Result<Taken, Full> {
        let from = level.0.max(now.0);
        let needed = self.nanoseconds(cost.min(u64::from(self.burst)));
        let over = from.saturating_add(needed).saturating_sub(now.0.saturating_add(self.capacity_ns()));
        if over > 0 {
            return Err(Full { wait: Duration::from_nanos(over) });
        }
        Ok(Taken { level: self.owing(from, cost, now) })
    }

    /// Adds what turned out to have been used beyond what was taken; it may leave the limit in debt.
    pub fn add(&self, level: Level, more: u64, now: Monotonic) -> Level {
        self.owing(level.0.max(now.0), more, now)
    }

    /// Gives back `unused` units of what was [`Taken`]: as much of it as nobody has waited for yet.
    pub fn give_back(&self, level: Level, unused: u64, taken: Taken, now: Monotonic) -> Level {
        let still_owed = taken.level.0.saturating_sub(now.0);
        Level(level.0.saturating_sub(self.nanoseconds(unused).min(still_owed)))
    }

    /// What the limit shows at `now`.
    pub fn reading(&self, level: Level, now: Monotonic) -> Reading {
        let owed = level.0.saturating_sub(now.0);
        let remaining = self.capacity_ns().saturating_sub(owed).checked_div(self.interval_ns).unwrap_or(0);
        Reading {
            limit: self.limit,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: Duration::from_nanos(owed),
        }
    }

    /// Whether nothing is owed: a limit in this state is as if it had never been used.
    pub const fn is_idle(level: Level, now: Monotonic) -> bool {
        level.0 <= now.0
    }

    /// The word of a limit that lets nothing through yet at `now`: where what came before is not known.
    pub const fn exhausted(&self, now: Monotonic) -> Level {
        Level(now.0.saturating_add(self.capacity_ns()))
    }

    /// The word under this rate of what was counted under `former`: as many units pass at once as before, or fewer, and
    /// what was owed beyond the burst is still owed.
    pub fn converted(&self, former: &Self, level: Level, now: Monotonic) -> Level {
        let owed = level.0.saturating_sub(now.0);
        let (capacity, former_capacity) = (self.capacity_ns(), former.capacity_ns());
        if owed > former_capacity {
            // Units of debt, rounded up.
            let debt = owed.saturating_sub(former_capacity).div_ceil(former.interval_ns);
            return self.owing(now.0.saturating_add(capacity), debt, now);
        }
        // Units that would pass, rounded down.
        let free = former_capacity.saturating_sub(owed).checked_div(former.interval_ns).unwrap_or(0);
        Level(now.0.saturating_add(capacity.saturating_sub(self.nanoseconds(free))))
    }

    fn owing(&self, from: u64, units: u64, now: Monotonic) -> Level {
        let latest = now.0.saturating_add(self.capacity_ns()).saturating_add(DEBT_NS_MAX);
        Level(from.saturating_add(self.nanoseconds(units)).min(latest))
    }

    const fn nanoseconds(&self, units: u64) -> u64 {
        units.saturating_mul(self.interval_ns)
    }

    const fn capacity_ns(&self) -> u64 {
        (self.burst as u64).saturating_mul(self.interval_ns)
    }
}

#[cfg(test)]
mod tests;
