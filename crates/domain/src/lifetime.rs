//! How long secrets may live: the maximum that holds now, and what former ones have ended, which stays ended.
//!
//! Every end is a function of when a secret was made, so no row of a secret is written when a maximum changes. At any
//! instant the secrets that a maximum has ended are those made within at most two spans; when another maximum takes its
//! place, these spans are kept. A later maximum may be longer, or spare older secrets for a while: it revives nothing.
//! Only a rotation does, since the new secret is made then. A shorter maximum lets nobody live longer either: as long as
//! it spares secrets, the longer one before it goes on to bind them.

use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const DAY: u64 = 24 * 3600;

/// The longest life of a secret, and since when it binds (`keys.md` §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// As many days, from the secret's making.
    pub days: u32,
    /// When it was set: secrets made since then have it from the start.
    pub set_at: Timestamp,
    /// When it begins to bind secrets that are older than it.
    pub binds_at: Timestamp,
}

/// Secrets made within it have ended, by a maximum that held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedSpan {
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub through: Timestamp,
    /// The maximum that ended them, in days.
    pub days: u32,
    /// They were spared until then.
    pub not_before: Timestamp,
}

/// What holds now, and what has ended before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// The maximum that holds, if one does.
    pub current: Option<Lifetime>,
    /// Longer ones before it, which bind what it spares.
    pub longer: Vec<Lifetime>,
    /// What former ones have ended.
    pub ended: Vec<EndedSpan>,
}

impl Lifetime {
    /// A maximum that is set now and spares what is older for as many days.
    pub fn set(days: u32, grace_days: u32, now: Timestamp) -> Self {
        Self { days, set_at: now, binds_at: now.plus(Duration::from_secs(DAY.saturating_mul(u64::from(grace_days)))) }
    }

    /// When a secret of this age ends.
    pub fn end_of(&self, made_at: Timestamp) -> Timestamp {
        let end = made_at.plus(self.life());
        if made_at < self.set_at { end.max(self.binds_at) } else { end }
    }

    fn life(&self) -> Duration {
        Duration::from_secs(u64::from(self.days).saturating_mul(DAY))
    }

    /// When the secrets were made that it has ended by `now`: those older than it, and those made since. A span that ends
    /// before it begins holds none.
    fn spans(&self, now: Timestamp) -> [EndedSpan; 2] {
        let last = now.minus(self.life());
        let before = Timestamp(self.set_at.0.saturating_sub(1));
        let spared = if now < self.binds_at { Timestamp(i64::MIN) } else { last.min(before) };
        let span = |from, through, not_before| EndedSpan { from, through, days: self.days, not_before };
        [
            span(Timestamp(if now < self.binds_at { i64::MAX } else { i64::MIN }), spared, self.binds_at),
            span(self.set_at, last, Timestamp(i64::MIN)),
        ]
    }
}

impl EndedSpan {
    const fn holds(&self, made_at: Timestamp) -> bool {
        self.from.0 <= made_at.0 && made_at.0 <= self.through.0
    }

    const fn is_empty(&self) -> bool {
        self.from.0 > self.through.0
    }

    const fn is_within(&self, other: &Self) -> bool {
        other.from.0 <= self.from.0 && self.through.0 <= other.through.0
    }

    fn end_of(&self, made_at: Timestamp) -> Timestamp {
        made_at.plus(Duration::from_secs(u64::from(self.days).saturating_mul(DAY))).max(self.not_before)
    }
}

impl Lifetimes {
    /// A first maximum.
    pub const fn of(current: Option<Lifetime>) -> Self {
        Self { current, longer: Vec::new(), ended: Vec::new() }
    }

    /// When a secret of this age ends, or ended, and by which maximum in days.
    pub fn end_of(&self, made_at: Timestamp) -> Option<(Timestamp, u32)> {
        let former = self.ended.iter().filter(|span| span.holds(made_at));
        let former = former.map(|span| (span.end_of(made_at), span.days));
        former.chain(self.binding().map(|one| (one.end_of(made_at), one.days))).min()
    }

    /// Another maximum, or none; what has ended by now stays ended. The same number of days changes nothing.
    #[must_use]
    pub fn changed(&self, days: Option<u32>, grace_days: u32, now: Timestamp) -> Self {
        if days == self.current.map(|current| current.days) {
            return self.clone();
        }
        let mut ended = self.ended.clone();
        for span in self.binding().flat_map(|one| one.spans(now)).filter(|span| !span.is_empty()) {
            ended.retain(|kept| !kept.is_within(&span));
            if !ended.iter().any(|kept| span.is_within(kept)) {
                ended.push(span);
            }
        }
        // What the current one spares no more, it binds before any longer one.
        let is_sparing = self.current.is_some_and(|current| now < current.binds_at);
        let before = self.longer.iter().filter(|_| is_sparing).chain(&self.current);
        let longer = before.filter(|one| days.is_some_and(|days| days < one.days)).copied().collect();
        Self { current: days.map(|days| Lifetime::set(days, grace_days, now)), longer, ended }
    }

    /// All that hold: a secret ends by the first of them.
    fn binding(&self) -> impl Iterator<Item = &Lifetime> {
        self.longer.iter().chain(&self.current)
    }

    /// When the secrets were made that have ended by `now`, first and last of each span; some spans may hold none, but
    /// their number does not depend on the time.
    pub fn spans(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let binding = self.binding().flat_map(|one| one.spans(now));
        self.ended.iter().copied().chain(binding).map(|span| (span.from, span.through)).collect()
    }
}

