//! The two engines: opening, the thread that writes, the readers. The acts know neither.
//!
//! Each engine has one thread with a current-thread runtime: futures of acts need not be `Send`, and the thread is the
//! owner of every task in it. Before SQLite stands the journal, with a thread of its own that only appends. Dialect text, each place named here: the charge group (`sqlite/group.rs` one multi-statement
//! call, `postgres/group.rs` one statement over arrays), pragmas and VACUUM INTO (`sqlite/open.rs`), session settings and
//! the advisory lock (`postgres/open.rs`), a node's poll (`postgres/poll.rs`), LISTEN (`postgres/listen.rs`), the triggers of the migrations.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use crate::charges::shared::{News, Shared};
use crate::charges::{Charges, Queued};
use crate::door::Job;
use crate::error::{Error, OpenError};
use crate::journal::Journal;
use crate::journal::appender::Appender;
use crate::journal::pen::Pen;
use crate::record::{AbsorbRow, RecordRow};
use crate::store::{DatabaseUrl, Engine, Opened, Readers};
use claviger_domain::audit::AuditKey;
use claviger_domain::id::{OrganizationId, SeatId};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::revocation::Epoch;
use claviger_domain::time::Now;
use sqlx::PgPool;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How often lazy news is looked at, and written if nothing else was.
pub(crate) const TICK: Duration = Duration::from_millis(125);

/// Whether this process holds the database, as it was last shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It was shown a moment ago.
    Shown,
    /// It has not been shown for a while: another node may have it. It may come back.
    Stale,
    /// Another node has it: for good.
    Lost,
}

/// What the thread works on.
pub(crate) struct Intake {
    pub(crate) acts: mpsc::Receiver<Box<dyn Job>>,
    pub(crate) committed: watch::Sender<Epoch>,
    pub(crate) heard: watch::Sender<u64>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Always shown on SQLite: the lock of the directory ends with the process.
    pub(crate) holding: watch::Sender<Holding>,
    pub(crate) audit_key: AuditKey,
}

impl Intake {
    /// Publishes an epoch that is committed; never backwards.
    pub(crate) fn publish(&self, epoch: Option<Epoch>) {
        if let Some(epoch) = epoch {
            self.committed.send_if_modified(|last| {
                let is_newer = epoch > *last;
                *last = epoch.max(*last);
                is_newer
            });
        }
    }
}

/// What the acts of a commit have done.
#[derive(Default)]
pub(crate) struct Committed {
    /// The last epoch they made.
    pub(crate) epoch: Option<Epoch>,
    /// What they gave to wallets.
    pub(crate) funded: Vec<(OrganizationId, Nano)>,
}

/// Fills a group with what waits, and with what is about to: while more keeps coming, the core is given to those who
/// bring it. No timer; when nothing else can run this costs one system call.
pub(crate) fn gather(charges: &mut mpsc::Receiver<Queued>, shared: &Shared, group: &mut Vec<Queued>) {
    let mut has_yielded = false;
    loop {
        let seen = group.len();
        while group.len() < limits::CHARGE_GROUP
            && let Ok(queued) = charges.try_recv()
        {
            group.push(queued);
        }
        if group.is_empty() || (has_yielded && group.len() == seen) || group.len() >= limits::CHARGE_GROUP {
            break;
        }
        has_yielded = true;
        std::thread::yield_now();
    }
    shared.take_deferred(group);
}

/// What the thread hands over when the database is open.
struct Ready {
    readers: Readers,
    renewals: Option<PgPool>,
    charges: Charges,
    journal: Option<Arc<Journal>>,
}

/// Opens the database on a thread of its own, which then writes until it is stopped.
pub(crate) async fn open(url: DatabaseUrl, seat: SeatId, audit_key: AuditKey, now: Now) -> Result<Opened, OpenError> {
    let (acts, queued_acts) = mpsc::channel(claviger_domain::limits::ACT_QUEUE);
    let (committed_sender, committed) = watch::channel(Epoch::default());
    let (stop, stopped) = watch::channel(false);
    let (ended_sender, ended) = watch::channel(false);
    let (ready_sender, ready) = oneshot::channel::<Result<Ready, OpenError>>();
    let (heard_sender, heard) = watch::channel(0);
    let (holding_sender, holding) = watch::channel(Holding::Shown);
    let intake = Intake {
        acts: queued_acts,
        committed: committed_sender,
        heard: heard_sender,
        stop: stopped,
        holding: holding_sender,
        audit_key,
    };
    let work = move || {
        run_here(async move {
            match url {
                DatabaseUrl::Sqlite(path) => on_sqlite(&path, intake, now, ready_sender).await,
                DatabaseUrl::Postgres(url) => on_postgres(&url, seat, intake, now, ready_sender).await,
            }
        });
        let _ = ended_sender.send(true);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the store owns this thread: `close`, or dropping the store, ends it"
    )]
    std::thread::Builder::new()
        .name("claviger-store".to_owned())
        .spawn(work)
        .map_err(|error| Error::unavailable(format!("no thread for the store: {error}")))?;
    let opened = ready.await.map_err(|_| Error::unavailable("the storage thread ended while opening"))??;
    let Ready { readers, renewals, charges, journal } = opened;
    Ok(Opened { readers, renewals, heard, acts, charges, journal, committed, stop, holding, ended })
}

