//! What callers and the writer of charges share: open requests, and answers that were not yet handed over.
//!
//! Both are lazy: they are written with the next group of charges, or by themselves after a tick. Losing them in a crash
//! makes lists longer or shorter, never a charge wrong.

use super::{Intent, Queued, Room};
use crate::journal::item::Mark;
use claviger_domain::id::{IdMap, OrganizationId, RequestId};
use claviger_domain::limits;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};

/// Ticks that a request is open before its intent is written: between one and two, so at least one whole tick.
const INTENT_AGE_TICKS: u64 = 2;

/// Records that may wait for the next group before one of them wakes the writer: as many as a group takes.
const DEFERRED: usize = limits::CHARGE_GROUP;

/// Shared between callers and the writer.
#[derive(Default)]
pub(crate) struct Shared {
    intents: Mutex<Intents>,
    marks: Mutex<Marks>,
    /// Records without a charge, with their places in the queue, which keep them bounded.
    deferred: Mutex<Vec<(Room, Queued)>>,
}

#[derive(Default)]
struct Intents {
    open: IdMap<RequestId, Open>,
    unwritten: VecDeque<(u64, RequestId)>,
    tick: u64,
}

struct Open {
    intent: Intent,
    is_written: bool,
}

#[derive(Default)]
pub(crate) struct Marks {
    next: u64,
    /// Charged, answer not yet handed over; by number, so that the stored list is in order.
    pending: BTreeMap<u64, Place>,
    /// Answers that never left, by their numbers: their records are to be corrected, once they are in the database.
    undelivered: Vec<(u64, Place)>,
    /// Whether the stored list differs.
    is_dirty: bool,
    /// What the journal has not been told yet; `None` = there is no journal.
    told: Option<Vec<Mark>>,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) organization: OrganizationId,
    pub(crate) request: RequestId,
}

/// Lazy news, taken to be written with a group.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) intents: Vec<Intent>,
    pub(crate) undelivered: Vec<Place>,
    /// The new list of answers not yet handed over; `None` = as stored.
    pub(crate) pending: Option<String>,
}

impl News {
    pub(crate) fn is_empty(&self) -> bool {
        self.intents.is_empty() && self.undelivered.is_empty() && self.pending.is_none()
    }
}

impl Shared {
    /// Shared with a journal, which is told every mark.
    pub(crate) fn with_journal() -> Self {
        let shared = Self::default();
        shared.marks.lock().told = Some(Vec::new());
        shared
    }

    pub(super) fn intend(&self, intent: Intent) {
        let mut intents = self.intents.lock();
        if intents.open.len() >= limits::CHARGE_QUEUE {
            return;
        }
        let entry = (intents.tick, intent.request);
        intents.unwritten.push_back(entry);
        intents.open.insert(intent.request, Open { intent, is_written: false });
    }

    /// The request has ended; whether its intent was written and must be deleted.
    pub(super) fn close(&self, request: RequestId) -> bool {
        self.intents.lock().open.remove(&request).is_some_and(|open| open.is_written)
    }

    /// Keeps a record for the next group, made beside the one before it. When many wait, one is given back to be sent: it
    /// wakes the writer.
    pub(super) fn defer(&self, room: Room, make: impl FnOnce(Option<&Queued>) -> Queued) -> Option<(Room, Queued)> {
        let mut deferred = self.deferred.lock();
        let queued = make(deferred.last().map(|(_, former)| former));
        if deferred.len() >= DEFERRED {
            return Some((room, queued));
        }
        deferred.push((room, queued));
        None
    }

    /// Keeps a record however many wait: their rooms bound them.
    pub(super) fn defer_more(&self, room: Room, queued: Queued) {
        self.deferred.lock().push((room, queued));
    }