/// As it is stored: three numbers.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.days, self.set_at.0, self.binds_at.0)
    }
}

impl FromStr for Lifetime {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let mut next = numbers(text);
        let days = u32::try_from(next()?).map_err(|_| NoSpan)?;
        Ok(Self { days, set_at: Timestamp(next()?), binds_at: Timestamp(next()?) })
    }
}

fn numbers(text: &str) -> impl FnMut() -> Result<i64, NoSpan> {
    let mut numbers = text.split(',').map(str::parse::<i64>);
    move || numbers.next().and_then(Result::ok).ok_or(NoSpan)
}

/// As it is stored: four numbers.
impl fmt::Display for EndedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.from.0, self.through.0, self.days, self.not_before.0)
    }
}

/// A text that is no stored span or lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a span or lifetime")]
pub struct NoSpan;

impl FromStr for EndedSpan {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let mut next = numbers(text);
        let (from, through) = (Timestamp(next()?), Timestamp(next()?));
        let days = u32::try_from(next()?).map_err(|_| NoSpan)?;
        Ok(Self { from, through, days, not_before: Timestamp(next()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(number: i64) -> Timestamp {
        Timestamp(number * 86_400_000_000)
    }

    #[test]
    fn a_shorter_maximum_revives_nothing_that_a_longer_one_has_ended() {
        let ninety = Lifetimes::of(Some(Lifetime::set(90, 0, day(0))));
        let made = day(1);
        assert_eq!(ninety.end_of(made), Some((day(91), 90)));
        let shorter = ninety.changed(Some(30), 14, day(100));
        assert_eq!(shorter.end_of(made), Some((day(91), 90)), "it would live until day 114");
        assert_eq!(shorter.end_of(day(50)), Some((day(114), 30)), "what lived is spared");
        assert_eq!(shorter.end_of(day(20)), Some((day(110), 90)), "but no longer than it would have lived");
        let shortest = shorter.changed(Some(20), 60, day(105));
        assert_eq!(shortest.end_of(day(20)), Some((day(110), 90)));
        assert_eq!(shortest.end_of(day(50)), Some((day(114), 30)));
        assert_eq!(shortest.end_of(day(100)), Some((day(130), 30)));
        let longer = shortest.changed(Some(60), 14, day(106));
        assert_eq!(longer.end_of(day(20)), Some((day(110), 90)), "the ninety are longer than the sixty");
        assert_eq!(longer.end_of(day(50)), Some((day(120), 60)));
        assert_eq!(shorter.end_of(day(100)), Some((day(130), 30)));
    }

    #[test]
    fn lifting_the_maximum_revives_nothing_either() {
        let lifted = Lifetimes::of(Some(Lifetime::set(1, 14, day(0)))).changed(None, 14, day(5));
        // Spared until day 14: not ended when it was lifted.
        assert_eq!(lifted.end_of(day(-1)), None);
        assert_eq!(lifted.end_of(day(2)), Some((day(3), 1)));
        assert_eq!(lifted.end_of(day(4)), Some((day(5), 1)), "its very instant");
        assert_eq!(lifted.end_of(Timestamp(day(4).0 + 1)), None);
    }

    #[test]
    fn a_span_reads_back_as_it_was_written() {
        let span = EndedSpan { from: Timestamp(i64::MIN), through: day(7), days: 30, not_before: day(9) };
        assert_eq!(span.to_string().parse(), Ok(span));
        let lifetime = Lifetime::set(30, 14, day(3));
        assert_eq!(lifetime.to_string().parse(), Ok(lifetime));
        for text in ["", "1,2,3", "1,2,-3,4", "a,2,3,4"] {
            assert_eq!(text.parse::<EndedSpan>(), Err(NoSpan), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_has_ended_never_lives_again_and_spans_say_the_same(
            changes in proptest::collection::vec((0_i64..40, proptest::option::of(1_u32..60), 0_u32..30), 1..12),
            made in proptest::collection::vec(-60_i64..200, 1..20),
        ) {
            let (mut now, mut lifetimes) = (0, Lifetimes::default());
            let mut ended: Vec<i64> = Vec::new();
            for (wait, days, grace) in changes {
                now += wait;
                let has_ended = |lifetimes: &Lifetimes, made| {
                    lifetimes.end_of(day(made)).is_some_and(|(end, _)| end <= day(now))
                };
                for made in made.iter().copied().filter(|made| *made <= now) {
                    let is_ended = has_ended(&lifetimes, made);
                    let spans = lifetimes.spans(day(now));
                    let is_in = spans.iter().any(|(from, through)| (*from..=*through).contains(&day(made)));
                    prop_assert_eq!(is_ended, is_in);
                    prop_assert!(is_ended || !ended.contains(&made), "made on {}, on day {}", made, now);
                    if is_ended {
                        ended.push(made);
                    }
                }
                let (before, former) = (lifetimes.current.map(|current| current.days), lifetimes.clone());
                lifetimes = lifetimes.changed(days, grace, day(now));
                if days.is_some_and(|days| before.is_some_and(|before| days < before)) {
                    // Of what is over, the date that is told may be that of a wider span.
                    for made in made.iter().copied().filter(|made| !has_ended(&former, *made)) {
                        prop_assert!(lifetimes.end_of(day(made)) <= former.end_of(day(made)), "shorter is no longer");
                    }
                }
                for made in &ended {
                    prop_assert!(has_ended(&lifetimes, *made), "revived: made on {}, on day {}", made, now);
                }
            }
        }
    }
}
