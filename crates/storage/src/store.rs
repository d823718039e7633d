//! The store: opening by URL, the door to transactions, the readers.
//!
//! What is asked of it stands in the files beside, one per kind of object.

use crate::charges::Charges;
use crate::door::{Job, Link, Linked, Tx, job};
use crate::engine;
use crate::error::{Error, OpenError};
use crate::journal::Journal;
use claviger_domain::audit::AuditKey;
use claviger_domain::id::SeatId;
use claviger_domain::revocation::Epoch;
use claviger_domain::time::Now;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long closing waits for a server.
const CLOSE: Duration = Duration::from_secs(10);

/// Where the data lies; chosen at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The database file; its directory belongs to this process alone.
    Sqlite(PathBuf),
    /// A `postgres://` URL.
    Postgres(String),
}

/// Which engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite in the data directory.
    Sqlite,
    /// Postgres 15 or later.
    Postgres,
}

impl Engine {
    /// The engine's name, as operators know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// An open database. Cloning shares it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Engine,
    seat: SeatId,
    readers: Readers,
    renewals: Option<PgPool>,
    heard: watch::Receiver<u64>,
    acts: mpsc::Sender<Box<dyn Job>>,
    charges: Charges,
    journal: Option<Arc<Journal>>,
    committed: watch::Receiver<Epoch>,
    audit_key: AuditKey,
    stop: watch::Sender<bool>,
    holding: watch::Receiver<engine::Holding>,
    ended: watch::Receiver<bool>,
}

/// Connections that cannot write.
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What an engine hands over when it is open and its thread runs.
pub(crate) struct Opened {
    pub(crate) readers: Readers,
    /// The lane of polls, which nothing else may keep waiting; Postgres only.
    pub(crate) renewals: Option<PgPool>,
    /// Counts notifications that something changed somewhere; Postgres only.
    pub(crate) heard: watch::Receiver<u64>,
    pub(crate) acts: mpsc::Sender<Box<dyn Job>>,
    pub(crate) charges: Charges,
    /// What stands before the database, if anything does.
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) committed: watch::Receiver<Epoch>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) holding: watch::Receiver<engine::Holding>,
    pub(crate) ended: watch::Receiver<bool>,
}

impl Store {
    /// Opens the database: checks the engine's version, makes sure that nobody else uses it, brings the schema level (on
    /// SQLite behind a backup), brings what its journal holds into it, and recovers: what was open when the last process died becomes `node_lost`, what was
    /// charged without a delivered mark becomes in doubt.
    ///
    /// # Errors
    /// [`OpenError`], each a reason to exit. Nothing was changed, but for migrations that had succeeded before.
    pub async fn open(url: &DatabaseUrl, audit_key: impl Into<AuditKey>, now: Now) -> Result<Self, OpenError> {
        Self::open_as(url, SeatId::from_u128(0), audit_key, now).await
    }

    /// The same for one of several nodes: what a former start on this seat left behind is this one's to end.
    ///
    /// # Errors
    /// As of [`Store::open`].
    pub async fn open_as(
        url: &DatabaseUrl,
        seat: SeatId,
        audit_key: impl Into<AuditKey>,
        now: Now,
    ) -> Result<Self, OpenError> {
        let audit_key = audit_key.into();
        let engine = match url {
            DatabaseUrl::Sqlite(_) => Engine::Sqlite,
            DatabaseUrl::Postgres(_) => Engine::Postgres,
        };
        let opened = engine::open(url.clone(), seat, audit_key.clone(), now).await?;
        let Opened { readers, renewals, heard, acts, charges, journal, committed, stop, holding, ended } = opened;
        let store = Self(Arc::new(Inner {
            engine,
            seat,
            readers,
            renewals,
            heard,
            acts,
            charges,
            journal,
            committed,
            audit_key,
            stop,
            holding,
            ended,
        }));
        crate::recovery::recover(&store, now).await?;
        Ok(store)
    }

    /// Which engine answers.
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// Commits what is queued and closes every connection; other clones then answer `Unavailable`. A server that does
    /// not answer is waited for ten seconds at most; what is then still queued is lost as by a kill.
    pub async fn close(self) {
        match &self.0.readers {
            // A disk is waited for: it is busy with the last checkpoint.
            Readers::Sqlite(pool) => {
                pool.close().await;
                self.end().await;
            }
            Readers::Postgres(pool) => {
                let renewals = async {
                    if let Some(renewals) = &self.0.renewals {
                        renewals.close().await;
                    }
                };
                let all = async { tokio::join!(pool.close(), renewals, self.end()) };
                if tokio::time::timeout(CLOSE, all).await.is_err() {
                    tracing::error!("the database server does not answer: closed without it");
                }
            }
        }
    }

