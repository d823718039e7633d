//! The node's half: register, load, follow, and admit only while the lease of an answered poll lasts.
//!
//! Pure: events in, the one thing to do next out. The lease is counted from the *sending* of a poll, and only a poll
//! whose news is in force in memory counts. That is stricter than "until the sending + S": a poll may be answered with
//! news, and a node that admitted before it had applied it could do so after an observer had already called it silent.

use super::{Epoch, RightsEvent, ValidityLease};
use crate::time::Monotonic;
use std::time::Duration;

/// A place in the feed: an epoch, and what tells it from the same number in another history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The epoch.
    pub epoch: Epoch,
    /// [`RightsEvent::mark`] of the event that made it; 0 where it is not known.
    pub mark: i64,
}

/// How the database took a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The node's renewals were counted up.
    Renewed,
    /// The node lags behind an event older than S: nothing was renewed.
    Refused,
    /// The node is not registered (any more).
    Unknown,
}

/// The answer of one poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How the poll was taken.
    pub standing: Standing,
    /// The epoch at the poll's one point in time.
    pub epoch: Epoch,
    /// The mark of the event that made the epoch which the node reported; `None` when that event is not kept any more.
    pub mark: Option<i64>,
    /// The events behind the reported epoch, in order, without a gap; at most as many as one answer holds.
    pub events: Vec<RightsEvent>,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The database wrote this node's row; the epoch was this one then.
    Registered(Epoch),
    /// Everything was read, at one point in time behind the registration.
    Loaded(Position),
    /// A poll was answered.
    Answered {
        /// When it was sent, by this node's own clock.
        sent_at: Monotonic,
        /// What it brought.
        answer: Answered,
    },
    /// The news up to here is in force in memory.
    Applied(Position),
    /// Nothing is admitted any more.
    Leaving,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until the next poll is due.
    Wait,
    /// Read everything.
    Load,
    /// Put these events in force, in order.
    Apply(Vec<RightsEvent>),
    /// Poll at once: that is the acknowledgement.
    PollAgain,
    /// Admit nothing; register, then load anew.
    Join,
    /// History has forked: admit nothing, re-insert the revocations this node knows, then register and load anew.
    Reassert,
    /// Delete this node's row: it has admitted for the last time.
    Deregister,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Outside,
    Registered(Epoch),
    Following,
}

/// A poll whose news is still to be applied before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Due {
    sent_at: Monotonic,
    epoch: Epoch,
}

/// One node's standing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    validity: Duration,
    phase: Phase,
    applied: Position,
    lease: Option<ValidityLease>,
    due: Option<Due>,
}

impl Member {
    /// A node that has not registered; S is the length of its leases.
    pub const fn new(validity: Duration) -> Self {
        Self { validity, phase: Phase::Outside, applied: Position { epoch: Epoch(0), mark: 0 }, lease: None, due: None }
    }

    /// What the next poll reports.
    pub const fn applied(&self) -> Position {
        self.applied
    }

