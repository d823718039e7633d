//! What whoever holds the journal's pen does: writes what queued, syncs once, wakes everyone.
//!
//! Order of durability: write, sync, then the backlog, then the answers; so whoever has an answer finds the charge in the
//! database after a barrier. An error of the disk ends appending for good: a sync that failed once is not tried again.

use super::Journal;
use super::backlog::Waiting;
use super::disk::Disk;
use super::inbox::{Batch, Entry};
use super::item::{self, Mark};
use super::log::{Log, NotAppended};
use crate::charges::{Delivered, Lost};
use claviger_domain::id::RequestId;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// A frame takes no more bytes of records once it has these.
const FRAME_BYTES: usize = 512 * 1024;

/// Requests that are remembered at least, so that a second charge of the same one is noticed.
const REMEMBERED: usize = 16 * 1024;

/// The journal's end, and what was charged lately.
pub(crate) struct Appender<D> {
    log: Log<D>,
    journal: Arc<Journal>,
    /// What was charged for recent requests.
    recent: Recent,
    payload: Vec<u8>,
    /// Behind the number of the last answer that waits for a mark.
    marks_end: u64,
}

/// How an entry goes on.
enum Fate {
    /// It goes into a frame; its place among the answers that wait for a mark, if it waits.
    Written(Option<u64>),
    /// The same charge is in the journal already.
    Repeated,
    Lost(Lost),
}

impl<D: Disk> Appender<D> {
    pub(crate) fn new(log: Log<D>, journal: Arc<Journal>) -> Self {
        Self { log, journal, recent: Recent::default(), payload: Vec::new(), marks_end: 0 }
    }

    /// Appends a batch, syncs it if there is a charge in it, and answers.
    ///
    /// # Errors
    /// Nothing is known of this batch; nothing may be appended any more.
    pub(crate) fn append(&mut self, batch: &mut Batch) -> Result<(), NotAppended> {
        // Taken first: a mark of a charge of this very batch cannot exist yet.
        let told = self.journal.shared.take_told();
        let fates = self.judge(&batch.entries);
        let frames = self.write(batch, &told, &fates)?;
        if let Some(last) = frames.last().map(|frame| frame.position) {
            if frames.iter().any(|frame| frame.charges > 0) {
                let begin = self.journal.sync_times.begin();
                self.log.sync()?;
                self.journal.sync_times.end(begin);
                // Frames of marks only have nothing for the database: it has its own list.
                let frames = frames.into_iter().filter(|frame| frame.charges > 0);
                self.journal.backlog.push(frames, last, limits::CHARGE_GROUP);
            } else {
                self.log.hand_over()?;
            }
        }
        batch.bytes.clear();
        let answers = batch.entries.drain(..).zip(fates).filter_map(|(entry, fate)| {
            let answer = match fate {
                Fate::Written(number) => Ok(Delivered::awaiting(&self.journal.shared, number)),
                Fate::Repeated => Ok(Delivered::awaiting(&self.journal.shared, None)),
                Fate::Lost(why) => Err(why),
            };
            Some((entry.reply?, answer))
        });
        self.journal.messenger.tell(answers.collect());
        Ok(())
    }

    /// Decides on each charge: once a request, and only what the wallet has. Those that wait for a mark are on the list
    /// before the database's writer can see them.
    fn judge(&mut self, entries: &[Entry]) -> Vec<Fate> {
        let mut book = self.journal.book.lock();
        let mut marks = self.journal.shared.marks();
        let mut judge = |entry: &Entry| {
            match self.recent.find(entry.request) {
                Some(charge) if charge == entry.charge => return Fate::Repeated,
                Some(_) => return Fate::Lost(Lost::Conflict),
                None => {}
            }
            if !book.take(entry.organization, entry.charge) {
                return Fate::Lost(Lost::Overdrawn);
            }
            self.recent.remember(entry.request, entry.charge);
            Fate::Written(entry.expects_mark.then(|| marks.wait_for(entry.organization, entry.request)))
        };
        entries.iter().map(&mut judge).collect()
    }

    /// Writes marks and charges as few frames, not yet synced.
    fn write(&mut self, batch: &Batch, told: &[Mark], fates: &[Fate]) -> Result<Vec<Waiting>, NotAppended> {
        let mut frames: Vec<Waiting> = Vec::new();
        self.payload.clear();
        told.iter().for_each(|mark| item::put_mark(&mut self.payload, mark));
        let (mut begin, mut charges, mut closed) = (0, 0_usize, Vec::new());
        for (entry, fate) in batch.entries.iter().zip(fates) {
            if let Fate::Written(number) = fate {
                self.marks_end = number.map_or(self.marks_end, |number| number.saturating_add(1));
                self.payload.extend_from_slice(batch.bytes.get(begin..entry.end).unwrap_or_default());
                charges = charges.saturating_add(1);
                closed.extend(entry.has_written_intent.then_some(entry.request));
            }
            begin = entry.end;
            if charges >= limits::CHARGE_GROUP || self.payload.len() >= FRAME_BYTES {
                frames.extend(self.frame(std::mem::take(&mut charges), std::mem::take(&mut closed))?);
            }
        }
        frames.extend(self.frame(charges, closed)?);
        Ok(frames)
    }

    /// Writes what the payload has as one frame.
    fn frame(&mut self, charges: usize, closed: Vec<RequestId>) -> Result<Option<Waiting>, NotAppended> {
        if self.payload.is_empty() {
            return Ok(None);
        }
        let position = self.log.append(&self.payload, self.journal.backlog.flushed())?;
        self.journal.backlog.set_tight_above(self.log.tight_above());
        let next = Vec::with_capacity(self.payload.len());
        let payload = std::mem::replace(&mut self.payload, next);
        Ok(Some(Waiting { position, payload, charges, closed, marks_end: self.marks_end }))
    }
}

/// What was charged for the last requests: two maps, so that forgetting the older half costs nothing.
#[derive(Default)]
struct Recent {
    young: ByRequest,
    old: ByRequest,
}

type ByRequest = HashMap<RequestId, Nano, BuildHasherDefault<RandomBits>>;

impl Recent {
    fn find(&self, request: RequestId) -> Option<Nano> {
        self.young.get(&request).or_else(|| self.old.get(&request)).copied()
    }

    fn remember(&mut self, request: RequestId, charge: Nano) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(request, charge);
    }
}

/// The hash of an id that this program drew: its low bits are random.
#[derive(Default)]
struct RandomBits(u64);

impl Hasher for RandomBits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        // The map takes its place from the low bits and its tag from the high ones.
        let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        self.0 = low.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