    async fn end(&self) {
        // The thread may have ended before; then there is nothing to stop.
        let _ = self.0.stop.send(true);
        let mut ended = self.0.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// The data directory that this process stands for.
    pub fn seat(&self) -> SeatId {
        self.0.seat
    }

    /// Counts what was heard of changes elsewhere: a hint to poll now. Never changes on SQLite.
    pub fn heard(&self) -> watch::Receiver<u64> {
        self.0.heard.clone()
    }

    /// The last epoch this process committed, for whoever must apply it. Wakes right after the commit.
    pub fn committed(&self) -> watch::Receiver<Epoch> {
        self.0.committed.clone()
    }

    /// The queue of charges: the hot path.
    pub fn charges(&self) -> Charges {
        self.0.charges.clone()
    }

    /// Prepares every SQL text on this engine and says how many there are; for the conformance suite.
    ///
    /// # Errors
    /// `Corrupt` names the first text that the engine does not take.
    pub async fn prepare_all(&self) -> Result<usize, Error> {
        use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};
        let mut reader = self.reader().await?;
        let mut count = 0_usize;
        let own = engine::statements(self.0.engine);
        for (name, sql) in crate::statements::all().chain(own) {
            let text = AssertSqlSafe(sql).into_sql_str();
            let prepared =
                crate::door::both!(&mut reader, c => c.prepare(text).await.err().map(|error| error.to_string()));
            if let Some(error) = prepared {
                return Err(Error::Corrupt { table: name, row: error });
            }
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// Resolves when another node has taken the database: nothing is written any more, and the process should end. Never
    /// on SQLite.
    pub async fn taken(&self) {
        let mut holding = self.0.holding.clone();
        if holding.wait_for(|holding| *holding == engine::Holding::Lost).await.is_err() {
            // Closed without having been taken.
            std::future::pending::<()>().await;
        }
    }

    /// Whether another node has taken the database.
    pub fn is_taken(&self) -> bool {
        *self.0.holding.borrow() == engine::Holding::Lost
    }

    /// Fails while this process cannot show that the database is its own.
    pub(crate) fn check_holding(&self) -> Result<(), Error> {
        match *self.0.holding.borrow() {
            engine::Holding::Shown => Ok(()),
            engine::Holding::Stale => Err(Error::unavailable("the lock on the database could not be shown lately")),
            engine::Holding::Lost => Err(Error::unavailable("another node took the database")),
        }
    }

    /// Bounds work that reads: a server that fell silent must not be waited for longer than TCP does.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.0.engine {
            Engine::Sqlite => work.await,
            Engine::Postgres => engine::postgres::answer(limit, work).await,
        }
    }

    pub(crate) fn audit_key(&self) -> &AuditKey {
        &self.0.audit_key
    }

    /// Runs an act in a transaction of its own (on SQLite a savepoint of a group) and waits until it is durable.
    pub(crate) async fn act<T, F>(&self, act: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (job, answer) = job(act);
        self.0.acts.send(job).await.map_err(|_| Error::unavailable("the store is closed"))?;
        answer.await.map_err(|_| Error::unavailable("the store closed meanwhile"))?
    }

    /// Waits until the database has every charge and record so far. Whoever reads money or records asks for it first.
    pub(crate) async fn level(&self) -> Result<(), Error> {
        match &self.0.journal {
            Some(journal) => journal.backlog.level(journal.shared.has_deferred()).await,
            None => Ok(()),
        }
    }

    /// A read-only connection that sees every charge and record so far.
    pub(crate) async fn level_reader(&self) -> Result<Reader, Error> {
        self.level().await?;
        self.reader().await
    }

    /// A read-only transaction that sees every charge and record so far.
    pub(crate) async fn level_snapshot(&self) -> Result<Snapshot, Error> {
        self.level().await?;
        self.snapshot().await
    }

    /// A connection of the lane that renews; on SQLite, where nothing is renewed, a reader.
    pub(crate) async fn renewal(&self) -> Result<Reader, Error> {
        match &self.0.renewals {
            Some(pool) => Ok(Reader::Postgres(pool.acquire().await?)),
            None => self.reader().await,
        }
    }

    /// A read-only connection; of charges and records it may lack the last moment.
    pub(crate) async fn reader(&self) -> Result<Reader, Error> {
        Ok(match &self.0.readers {
            Readers::Sqlite(pool) => Reader::Sqlite(pool.acquire().await?),
            Readers::Postgres(pool) => Reader::Postgres(pool.acquire().await?),
        })
    }

    /// A read-only transaction that sees one point in time; a report may take longer than a decision. Of charges and
    /// records it may lack the last moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(match &self.0.readers {
            Readers::Sqlite(pool) => Snapshot::Sqlite(pool.begin().await?),
            Readers::Postgres(pool) => {
                let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                sqlx::query(engine::postgres::REPORT_PATIENCE).execute(&mut *tx).await?;
                Snapshot::Postgres(tx)
            }
        })
    }
}

/// One read-only connection.
pub(crate) enum Reader {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Linked for Reader {
    fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(connection) => Link::Sqlite(connection),
            Self::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// One read-only transaction; dropping it ends it.
pub(crate) enum Snapshot {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Linked for Snapshot {
    fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(tx) => Link::Sqlite(tx),
            Self::Postgres(tx) => Link::Postgres(tx),
        }
    }
}
