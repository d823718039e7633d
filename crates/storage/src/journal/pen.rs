//! Who writes the journal: its thread, for whoever queued while it wrote; or a lone request, for itself.
//!
//! A request with nobody beside it would wake the thread, sleep, and be woken: two hops that cost a resting processor as
//! much as half the disk does. So it takes the pen, if the thread has laid it down, and writes what is queued. It keeps
//! its own thread from other work for one sync, which is why the caller asks for it only where that harms nobody.

use super::Journal;
use super::appender::Appender;
use super::disk::{Disk, Files};
use super::inbox::{Batch, Wake};
use claviger_domain::limits;
use parking_lot::Mutex;
use std::sync::Arc;

/// The one right to append. Empty when the journal has ended.
pub(crate) struct Pen<D = Files> {
    held: Mutex<Option<Held<D>>>,
    journal: Arc<Journal>,
}

/// What its holder works with.
struct Held<D> {
    appender: Appender<D>,
    batch: Batch,
}

impl<D: Disk> Pen<D> {
    pub(crate) fn new(appender: Appender<D>, journal: Arc<Journal>) -> Self {
        Self { held: Mutex::new(Some(Held { appender, batch: Batch::default() })), journal }
    }

    /// Appends until the journal is closed, or its disk fails. Then nobody else writes either.
    pub(crate) fn run(&self) {
        while self.journal.inbox.wait(limits::CHARGE_GROUP) == Wake::Work {
            #[cfg(feature = "bugs")]
            if crate::bugs::is_acking_before_commit() {
                std::thread::sleep(crate::bugs::COMMIT_LAG);
            }
            self.write(&mut self.held.lock());
        }
        *self.held.lock() = None;
    }

    /// Writes what is queued from the thread that asks, if nobody else writes; else the journal's thread will.
    pub(crate) fn write_here(&self) {
        match self.held.try_lock() {
            Some(mut held) => self.write(&mut held),
            None => self.journal.inbox.rouse(),
        }
    }

    fn write(&self, held: &mut Option<Held<D>>) {
        let Some(Held { appender, batch }) = held else {
            // Nothing is written any more. What wakes the thread is still taken, or it would never end.
            return self.journal.inbox.take(&mut Batch::default());
        };
        self.journal.inbox.take(batch);
        if let Err(error) = appender.append(batch) {
            tracing::error!(%error, "the journal cannot be written: no charge is taken any more: {error}");
            // Whoever is queued learns it by the end of the queue: the thread empties it without this.
            *held = None;
            self.journal.inbox.close();
            self.journal.inbox.take(&mut Batch::default());
        }
    }

