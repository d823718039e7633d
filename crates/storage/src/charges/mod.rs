//! Charges: appended without waiting, durable in groups together with their request records.
//!
//! A slot is reserved at admission, so [`ChargeSlot::append`] can neither block nor fail. Behind it stands either the
//! node's journal, whose thread syncs everything queued at once and leaves the database for later, or the database's own
//! writer, which takes everything queued, commits once and answers all. Beside the charges two kinds of lazy news ride
//! along with the next group: intents of requests that are open for long, and which answers were handed over. Both are
//! kept in [`shared::Shared`]; neither is ever waited for.

pub(crate) mod reply;
pub(crate) mod shared;

use crate::journal::Journal;
use crate::journal::inbox::{Entry, Inbox};
use crate::journal::pen::Pen;
pub use crate::journal::sync_times::SyncReading;
use crate::record::Rows;
use crate::record_body::Columns;
use claviger_domain::id::{KeyId, OrganizationId, RequestId};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, RequestRecord};
use claviger_domain::time::{Clock, Timestamp};
use reply::{Answer, Reply};
use shared::{Place, Shared};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// The queue of charges. Cloning shares it.
#[derive(Clone)]
pub struct Charges {
    queue: Queue,
    shared: Arc<Shared>,
}

/// What stands behind the queue.
#[derive(Clone)]
enum Queue {
    /// The database's writer.
    Database(mpsc::Sender<Queued>),
    /// The node's journal, how many slots are taken, and who writes it.
    Journal(Arc<Journal>, Arc<AtomicUsize>, Option<Arc<Pen>>),
}

/// Room for one charge, taken at admission. Dropping it gives the room back.
pub struct ChargeSlot {
    room: Room,
    shared: Arc<Shared>,
}

/// A place in the queue.
pub(crate) enum Room {
    Database(mpsc::OwnedPermit<Queued>),
    Journal(Arc<Journal>, Slot),
}

/// One of the places before a journal; dropping it gives it back.
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::AcqRel) < limits::CHARGE_QUEUE).then_some(slot)
    }

    /// Whether nobody else has one.
    fn is_only(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// More charges wait than may wait, the journal has no room or no disk to trust, or the store is closed: refuse the
/// request, nothing was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of charges is full")]
pub struct QueueFull;

/// A request that is about to be dispatched: what is lost if the node dies before its charge is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The request.
    pub request: RequestId,
    /// Whose wallet.
    pub organization: OrganizationId,
    /// The key.
    pub key: KeyId,
    /// The public model id.
    pub model: String,
    /// What is held: the exposure.
    pub hold: Nano,
    /// When it was admitted.
    pub at: Timestamp,
}

/// A charge on its way to the disk. Dropping it does not stop the charge; nobody waits, that is all.
#[must_use = "the last piece of an answer may leave only when its charge is durable"]
pub struct Durable(oneshot::Receiver<Answer>);

/// A durable charge whose answer's last piece may leave now. Dropping it unmarked says that the piece did not leave.
#[must_use = "an unmarked charge counts as not delivered"]
pub struct Delivered {
    /// `None` when nothing is to be marked: no charge, or nobody was waiting for the answer.
    mark: Option<(Arc<Shared>, u64)>,
}

/// Why a charge did not become durable: withhold the last piece and stop admitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The wallet does not cover it: the hold was not kept. Nothing was written.
    #[error("the wallet does not cover the charge")]
    Overdrawn,
    /// The same request was charged before with other content. Nothing was written.
    #[error("the request was charged before, with other content")]
    Conflict,
    /// The journal or the database does not take it. Nothing was written, or its fate is unknown.
    #[error("the ledger is not available")]
    Unavailable,
}