/// Opens SQLite and its journal, then writes until the store is stopped.
async fn on_sqlite(path: &Path, intake: Intake, now: Now, ready: oneshot::Sender<Result<Ready, OpenError>>) {
    let opened = async {
        let (mut open, readers) = sqlite::open::open(path, now).await?;
        let (log, known, unflushed) = sqlite::replay::open_journal(&mut open, path).await?;
        let journal = Arc::new(Journal::new(Arc::new(Shared::with_journal())));
        let mut writer = sqlite::writer::Writer::new(open, intake, Arc::clone(&journal));
        writer.replay(known, &unflushed).await?;
        let pen = Arc::new(Pen::new(Appender::new(log, Arc::clone(&journal)), Arc::clone(&journal)));
        let charges = Charges::before(&journal, Some(Arc::clone(&pen)));
        let appended = append(pen)?;
        Ok((writer, appended, Ready { readers, renewals: None, charges, journal: Some(journal) }))
    };
    match opened.await {
        Ok((writer, appended, opened)) => {
            // If the opener has gone, the closed queues end the loop at once.
            let _ = ready.send(Ok(opened));
            writer.run(appended).await;
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}

/// Starts the journal's thread; the receiver resolves when it has ended.
fn append(pen: Arc<Pen>) -> Result<oneshot::Receiver<()>, OpenError> {
    let (ended, appended) = oneshot::channel();
    let work = move || {
        pen.run();
        let _ = ended.send(());
    };
    #[expect(clippy::disallowed_methods, reason = "the storage thread owns this one: it closes its queue and waits")]
    std::thread::Builder::new()
        .name("claviger-journal".to_owned())
        .spawn(work)
        .map_err(|error| Error::unavailable(format!("no thread for the journal: {error}")))?;
    Ok(appended)
}

/// Opens Postgres, then writes until the store is stopped.
async fn on_postgres(
    url: &str,
    seat: SeatId,
    intake: Intake,
    now: Now,
    ready: oneshot::Sender<Result<Ready, OpenError>>,
) {
    match postgres::open::open(url, seat, now).await {
        Ok((open, readers, renewals)) => {
            let (charges, queued, shared) = Charges::new();
            let _ = ready.send(Ok(Ready { readers, renewals: Some(renewals), charges, journal: None }));
            postgres::writer::run(open, intake, queued, shared).await;
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}

fn run_here(work: impl Future<Output = ()>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, work),
        Err(error) => tracing::error!(%error, "no runtime for the store: {error}"),
    }
}

/// The texts of one engine only, for the test that prepares them.
pub(crate) fn statements(engine: Engine) -> Vec<(&'static str, String)> {
    match engine {
        Engine::Sqlite => {
            let texts = [sqlite::group::statements(), sqlite::writer::statements(), sqlite::replay::statements()];
            texts.into_iter().flatten().collect()
        }
        Engine::Postgres => [postgres::group::statements(), postgres::poll_statements()].concat(),
    }
}

/// What one commit writes besides acts.
pub(crate) struct Batch<'a> {
    /// Records, each with its charge, in queue order.
    pub(crate) records: Vec<&'a RecordRow>,
    /// What was used above holds; the charges themselves are in their records.
    pub(crate) absorbed: Vec<&'a AbsorbRow>,
    /// Requests whose written intents go.
    pub(crate) closed: Vec<&'a Arc<str>>,
    pub(crate) news: &'a News,
}

impl<'a> Batch<'a> {
    pub(crate) fn of(group: impl IntoIterator<Item = &'a Queued>, news: &'a News) -> Self {
        let mut batch = Self { records: Vec::new(), absorbed: Vec::new(), closed: Vec::new(), news };
        for queued in group {
            let rows = &queued.rows;
            batch.records.push(&rows.record);
            batch.absorbed.extend(&rows.absorb);
            if queued.has_written_intent {
                batch.closed.push(&rows.record.id);
            }
        }
        batch
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.news.is_empty()
    }
}