    /// Whether the disk answers so soon that a thread may wait for it.
    pub(crate) fn is_quick(&self) -> bool {
        #[cfg(feature = "bugs")]
        if crate::bugs::is_acking_before_commit() {
            return false;
        }
        self.journal.sync_times.last().is_some_and(|last| last <= limits::LONE_SYNC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charges::shared::Shared;
    use crate::charges::{Charges, Lost};
    use crate::journal::Position;
    use crate::journal::log::{Log, Shape};
    use crate::journal::simulated::{ORGANIZATION, SHAPE, SimulatedDisk, record};
    use claviger_domain::money::Nano;
    use claviger_domain::time::{Clock, Monotonic, Now, Timestamp};
    use futures_util::FutureExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Every reading is `step` nanoseconds behind the former, so every sync takes that long.
    struct Stepping(AtomicU64, u64);

    impl Clock for Stepping {
        fn now(&self) -> Now {
            Now { wall: Timestamp(0), monotonic: Monotonic(self.0.fetch_add(self.1, Ordering::Relaxed)) }
        }
    }

    /// A journal whose syncs take `micros`, after the first.
    fn journal(directory: &tempfile::TempDir, micros: u64) -> (Charges, Arc<Journal>, Arc<Pen>) {
        let journal = Arc::new(Journal::new(Arc::new(Shared::with_journal())));
        journal.sync_times.count_by(Arc::new(Stepping(AtomicU64::new(0), micros * 1000)));
        journal.book.lock().load([(ORGANIZATION, Nano(1_000_000))]);
        let shape = Shape { segments: 4, bytes: 16 * 1024 * 1024 };
        let files = Files::open(directory.path(), shape.segments, 16 * 1024 * 1024).unwrap();
        let (log, _) = Log::open(files, shape, Position::default()).unwrap();
        let pen = Arc::new(Pen::new(Appender::new(log, Arc::clone(&journal)), Arc::clone(&journal)));
        (Charges::before(&journal, Some(Arc::clone(&pen))), journal, pen)
    }

    /// Charges once, so that the disk's time is known.
    fn warm(charges: &Charges, pen: &Pen) {
        let first = charges.try_reserve().unwrap().append(record(1, 1));
        pen.write_here();
        assert!(first.wait().now_or_never().unwrap().is_ok());
    }

    #[test]
    fn a_lone_charge_is_durable_when_it_was_appended() {
        let directory = tempfile::tempdir().unwrap();
        let (charges, _, pen) = journal(&directory, 200);
        warm(&charges, &pen);
        let durable = charges.append_whole(charges.try_reserve().unwrap(), record(2, 1));
        assert!(durable.wait().now_or_never().expect("nobody else writes").is_ok());
    }

    #[test]
    fn with_others_beside_it_or_a_slow_disk_a_charge_waits_for_the_thread() {
        let directory = tempfile::tempdir().unwrap();
        let (charges, _, pen) = journal(&directory, 200);
        warm(&charges, &pen);
        let other = charges.try_reserve().unwrap();
        let durable = charges.append_whole(charges.try_reserve().unwrap(), record(2, 1));
        assert!(durable.wait().now_or_never().is_none(), "another request runs");
        drop(other);
        let directory = tempfile::tempdir().unwrap();
        let (charges, _, pen) = journal(&directory, 1001);
        warm(&charges, &pen);
        let durable = charges.append_whole(charges.try_reserve().unwrap(), record(2, 1));
        assert!(durable.wait().now_or_never().is_none(), "the disk takes longer than a thread may wait");
    }

    #[test]
    fn behind_a_failed_disk_marks_keep_no_thread_awake() {
        let disk = SimulatedDisk::new();
        let (log, _) = Log::open(disk.clone(), SHAPE, Position::default()).unwrap();
        let journal = Arc::new(Journal::new(Arc::new(Shared::with_journal())));
        journal.book.lock().load([(ORGANIZATION, Nano(10))]);
        let pen = Pen::new(Appender::new(log, Arc::clone(&journal)), Arc::clone(&journal));
        disk.fail();
        let lost = Charges::before(&journal, None).try_reserve().unwrap().append(record(1, 1));
        pen.write_here();
        assert_eq!(lost.wait().now_or_never().unwrap().err(), Some(Lost::Unavailable));
        journal.inbox.bring_marks();
        pen.write_here();
        assert_eq!(journal.inbox.wait(1), Wake::End);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "threads of the test, joined in it")]
    fn whoever_writes_every_charge_is_answered_once_and_the_end_leaves_none_unsaid() {
        let directory = tempfile::tempdir().unwrap();
        let (charges, journal, pen) = journal(&directory, 200);
        warm(&charges, &pen);
        let thread = std::thread::spawn(move || pen.run());
        let ask = |from: u64| {
            let charges = charges.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut durable = 0;
                for number in from..from + 400 {
                    let Ok(slot) = charges.try_reserve() else { break };
                    let waiting = charges.append_whole(slot, record(number, 1));
                    match runtime.block_on(waiting.wait()) {
                        Ok(delivered) => {
                            delivered.mark();
                            durable += 1;
                        }
                        Err(lost) => assert_eq!(lost, Lost::Unavailable, "the journal was closed"),
                    }
                }
                durable
            })
        };
        let askers: Vec<_> = (1..4).map(|asker| ask(asker * 10_000)).collect();
        while journal.sync_times.read().count < 300 {
            std::thread::yield_now();
        }
        journal.inbox.close();
        let durable: usize = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
        thread.join().unwrap();
        let taken = journal.backlog.take(usize::MAX);
        assert_eq!(taken.frames.iter().map(|frame| frame.charges).sum::<usize>(), durable + 1);
    }
}