impl Charges {
    /// A queue before the database's writer.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Queued>, Arc<Shared>) {
        let (queue, queued) = mpsc::channel(limits::CHARGE_QUEUE);
        let shared = Arc::new(Shared::default());
        (Self { queue: Queue::Database(queue), shared: Arc::clone(&shared) }, queued, shared)
    }

    /// A queue before a journal.
    pub(crate) fn before(journal: &Arc<Journal>, pen: Option<Arc<Pen>>) -> Self {
        let queue = Queue::Journal(Arc::clone(journal), Arc::default(), pen);
        Self { queue, shared: Arc::clone(&journal.shared) }
    }

    /// Takes room for one charge.
    ///
    /// # Errors
    /// [`QueueFull`]: refuse the request.
    pub fn try_reserve(&self) -> Result<ChargeSlot, QueueFull> {
        let room = match &self.queue {
            Queue::Database(queue) => Room::Database(queue.clone().try_reserve_owned().map_err(|_| QueueFull)?),
            Queue::Journal(journal, taken, _) => {
                let slot = Slot::take(taken).filter(|_| journal.is_open()).ok_or(QueueFull)?;
                Room::Journal(Arc::clone(journal), slot)
            }
        };
        Ok(ChargeSlot { room, shared: Arc::clone(&self.shared) })
    }

    /// Tells those who wait for their charges from the thread that polls this, until `stop` resolves: they wait there, and
    /// waking them from elsewhere costs a system call each.
    pub async fn answer_here(&self, stop: impl Future<Output = ()>) {
        match &self.queue {
            Queue::Database(_) => stop.await,
            Queue::Journal(journal, ..) => journal.messenger.run(stop).await,
        }
    }

    /// Counts how long the journal's disk takes, from now on.
    pub fn time_syncs(&self, clock: Arc<dyn Clock>) {
        if let Queue::Journal(journal, ..) = &self.queue {
            journal.sync_times.count_by(clock);
        }
    }

    /// How long the journal's disk took; `None` where no journal stands before the database.
    pub fn sync_times(&self) -> Option<SyncReading> {
        match &self.queue {
            Queue::Database(_) => None,
            Queue::Journal(journal, ..) => Some(journal.sync_times.read()),
        }
    }

    /// Queues as [`ChargeSlot::append`] does the charge of an answer that is whole. Where nothing else runs and the disk
    /// is quick, it is durable when this returns: there is nobody whom waiting here could delay, and waking the journal's
    /// thread would cost more.
    pub fn append_whole(&self, slot: ChargeSlot, record: RequestRecord) -> Durable {
        match (&self.queue, &slot.room) {
            (Queue::Journal(_, _, Some(pen)), Room::Journal(_, place))
                if record.charge > Nano::ZERO && place.is_only() && pen.is_quick() =>
            {
                let durable = slot.append_by(record, Inbox::push_quietly);
                pen.write_here();
                durable
            }
            _ => slot.append(record),
        }
    }

    /// Says that a request is about to be dispatched. Best effort, not awaited; written only if the request is still
    /// open about a quarter of a second later, so short requests never cost a row.
    pub fn intend(&self, intent: Intent) {
        self.shared.intend(intent);
    }
}

impl ChargeSlot {
    /// Queues a record with its charge: both become durable together. Never blocks, never fails.
    ///
    /// `record.delivery` says what is expected: `Delivered` when someone waits for the last piece. If the mark never
    /// comes the stored record is corrected, to `not_delivered` or, after a crash, `in_doubt`. `record.meters` must be
    /// those the charge follows from, `charge = min(cost, hold)`: `verify_ledger` recomputes it.
    ///
    /// A record without a charge wakes nobody: it is written with the next group, or with the next tick.
    pub fn append(self, record: RequestRecord) -> Durable {
        self.append_by(record, Inbox::push)
    }

