//! What follows when a target does not answer (W53), and in which order targets are asked (W52).
//!
//! Pure: health, sockets and clocks are elsewhere. Everything here is about the time before the first forwarded byte;
//! behind it nothing is repeated.

use crate::error::Code;
use crate::request::AttemptOutcome;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The provider has as many requests as it may have: it was not asked.
    Full,
    /// No connection: name, TCP, TLS or the time for them.
    Unreachable,
    /// A connection that had been idle died before any byte of a reply.
    Dropped,
    /// Reset, cut, unreadable, or an error as the first event.
    Broken,
    /// The first byte or the next one took too long.
    TimedOut,
    /// A status other than 2xx.
    Status(u16),
}

impl Trouble {
    /// The word in the request's record.
    pub const fn outcome(self) -> AttemptOutcome {
        match self {
            Self::Full | Self::Status(429 | 503 | 529) => AttemptOutcome::Busy,
            Self::Unreachable => AttemptOutcome::Unreachable,
            Self::Dropped => AttemptOutcome::Dropped,
            Self::Broken => AttemptOutcome::Broken,
            Self::TimedOut => AttemptOutcome::TimedOut,
            Self::Status(400 | 409 | 413 | 415 | 422 | 451) => AttemptOutcome::Rejected,
            Self::Status(408 | 500..) => AttemptOutcome::Failed,
            Self::Status(_) => AttemptOutcome::Misconfigured,
        }
    }
}

/// Whether the same target is asked once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Not.
    No,
    /// Once, at once.
    AtOnce,
    /// Once, when no other target is left and its `Retry-After` is short.
    IfAlone(Duration),
}

/// Whether the next target is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Yes.
    Always,
    /// Not for what creates work upstream that outlives the call: whether it began is unknown.
    UnlessJob,
    /// No: the request itself is at fault.
    Never,
}

/// What it says of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    Nothing,
    /// A failure.
    Failure,
    /// It has too much to do.
    Cools,
    /// It refuses us as we are configured.
    Misconfigured,
}

/// One row of W53's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// The same target again.
    pub again: Again,
    /// The next target.
    pub next: Next,
    /// The target's health.
    pub mark: Mark,
    /// The answer when nobody is left; `None` = the upstream's own words (W33).
    pub answer: Option<Code>,
}

/// An upstream's `Retry-After` up to this is waited for when no other target is left.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// What follows on trouble; `retry_after` is what the upstream said.
pub fn course(trouble: Trouble, retry_after: Option<Duration>) -> Course {
    let row = |again, next, mark, code| Course { again, next, mark, answer: Some(code) };
    let if_alone = match retry_after.filter(|wait| *wait <= RETRY_AFTER_MAX) {
        Some(wait) => Again::IfAlone(wait.max(Duration::from_millis(1))),
        None => Again::No,
    };
    match trouble {
        Trouble::Full => row(Again::No, Next::Always, Mark::Nothing, Code::Overloaded),
        Trouble::Unreachable => row(Again::AtOnce, Next::Always, Mark::Failure, Code::ServiceUnavailable),
        Trouble::Dropped => row(Again::AtOnce, Next::UnlessJob, Mark::Failure, Code::UpstreamError),
        Trouble::Broken => row(Again::No, Next::UnlessJob, Mark::Failure, Code::UpstreamError),
        Trouble::TimedOut => row(Again::No, Next::UnlessJob, Mark::Failure, Code::UpstreamTimeout),
        Trouble::Status(429) => row(if_alone, Next::Always, Mark::Cools, Code::Overloaded),
        Trouble::Status(503 | 529) => row(if_alone, Next::Always, Mark::Failure, Code::Overloaded),
        Trouble::Status(401..=403) => row(Again::No, Next::Always, Mark::Misconfigured, Code::UpstreamAuthError),
        Trouble::Status(400 | 409 | 413 | 415 | 422 | 451) => {
            Course { again: Again::No, next: Next::Never, mark: Mark::Nothing, answer: None }
        }
        Trouble::Status(408 | 500..) => row(Again::No, Next::UnlessJob, Mark::Failure, Code::UpstreamError),
        // 404, redirects, and what no model server answers to a request of ours.
        Trouble::Status(_) => row(Again::No, Next::Always, Mark::Misconfigured, Code::UpstreamError),
    }
}

/// The order of one tier's targets: places of `weights`, the first to be asked first. A target of weight 0 is drained.
///
/// `draw` gives a number below its argument.
pub fn by_weight(weights: &[u32], mut draw: impl FnMut(u64) -> u64) -> Vec<usize> {
    let mut left: Vec<(usize, u32)> = weights.iter().copied().enumerate().filter(|(_, weight)| *weight > 0).collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let total = left.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(u64::from(*weight)));
        let drawn = if left.len() == 1 { 0 } else { draw(total) };
        let mut sum = 0_u64;
        let position = left.iter().position(|(_, weight)| {
            sum = sum.saturating_add(u64::from(*weight));
            drawn < sum
        });
        let (place, _) = left.remove(position.unwrap_or(0));
        order.push(place);
    }
    order
}

/// The same, by rendezvous hashing (W52): a caller's requests with one cache key go to the same target while it can be
/// asked, and a target that comes or goes moves only its own share. Weights are shares here too: a target takes part
/// once for each unit of weight, up to a hundred.
pub fn by_affinity<'a>(
    targets: impl IntoIterator<Item = (u32, &'a str, &'a str)>,
    caller: &str,
    cache_key: &str,
) -> Vec<usize> {
    let score = |provider: &str, model: &str, turn: u32| {
        let mut hash = Sha256::new();
        for part in [caller, cache_key, provider, model] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.update(turn.to_be_bytes());
        <[u8; 32]>::from(hash.finalize())
    };
    let mut scored: Vec<([u8; 32], usize)> = Vec::new();
    for (place, (weight, provider, model)) in targets.into_iter().enumerate() {
        scored.extend((0..weight.min(100)).map(|turn| score(provider, model, turn)).max().map(|best| (best, place)));
    }
    scored.sort_unstable_by(|one, other| other.cmp(one));
    scored.into_iter().map(|(_, place)| place).collect()
}
