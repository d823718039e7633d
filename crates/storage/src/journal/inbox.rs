//! The queue between requests and the appending thread: one lock, records encoded once, in place.
//!
//! Bounded by slots that are taken at admission, so appending can neither block nor fail. The thread is woken only when
//! it sleeps: while it waits for the disk, charges gather without a system call.

use super::item;
use crate::charges::Slot;
use crate::charges::reply::Reply;
use claviger_domain::id::{OrganizationId, RequestId};
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};

/// A charge on its way to the disk; its record lies in the bytes beside it.
pub(crate) struct Entry {
    pub(crate) organization: OrganizationId,
    pub(crate) request: RequestId,
    pub(crate) charge: Nano,
    /// Where its bytes end; they begin where the former's end.
    pub(crate) end: usize,
    pub(crate) has_written_intent: bool,
    pub(crate) expects_mark: bool,
    pub(crate) reply: Option<Reply>,
    /// Given back when the entry is dropped.
    pub(crate) _slot: Slot,
}

/// Entries with their bytes.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

/// What wakes the appending thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Charges, or marks that nothing else has brought to the disk for a while.
    Work,
    /// The journal is closed, and nothing is left.
    End,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct State {
    batch: Batch,
    is_waiting: bool,
    is_closed: bool,
    has_marks: bool,
}

impl State {
    fn put(&mut self, record: &RequestRecord, mut entry: Entry) {
        if self.is_closed {
            return;
        }
        item::put_charge(&mut self.batch.bytes, record);
        entry.end = self.batch.bytes.len();
        self.batch.entries.push(entry);
    }
}

impl Inbox {
    /// Queues a charge and wakes the thread; after the end its reply is dropped, which tells the caller.
    pub(crate) fn push(&self, record: &RequestRecord, entry: Entry) {
        let mut state = self.state.lock();
        state.put(record, entry);
        self.rouse_in(&mut state);
    }

    /// The same without waking: the caller writes it himself, or calls [`Inbox::rouse`].
    pub(crate) fn push_quietly(&self, record: &RequestRecord, entry: Entry) {
        self.state.lock().put(record, entry);
    }

    /// Says that marks should be written even if no charge comes.
    pub(crate) fn bring_marks(&self) {
        let mut state = self.state.lock();
        state.has_marks = true;
        self.rouse_in(&mut state);
    }

    /// Wakes the thread if it sleeps.
    pub(crate) fn rouse(&self) {
        self.rouse_in(&mut self.state.lock());
    }

    fn rouse_in(&self, state: &mut State) {
        if std::mem::take(&mut state.is_waiting) {
            self.wake.notify_one();
        }
    }

    /// Waits for work. While more keeps coming, the core is given to those who bring it, up to `most`: no timer, and when
    /// nothing else can run one system call.
    pub(crate) fn wait(&self, most: usize) -> Wake {
        let mut state = self.state.lock();
        while state.batch.entries.is_empty() && !state.has_marks {
            if state.is_closed {
                return Wake::End;
            }
            state.is_waiting = true;
            self.wake.wait(&mut state);
        }
        state.is_waiting = false;
        let mut seen = 0;
        while state.batch.entries.len() > seen && state.batch.entries.len() < most {
            seen = state.batch.entries.len();
            parking_lot::MutexGuard::unlocked(&mut state, std::thread::yield_now);
        }
        Wake::Work
    }

    /// Takes what is queued, in exchange for an empty batch.
    pub(crate) fn take(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        state.has_marks = false;
        std::mem::swap(&mut state.batch, batch);
    }

    /// Takes no more; what is queued is still appended.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.is_closed = true;
        self.rouse_in(&mut state);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}
