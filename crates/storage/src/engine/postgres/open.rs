//! Opening Postgres: version, the advisory lock of this seat, migrations, the pools.
//!
//! The session that writes a seat's charges holds the seat's lock, so that no second start on the same data directory
//! writes beside it; other seats have other locks. Whoever has lost it has lost the right to charge until it holds it
//! again; and since a session's lock goes only after its last transaction, holding it again also means that whatever the
//! old session was committing is now decided. A new session first ends the former ones of this process: one that fell
//! silent may live on at the server for long, and its lock must not look like another node's.

use crate::cells::Cells as _;
use crate::door::Link;
use crate::engine::postgres::patience::{ANSWER, PING, answer, silent};
use crate::error::{Error, OpenError};
use crate::migrate::{self, Bare};
use crate::store::{Engine, Readers};
use claviger_domain::id::SeatId;
use claviger_domain::limits;
use claviger_domain::time::Now;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use std::time::Duration;

/// Postgres 15: the oldest release that is tested.
const VERSION_MIN: i64 = 150_000;

/// "claviger" in ASCII: one start brings the schema level, the others wait.
const MIGRATION_LOCK: i64 = 0x636c_6176_6967_6572;

/// How long a start waits for another that brings the schema level.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(60);

/// How long a node waits for the session of its predecessor to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A new connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Connections for acts; the rest of the pool reads, one writes charges. Few, since all acts end in the one epoch row:
/// more would only wait for each other inside the lock's time limit.
pub(crate) const ACT_CONNECTIONS: u32 = 3;

/// Connections for polls and for looking at the other nodes' polls.
const RENEWAL_CONNECTIONS: u32 = 2;

/// Reports may take this long, and compute while the server has nothing more to send: they only read, so nobody waits for
/// what they hold. Decisions have the session's two seconds and its one.
pub(crate) const REPORT_PATIENCE: &str = "SELECT set_config('statement_timeout', '30s', true), \
    set_config('idle_in_transaction_session_timeout', '30s', true)";

/// Former sessions that are still ended; older ones have long ended.
const FORMER: usize = 8;

/// A session of the server, told apart from a later one with the same process id.
const SESSION: &str = "SELECT pid || ' ' || CAST(backend_start AS TEXT) AS session FROM pg_stat_activity \
    WHERE pid = pg_backend_pid()";
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE pid || ' ' || CAST(backend_start AS TEXT) = ANY($1::TEXT[])";

/// Everything the writer needs.
pub(crate) struct Open {
    /// Writes charges and holds the lock; `None` = lost, to be opened again.
    connection: Option<PgConnection>,
    /// Whose charges it writes.
    seat: SeatId,
    options: PgConnectOptions,
    /// The sessions of this process that may have held the lock, the last one last.
    sessions: Vec<String>,
    pub(crate) acts: PgPool,
}

/// What came of opening the writer's session again.
pub(crate) enum Reopened {
    /// It holds the lock.
    Held,
    /// Another node holds the lock.
    Taken,
}

pub(crate) async fn open(url: &str, seat: SeatId, now: Now) -> Result<(Open, Readers, PgPool), OpenError> {
    let options: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| OpenError::InvalidUrl(error.to_string()))?;
    let options = options
        .application_name("claviger")
        .options([
            ("statement_timeout", "2s"),
            ("lock_timeout", "1s"),
            ("idle_in_transaction_session_timeout", "1s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "10"),
        ])
        .statement_cache_capacity(256)
        .disable_statement_logging();
    let mut connection = connect(&options).await?;
    check_version(&mut connection).await?;
    let sessions = vec![session(&mut connection).await?];
    if !lock(&mut connection, lock_of(seat), LOCK_PATIENCE).await? {
        return Err(OpenError::DatabaseInUse);
    }
    sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
    if !lock(&mut connection, MIGRATION_LOCK, MIGRATION_PATIENCE).await? {
        return Err(Error::unavailable("another node brings the schema level, and does not end").into());
    }
    let plan = migrate::plan(&mut Bare(Link::Postgres(&mut connection))).await?;
    migrate::apply(&mut Bare(Link::Postgres(&mut connection)), Engine::Postgres, &plan, now).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(MIGRATION_LOCK).execute(&mut connection).await?;
    sqlx::query("SET statement_timeout = '5s'").execute(&mut connection).await?;
    let acts = pool(&options, ACT_CONNECTIONS).await?;
    // A write on the wrong pool fails in the first test.
    let reading = options.clone().options([("default_transaction_read_only", "on")]);
    // One writes charges, one listens.
    let rest = limits::POSTGRES_POOL.saturating_sub(ACT_CONNECTIONS).saturating_sub(RENEWAL_CONNECTIONS);
    let readers = pool(&reading, rest.saturating_sub(2)).await?;
    let renewals = pool(&options, RENEWAL_CONNECTIONS).await?;
    Ok((Open { connection: Some(connection), seat, options, sessions, acts }, Readers::Postgres(readers), renewals))
}