    /// Whether records wait for the next group.
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.lock().is_empty()
    }

    /// Moves what was kept into a group, as far as it has room.
    pub(crate) fn take_deferred(&self, group: &mut Vec<Queued>) {
        let mut deferred = self.deferred.lock();
        let room = limits::CHARGE_GROUP.saturating_sub(group.len());
        let count = room.min(deferred.len());
        group.extend(deferred.drain(..count).map(|(_, queued)| queued));
    }

    pub(super) fn delivered(&self, number: u64) {
        let mut marks = self.marks.lock();
        if let Some(place) = marks.pending.remove(&number) {
            marks.is_dirty = true;
            marks.tell(place, true);
        }
    }

    pub(super) fn not_delivered(&self, number: u64) {
        let mut marks = self.marks.lock();
        if let Some(place) = marks.pending.remove(&number) {
            marks.undelivered.push((number, place));
            marks.is_dirty = true;
            marks.tell(place, false);
        }
    }

    /// The list of answers that were not yet handed over.
    pub(crate) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock()
    }

    /// Takes the marks that the journal has not been told yet.
    pub(crate) fn take_told(&self) -> Vec<Mark> {
        self.marks.lock().told.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether there are such marks.
    pub(crate) fn has_told(&self) -> bool {
        self.marks.lock().told.as_ref().is_some_and(|told| !told.is_empty())
    }

    /// One tick of the writer: requests open for longer than this become worth a row.
    pub(crate) fn tick(&self) {
        let mut intents = self.intents.lock();
        intents.tick = intents.tick.saturating_add(1);
    }

    /// Takes what is to be written with a group, and numbers the charges of it that wait for a mark.
    pub(crate) fn take(&self, group: &[Queued]) -> (News, Vec<Option<u64>>) {
        self.take_below(group, u64::MAX)
    }

    /// The same, when the records of answers numbered below `end` are in the database or come with this group.
    pub(crate) fn take_below(&self, group: &[Queued], end: u64) -> (News, Vec<Option<u64>>) {
        let mut news = News { intents: self.due_intents(), ..News::default() };
        let mut marks = self.marks.lock();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut marks.undelivered).into_iter().partition(|(number, _)| *number < end);
        marks.undelivered = later;
        news.undelivered = due.into_iter().map(|(_, place)| place).collect();
        let numbers: Vec<Option<u64>> = group.iter().map(|queued| marks.number(queued)).collect();
        if marks.is_dirty {
            marks.is_dirty = false;
            let ids: Vec<String> = marks.pending.values().map(|place| place.request.to_string()).collect();
            news.pending = Some(ids.join(","));
        }
        (news, numbers)
    }

    /// A group was not written: its numbers are void, its news is still to be told.
    pub(crate) fn give_back(&self, news: News, numbers: &[Option<u64>]) {
        let mut marks = self.marks.lock();
        for number in numbers.iter().flatten() {
            marks.pending.remove(number);
        }
        // They were due, and are so again.
        marks.undelivered.extend(news.undelivered.into_iter().map(|place| (0, place)));
        marks.is_dirty = true;
        drop(marks);
        let mut intents = self.intents.lock();
        for intent in news.intents {
            if let Some(open) = intents.open.get_mut(&intent.request) {
                open.is_written = false;
                intents.unwritten.push_front((0, intent.request));
            }
        }
    }

    fn due_intents(&self) -> Vec<Intent> {
        let mut intents = self.intents.lock();
        let mut due = Vec::new();
        while due.len() < limits::CHARGE_GROUP
            && let Some((tick, request)) = intents.unwritten.front().copied()
        {
            let is_closed = !intents.open.contains_key(&request);
            let is_old = intents.tick.saturating_sub(tick) >= INTENT_AGE_TICKS;
            if !is_closed && !is_old {
                break;
            }
            intents.unwritten.pop_front();
            if let Some(open) = intents.open.get_mut(&request) {
                open.is_written = true;
                due.push(open.intent.clone());
            }
        }
        due
    }
}

impl Marks {
    /// Puts a charge on the list; its number is what the mark will name.
    pub(crate) fn wait_for(&mut self, organization: OrganizationId, request: RequestId) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.pending.insert(number, Place { organization, request });
        self.is_dirty = true;
        number
    }

    fn number(&mut self, queued: &Queued) -> Option<u64> {
        queued.expects_mark.then(|| self.wait_for(queued.place.organization, queued.place.request))
    }

    fn tell(&mut self, place: Place, is_delivered: bool) {
        if let Some(told) = &mut self.told {
            told.push(Mark { organization: place.organization, request: place.request, is_delivered });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_domain::id::{KeyId, OrganizationId};
    use claviger_domain::money::Nano;
    use claviger_domain::time::Timestamp;

    fn intent(number: u128) -> Intent {
        Intent {
            request: RequestId::from_u128(number),
            organization: OrganizationId::from_u128(1),
            key: KeyId::from_symbols(b"000000000000").unwrap(),
            model: "m".to_owned(),
            hold: Nano(1),
            at: Timestamp(0),
        }
    }

    #[test]
    fn only_requests_open_for_more_than_a_tick_cost_a_row() {
        let shared = Shared::default();
        let due = |shared: &Shared| shared.take(&[]).0.intents;
        for number in 1..=3 {
            shared.intend(intent(number));
        }
        assert!(!shared.close(RequestId::from_u128(1)), "nothing to delete");
        assert_eq!(due(&shared), []);
        shared.tick();
        assert!(!shared.close(RequestId::from_u128(2)));
        shared.intend(intent(4));
        assert_eq!(due(&shared), []);
        shared.tick();
        assert_eq!(due(&shared), [intent(3)]);
        assert_eq!(due(&shared), [], "once");
        assert!(shared.close(RequestId::from_u128(3)), "a written one is to be deleted");
        shared.tick();
        assert_eq!(due(&shared), [intent(4)]);
    }

    #[test]
    fn news_that_was_not_written_is_told_again() {
        let shared = Shared::default();
        shared.intend(intent(1));
        shared.tick();
        shared.tick();
        let (news, numbers) = shared.take(&[]);
        assert_eq!(news.intents, [intent(1)]);
        shared.give_back(news, &numbers);
        let (news, _) = shared.take(&[]);
        assert_eq!(news.intents, [intent(1)]);
        assert_eq!(news.pending.as_deref(), Some(""), "what is stored is not known");
    }
}