    fn append_by(self, record: RequestRecord, push: fn(&Inbox, &RequestRecord, Entry)) -> Durable {
        let has_written_intent = self.shared.close(record.id);
        let expects_mark = record.charge > Nano::ZERO && record.delivery == Delivery::Delivered;
        let (reply, waiter) = oneshot::channel();
        let waiting = Waiting { has_written_intent, expects_mark, reply: Some(reply) };
        #[cfg(feature = "bugs")]
        let waiting = acknowledged_early(waiting);
        match self.room {
            Room::Journal(journal, slot) if record.charge > Nano::ZERO => {
                let Waiting { has_written_intent, expects_mark, reply } = waiting;
                let entry = Entry {
                    organization: record.organization,
                    request: record.id,
                    charge: record.charge,
                    end: 0,
                    has_written_intent,
                    expects_mark,
                    reply,
                    _slot: slot,
                };
                push(&journal.inbox, &record, entry);
            }
            Room::Database(permit) if record.charge > Nano::ZERO => {
                drop(permit.send(Queued::of(&record, waiting, None)));
            }
            room => match self.shared.defer(room, |former| Queued::of(&record, waiting, former)) {
                Some((Room::Database(permit), queued)) => drop(permit.send(queued)),
                Some((Room::Journal(journal, slot), queued)) => {
                    self.shared.defer_more(Room::Journal(Arc::clone(&journal), slot), queued);
                    journal.backlog.nudge();
                }
                None => {}
            },
        }
        Durable(waiter)
    }
}

/// The seeded bug "no fsync before the last byte".
#[cfg(feature = "bugs")]
fn acknowledged_early(mut waiting: Waiting) -> Waiting {
    if crate::bugs::is_acking_before_commit() {
        if let Some(reply) = waiting.reply.take() {
            let _ = reply.send(Ok(Delivered { mark: None }));
        }
        waiting.expects_mark = false;
    }
    waiting
}

impl Durable {
    /// Resolves when charge and record are durable.
    ///
    /// # Errors
    /// [`Lost`]: the last piece must not leave.
    pub async fn wait(self) -> Result<Delivered, Lost> {
        self.0.await.unwrap_or(Err(Lost::Unavailable))
    }
}

impl Delivered {
    /// A durable charge; `number` is its place among those that wait for a mark.
    pub(crate) fn awaiting(shared: &Arc<Shared>, number: Option<u64>) -> Self {
        Self { mark: number.map(|number| (Arc::clone(shared), number)) }
    }

    /// The last piece was handed over. Best effort: it only shortens the list of charges in doubt.
    pub fn mark(mut self) {
        if let Some((shared, number)) = self.mark.take() {
            shared.delivered(number);
        }
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        if let Some((shared, number)) = self.mark.take() {
            shared.not_delivered(number);
        }
    }
}

/// Who waits for a charge, and for what.
struct Waiting {
    has_written_intent: bool,
    expects_mark: bool,
    reply: Option<Reply>,
}

/// A charge on its way to the database.
pub(crate) struct Queued {
    pub(crate) rows: Rows,
    pub(crate) place: Place,
    pub(crate) has_written_intent: bool,
    pub(crate) expects_mark: bool,
    reply: Option<Reply>,
}

impl Queued {
    fn of(record: &RequestRecord, waiting: Waiting, former: Option<&Self>) -> Self {
        let Waiting { has_written_intent, expects_mark, reply } = waiting;
        let place = Place { organization: record.organization, request: record.id };
        let rows = Rows::of_record(record, former.map(|queued| &queued.rows));
        Self { rows, place, has_written_intent, expects_mark, reply }
    }

    /// One that is durable in the journal, so nobody waits for it here; `former` is the one before it in its group.
    pub(crate) fn journaled(columns: &Columns<'_>, has_written_intent: bool, former: Option<&Self>) -> Self {
        let place = Place { organization: columns.organization, request: columns.id };
        let rows = Rows::of(columns, former.map(|queued| &queued.rows));
        Self { rows, place, has_written_intent, expects_mark: false, reply: None }
    }

    /// Answers that the charge is durable. `number` is its place among those that wait for a mark.
    pub(crate) fn settle(self, shared: &Arc<Shared>, number: Option<u64>) {
        let delivered = Delivered::awaiting(shared, number);
        if let Some(reply) = self.reply {
            // If nobody waits any more, dropping the answer inside the error says "not delivered".
            let _ = reply.send(Ok(delivered));
        }
    }

    pub(crate) fn lose(self, why: Lost) {
        if let Some(reply) = self.reply {
            let _ = reply.send(Err(why));
        }
    }
}
