//! The journal: a charge is durable here before its answer's last byte leaves, and in the database a moment later.
//!
//! One thread appends whatever queued during the last sync as frames ([`frame`], [`log`]) to preallocated segments
//! ([`disk`]) and wakes everyone who waited; a request with nobody beside it does so itself ([`pen`]). What it has appended lies in the [`backlog`] until the database's writer has
//! committed it, together with the number of the last frame; so a replay after a crash begins exactly behind what the
//! database has. The [`book`] says what each wallet can still pay, so nothing is appended that the database would refuse.
//! Which database lies behind is not known here.

pub(crate) mod appender;
pub(crate) mod backlog;
pub(crate) mod book;
pub(crate) mod disk;
pub(crate) mod frame;
pub(crate) mod inbox;
pub(crate) mod item;
pub(crate) mod log;
pub(crate) mod pen;
#[cfg(test)]
mod simulated;
pub(crate) mod sync_times;

use crate::charges::reply::Messenger;
use crate::charges::shared::Shared;
use backlog::Backlog;
use book::Book;
use inbox::Inbox;
use parking_lot::Mutex;
use std::sync::Arc;
use sync_times::SyncTimes;

/// How far the database has come: the last frame whose charges it holds, and the running hash there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) number: u64,
    pub(crate) chain: frame::Chain,
}

/// What callers, the appending thread and the database's writer share.
pub(crate) struct Journal {
    pub(crate) inbox: Inbox,
    pub(crate) backlog: Backlog,
    pub(crate) book: Mutex<Book>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) messenger: Messenger,
    pub(crate) sync_times: SyncTimes,
}

impl Journal {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            inbox: Inbox::default(),
            backlog: Backlog::default(),
            book: Mutex::default(),
            shared,
            messenger: Messenger::default(),
            sync_times: SyncTimes::default(),
        }
    }

    /// Whether a new request may be admitted: nothing has failed, and what waits for the database leaves half of the
    /// segments.
    pub(crate) fn is_open(&self) -> bool {
        !self.inbox.is_closed() && !self.backlog.is_tight()
    }
}