    /// Whether it is registered and loaded.
    pub const fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Following)
    }

    /// Until when admission is allowed; `None` = not at all.
    pub const fn lease(&self) -> Option<ValidityLease> {
        self.lease
    }

    /// Whether admission is allowed at `now` (R2).
    pub fn may_admit(&self, now: Monotonic) -> bool {
        self.lease.is_some_and(|lease| lease.is_fresh(now))
    }

    /// Takes an event.
    pub fn step(&mut self, event: Event) -> Step {
        match event {
            Event::Registered(epoch) => {
                self.leave();
                self.phase = Phase::Registered(epoch);
                Step::Load
            }
            Event::Loaded(position) => self.loaded(position),
            Event::Answered { sent_at, answer } => self.answered(sent_at, answer),
            Event::Applied(position) => self.in_force(position),
            Event::Leaving => {
                self.leave();
                Step::Deregister
            }
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Outside;
        self.lease = None;
        self.due = None;
    }

    fn loaded(&mut self, position: Position) -> Step {
        let Phase::Registered(since) = self.phase else { return Step::Join };
        if position.epoch < since {
            // Read before it was known here, or from a server that lags: what lies between could be missed.
            self.leave();
            return Step::Join;
        }
        self.phase = Phase::Following;
        self.applied = position;
        Step::PollAgain
    }

    fn answered(&mut self, sent_at: Monotonic, answer: Answered) -> Step {
        if self.phase != Phase::Following {
            return Step::Join;
        }
        let is_other_mark = answer.mark.is_some_and(|mark| self.applied.mark != 0 && mark != self.applied.mark);
        if answer.epoch < self.applied.epoch || is_other_mark {
            self.leave();
            return Step::Reassert;
        }
        if answer.standing == Standing::Unknown || self.has_gap(&answer) {
            self.leave();
            return Step::Join;
        }
        self.due = (answer.standing == Standing::Renewed).then_some(Due { sent_at, epoch: answer.epoch });
        self.count();
        if answer.events.is_empty() { Step::Wait } else { Step::Apply(answer.events) }
    }

    /// Every epoch has one event, so a missing number is an event that this node cannot get any more.
    fn has_gap(&self, answer: &Answered) -> bool {
        let mut expected = self.applied.epoch;
        for event in &answer.events {
            expected = Epoch(expected.0.saturating_add(1));
            if event.epoch != expected {
                return true;
            }
        }
        answer.events.is_empty() && answer.epoch != self.applied.epoch
    }

    fn in_force(&mut self, position: Position) -> Step {
        if self.phase != Phase::Following {
            return Step::Join;
        }
        if position.epoch > self.applied.epoch {
            self.applied = position;
        }
        self.count();
        Step::PollAgain
    }

    /// A poll counts once everything that had happened when the database answered it is in force here.
    fn count(&mut self) {
        let Some(due) = self.due.filter(|due| self.applied.epoch >= due.epoch) else { return };
        self.due = None;
        let later = self.lease.is_none_or(|lease| due.sent_at > lease.sent_at);
        if later {
            self.lease = Some(ValidityLease::new(due.sent_at, self.validity));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{KeyId, OrganizationId};
    use crate::revocation::Change;

    const S: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Monotonic {
        Monotonic(milliseconds * 1_000_000)
    }

    fn place(epoch: i64) -> Position {
        Position { epoch: Epoch(epoch), mark: epoch * 10 }
    }

    fn event(epoch: i64) -> RightsEvent {
        let key = KeyId::from_symbols(b"000000000000").unwrap();
        let organization = OrganizationId::from_u128(1);
        RightsEvent { epoch: Epoch(epoch), mark: epoch * 10, organization, change: Change::Key(key) }
    }

    fn answer(standing: Standing, epoch: i64, events: Vec<RightsEvent>) -> Answered {
        Answered { standing, epoch: Epoch(epoch), mark: None, events }
    }

    fn following(epoch: i64) -> Member {
        let mut member = Member::new(S);
        assert_eq!(member.step(Event::Registered(Epoch(epoch))), Step::Load);
        assert_eq!(member.step(Event::Loaded(place(epoch))), Step::PollAgain);
        member
    }

    fn polled(member: &mut Member, sent_at: u64, answer: Answered) -> Step {
        member.step(Event::Answered { sent_at: at(sent_at), answer })
    }

    #[test]
    fn a_lease_is_counted_from_the_sending() {
        let mut member = following(5);
        assert!(!member.may_admit(at(0)), "a loaded node has no lease yet");
        assert_eq!(polled(&mut member, 100, answer(Standing::Renewed, 5, vec![])), Step::Wait);
        assert!(member.may_admit(at(1_099)));
        assert!(!member.may_admit(at(1_100)));
    }

    #[test]
    fn news_counts_only_when_it_is_in_force() {
        let mut member = following(5);
        let step = polled(&mut member, 100, answer(Standing::Renewed, 7, vec![event(6), event(7)]));
        assert_eq!(step, Step::Apply(vec![event(6), event(7)]));
        assert!(!member.may_admit(at(101)));
        member.step(Event::Applied(place(6)));
        assert!(!member.may_admit(at(101)));
        assert_eq!(member.step(Event::Applied(place(7))), Step::PollAgain);
        assert!(member.may_admit(at(101)));
        assert_eq!(member.applied(), place(7));
    }

    #[test]
    fn a_refused_poll_renews_nothing() {
        let mut member = following(5);
        polled(&mut member, 0, answer(Standing::Renewed, 5, vec![]));
        polled(&mut member, 500, answer(Standing::Refused, 6, vec![event(6)]));
        member.step(Event::Applied(place(6)));
        assert!(!member.may_admit(at(1_000)), "the poll that was refused stays refused");
        polled(&mut member, 990, answer(Standing::Renewed, 6, vec![]));
        assert!(member.may_admit(at(1_000)));
    }

    #[test]
    fn a_forgotten_node_and_a_gap_join_anew() {
        let mut member = following(5);
        polled(&mut member, 0, answer(Standing::Renewed, 5, vec![]));
        assert_eq!(polled(&mut member, 10, answer(Standing::Unknown, 5, vec![])), Step::Join);
        assert!(!member.may_admit(at(11)));
        let mut member = following(5);
        assert_eq!(polled(&mut member, 10, answer(Standing::Renewed, 7, vec![event(7)])), Step::Join);
        let mut member = following(5);
        assert_eq!(polled(&mut member, 10, answer(Standing::Renewed, 7, vec![])), Step::Join);
    }

    #[test]
    fn a_snapshot_from_before_the_registration_is_not_used() {
        let mut member = Member::new(S);
        member.step(Event::Registered(Epoch(6)));
        assert_eq!(member.step(Event::Loaded(place(5))), Step::Join);
    }

    #[test]
    fn another_history_is_recognised_by_its_epoch_or_its_mark() {
        let mut member = following(5);
        polled(&mut member, 0, answer(Standing::Renewed, 5, vec![]));
        assert_eq!(polled(&mut member, 10, answer(Standing::Renewed, 4, vec![])), Step::Reassert);
        assert!(!member.may_admit(at(11)));
        let mut member = following(5);
        let mut other = answer(Standing::Renewed, 6, vec![event(6)]);
        other.mark = Some(51);
        assert_eq!(polled(&mut member, 10, other), Step::Reassert);
    }

    #[test]
    fn an_older_answer_never_shortens_the_lease() {
        let mut member = following(5);
        polled(&mut member, 500, answer(Standing::Renewed, 5, vec![]));
        polled(&mut member, 100, answer(Standing::Renewed, 5, vec![]));
        assert!(member.may_admit(at(1_499)));
    }
}