/// A session that fell silent costs whoever takes it a moment, and never a place: without these limits the pool would
/// wait for it as long as TCP does.
async fn pool(options: &PgConnectOptions, size: u32) -> Result<PgPool, OpenError> {
    let pool = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(CONNECT)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(is_alive(connection)))
        .after_release(|connection, _| Box::pin(is_alive(connection)));
    Ok(pool.connect_with(options.clone()).await?)
}

async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // An error, unlike `false`, closes without a last word to whoever does not listen.
    tokio::time::timeout(PING, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(true)
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    answer(CONNECT, options.connect()).await
}

async fn session(connection: &mut PgConnection) -> Result<String, Error> {
    answer(ANSWER, sqlx::query(SESSION).fetch_one(connection)).await?.text("session")
}

async fn check_version(connection: &mut PgConnection) -> Result<(), OpenError> {
    let sql = "SELECT CAST(current_setting('server_version_num') AS BIGINT) AS number, \
               current_setting('server_version') AS version";
    let row = answer(ANSWER, sqlx::query(sql).fetch_one(connection)).await?;
    if row.int("number")? >= VERSION_MIN { Ok(()) } else { Err(OpenError::PostgresTooOld(row.text("version")?)) }
}

/// A seat's lock: 64 bits of its id.
fn lock_of(seat: SeatId) -> i64 {
    let [.., a, b, c, d, e, f, g, h] = seat.to_u128().to_be_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Takes the lock of a seat until the transaction ends; `false` while a session of that seat has it.
pub(crate) const TAKE_SEAT: &str = "SELECT pg_try_advisory_xact_lock($1) AS taken";

/// Keeps the session of a seat out for as long as this transaction lasts.
///
/// # Errors
/// Those of the statement.
pub(crate) async fn take_seat(connection: &mut PgConnection, seat: SeatId) -> Result<bool, Error> {
    sqlx::query(TAKE_SEAT).bind(lock_of(seat)).fetch_one(connection).await?.flag("taken")
}

/// Takes a lock, waiting a little for the session of a predecessor that was killed.
async fn lock(connection: &mut PgConnection, key: i64, patience: Duration) -> Result<bool, Error> {
    let tries = patience.as_millis().checked_div(LOCK_PAUSE.as_millis()).unwrap_or(1);
    for _ in 0..tries {
        let query = sqlx::query("SELECT pg_try_advisory_lock($1) AS taken").bind(key);
        let row = answer(ANSWER, query.fetch_one(&mut *connection)).await?;
        if row.flag("taken")? {
            return Ok(true);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(false)
}

impl Open {
    /// The session that holds the lock.
    ///
    /// # Errors
    /// Unanswered: there is none now.
    pub(crate) fn session(&mut self) -> Result<&mut PgConnection, Error> {
        self.connection.as_mut().ok_or_else(silent)
    }

    /// Whose charges it writes.
    pub(crate) const fn seat(&self) -> SeatId {
        self.seat
    }

    /// How to reach the server, for a session beside.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    pub(crate) fn has_session(&self) -> bool {
        self.connection.is_some()
    }

    /// Lets go of a session that did not answer; it is not used again.
    pub(crate) fn drop_session(&mut self) {
        self.connection = None;
    }

    /// Shows that the session is there, and so its lock; else lets go of it.
    ///
    /// # Errors
    /// It did not answer.
    pub(crate) async fn prove(&mut self) -> Result<(), Error> {
        let connection = self.session()?;
        let proved = answer(PING, sqlx::query("SELECT 1").execute(connection)).await;
        if proved.is_err() {
            self.drop_session();
        }
        proved.map(drop)
    }

    /// Replaces the connection of the writer and takes the lock again.
    ///
    /// # Errors
    /// Unanswered, whatever the server said: nothing is known of what the former session did.
    pub(crate) async fn reopen(&mut self) -> Result<Reopened, Error> {
        self.drop_session();
        self.replace().await.map_err(|error| Error::unavailable(error.to_string()))
    }

    async fn replace(&mut self) -> Result<Reopened, Error> {
        let mut fresh = connect(&self.options).await?;
        answer(ANSWER, sqlx::query(END_SESSIONS).bind(self.sessions.as_slice()).execute(&mut fresh)).await?;
        let session = session(&mut fresh).await?;
        if self.sessions.len() >= FORMER {
            self.sessions.remove(0);
        }
        // Known before it asks for the lock: it may get it and fall silent.
        self.sessions.push(session);
        if !lock(&mut fresh, lock_of(self.seat), LOCK_PATIENCE).await? {
            return Ok(Reopened::Taken);
        }
        answer(ANSWER, sqlx::query("SET statement_timeout = '5s'").execute(&mut fresh)).await?;
        self.connection = Some(fresh);
        Ok(Reopened::Held)
    }

    /// Ends the session, and with it the lock.
    pub(crate) async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = tokio::time::timeout(PING, connection.close()).await;
        }
    }
}
