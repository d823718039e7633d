//! What is durable in the journal and not yet in the database, and who waits for it to get there.
//!
//! Bounded by the journal itself: nothing is here that is not in one of its segments. A reader of money or records asks
//! for everything so far and waits for the answer of the database's writer.

use super::Position;
use crate::error::Error;
use claviger_domain::id::RequestId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// A frame that the database does not have.
pub(crate) struct Waiting {
    pub(crate) position: Position,
    pub(crate) payload: Vec<u8>,
    /// Charges in it.
    pub(crate) charges: usize,
    /// Those of them whose intent the database has.
    pub(crate) closed: Vec<RequestId>,
    /// The answers of this and all earlier frames that wait for a mark are numbered below this.
    pub(crate) marks_end: u64,
}

/// Shared by the appending thread, the database's writer and readers.
pub(crate) struct Backlog {
    state: Mutex<State>,
    /// Wakes the writer: enough waits for a transaction, or someone wants to read.
    wake: Notify,
    /// How far the database has come.
    flushed: AtomicU64,
    /// Nothing new is admitted until the database has come to here.
    tight_above: AtomicU64,
    answered: watch::Sender<Answered>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Waiting>,
    charges: usize,
    /// The last frame that is durable, with or without a charge.
    last: Position,
    /// The `marks_end` of the last one that was taken.
    marks_end: u64,
    /// Requests to have everything so far in the database.
    asked: u64,
    /// Whether the writer has taken something that it has not committed.
    is_writing: bool,
}

/// Up to which request the writer has answered, and up to which in vain.
#[derive(Clone, Copy, Default)]
struct Answered {
    done: u64,
    failed: u64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            flushed: AtomicU64::new(0),
            tight_above: AtomicU64::new(0),
            answered: watch::Sender::new(Answered::default()),
        }
    }
}

/// What the writer takes for one transaction.
pub(crate) struct Taken {
    pub(crate) frames: Vec<Waiting>,
    /// How far the database has come when they are committed; `None` = as far as before.
    pub(crate) position: Option<Position>,
    /// Answers numbered below this have their records in the database then.
    pub(crate) marks_end: u64,
    /// The requests for everything that are answered if this was the last of it.
    pub(crate) asked: u64,
    /// Whether more waits behind it.
    pub(crate) has_more: bool,
}

impl Backlog {
    /// Begins where the database is.
    pub(crate) fn begin_at(&self, position: Position) {
        self.state.lock().last = position;
        self.flushed.store(position.number, Ordering::Release);
    }

    /// Frames that are durable now; `enough` of them wake the writer.
    pub(crate) fn push(&self, frames: impl IntoIterator<Item = Waiting>, last: Position, enough: usize) {
        let mut state = self.state.lock();
        for frame in frames {
            state.charges = state.charges.saturating_add(frame.charges);
            state.frames.push_back(frame);
        }
        state.last = last;
        if state.charges >= enough {
            self.wake.notify_one();
        }
    }

    /// Whole frames with about `most` charges, oldest first. They stay until [`Self::committed`].
    pub(crate) fn take(&self, most: usize) -> Taken {
        let mut state = self.state.lock();
        let mut charges = 0_usize;
        let mut frames = Vec::new();
        while charges < most
            && let Some(frame) = state.frames.pop_front()
        {
            charges = charges.saturating_add(frame.charges);
            frames.push(frame);
        }
        state.charges = state.charges.saturating_sub(charges);
        let has_more = !state.frames.is_empty();
        let end = if has_more { frames.last().map(|frame| frame.position) } else { Some(state.last) };
        let position = end.filter(|end| end.number > self.flushed.load(Ordering::Acquire) && !frames.is_empty());
        state.is_writing = true;
        state.marks_end = frames.last().map_or(state.marks_end, |frame| frame.marks_end);
        Taken { frames, position, marks_end: state.marks_end, asked: state.asked, has_more }
    }

    /// What was taken is in the database.
    pub(crate) fn committed(&self, taken: &Taken) {
        if let Some(position) = taken.position {
            self.flushed.store(position.number, Ordering::Release);
        }
        self.state.lock().is_writing = false;
        if !taken.has_more {
            self.answered.send_modify(|answered| answered.done = answered.done.max(taken.asked));
        }
    }

    /// What was taken is not in the database: it waits again.
    pub(crate) fn give_back(&self, taken: Taken) {
        let mut state = self.state.lock();
        state.is_writing = false;
        for frame in taken.frames.into_iter().rev() {
            state.charges = state.charges.saturating_add(frame.charges);
            state.frames.push_front(frame);
        }
        drop(state);
        self.answered.send_modify(|answered| answered.failed = answered.failed.max(taken.asked));
    }

    /// Resolves when the writer has something to do.
    pub(crate) async fn wanted(&self) {
        self.wake.notified().await;
    }

    /// Wakes the writer.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Waits until the database has everything that is durable now. `has_other` = the writer holds more than frames.
    ///
    /// # Errors
    /// The database did not take it.
    pub(crate) async fn level(&self, has_other: bool) -> Result<(), Error> {
        let mut answered = self.answered.subscribe();
        let number = {
            let mut state = self.state.lock();
            if state.frames.is_empty() && !state.is_writing && !has_other {
                return Ok(());
            }
            state.asked = state.asked.saturating_add(1);
            state.asked
        };
        self.wake.notify_one();
        let answer = answered.wait_for(|answered| answered.done >= number || answered.failed >= number).await;
        match answer {
            Ok(answered) if answered.done >= number => Ok(()),
            _ => Err(Error::unavailable("what was charged could not be written to the database yet")),
        }
    }

    /// The writer has ended: whoever asks from now on is told so.
    pub(crate) fn close(&self) {
        self.answered.send_modify(|answered| answered.failed = u64::MAX);
    }

    /// How far the database has come.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    pub(crate) fn set_tight_above(&self, number: u64) {
        self.tight_above.store(number, Ordering::Release);
    }

    pub(crate) fn is_tight(&self) -> bool {
        self.flushed() < self.tight_above.load(Ordering::Acquire)
    }
}
