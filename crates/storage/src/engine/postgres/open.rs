//! Opening Postgres: version, the advisory lock that keeps other nodes out, migrations, the pools.
//!
//! The session that writes charges holds the lock. Whoever has lost it has lost the right to charge until it holds it
//! again; and since a session's lock goes only after its last transaction, holding it again also means that whatever the
//! old session was committing is now decided.

use crate::cells::Cells as _;
use crate::door::Link;
use crate::error::{Error, OpenError};
use crate::migrate::{self, Bare};
use crate::store::{Engine, Readers};
use claviger_domain::limits;
use claviger_domain::time::Now;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection, PgPool};
use std::time::Duration;

/// Postgres 15: the oldest release that is tested.
const VERSION_MIN: i64 = 150_000;

/// "claviger" in ASCII: one node a database, for now.
const LOCK: i64 = 0x636c_6176_6967_6572;

/// How long a node waits for the session of its predecessor to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A new connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Connections for acts; the rest of the pool reads, one writes charges.
pub(crate) const ACT_CONNECTIONS: u32 = 6;

/// Reports may take this long; decisions have the session's two seconds.
pub(crate) const REPORT_PATIENCE: &str = "SET LOCAL statement_timeout = '30s'";

/// Everything the writer needs.
pub(crate) struct Open {
    /// Writes charges and holds the lock.
    pub(crate) connection: PgConnection,
    pub(crate) options: PgConnectOptions,
    pub(crate) acts: PgPool,
}

pub(crate) async fn open(url: &str, now: Now) -> Result<(Open, Readers), OpenError> {
    let options: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| OpenError::InvalidUrl(error.to_string()))?;
    let options = options
        .application_name("claviger")
        .options([
            ("statement_timeout", "2s"),
            ("lock_timeout", "1s"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "10"),
        ])
        .statement_cache_capacity(256)
        .disable_statement_logging();
    let mut connection = connect(&options).await?;
    check_version(&mut connection).await?;
    if !lock(&mut connection).await? {
        return Err(OpenError::DatabaseInUse);
    }
    sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
    let plan = migrate::plan(&mut Bare(Link::Postgres(&mut connection))).await?;
    migrate::apply(&mut Bare(Link::Postgres(&mut connection)), Engine::Postgres, &plan, now).await?;
    sqlx::query("SET statement_timeout = '5s'").execute(&mut connection).await?;
    let acts = pool(&options, ACT_CONNECTIONS).await?;
    // A write on the wrong pool fails in the first test.
    let reading = options.clone().options([("default_transaction_read_only", "on")]);
    let readers = pool(&reading, limits::POSTGRES_POOL.saturating_sub(ACT_CONNECTIONS).saturating_sub(1)).await?;
    Ok((Open { connection, options, acts }, Readers::Postgres(readers)))
}

async fn pool(options: &PgConnectOptions, size: u32) -> Result<PgPool, OpenError> {
    let pool = PgPoolOptions::new().max_connections(size).acquire_timeout(CONNECT);
    Ok(pool.connect_with(options.clone()).await?)
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    match tokio::time::timeout(CONNECT, options.connect()).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Error::unavailable("the database server does not answer")),
    }
}

async fn check_version(connection: &mut PgConnection) -> Result<(), OpenError> {
    let sql = "SELECT CAST(current_setting('server_version_num') AS BIGINT) AS number, \
               current_setting('server_version') AS version";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    if row.int("number")? >= VERSION_MIN { Ok(()) } else { Err(OpenError::PostgresTooOld(row.text("version")?)) }
}

/// Takes the lock, waiting a little for the session of a predecessor that was killed.
async fn lock(connection: &mut PgConnection) -> Result<bool, Error> {
    let tries = LOCK_PATIENCE.as_millis().checked_div(LOCK_PAUSE.as_millis()).unwrap_or(1);
    for _ in 0..tries {
        let row =
            sqlx::query("SELECT pg_try_advisory_lock($1) AS taken").bind(LOCK).fetch_one(&mut *connection).await?;
        if row.flag("taken")? {
            return Ok(true);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(false)
}

impl Open {
    /// Replaces the connection of the writer and takes the lock again.
    pub(crate) async fn reopen(&mut self) -> Result<(), Error> {
        let mut fresh = connect(&self.options).await?;
        if !lock(&mut fresh).await? {
            return Err(Error::unavailable("another node took the database meanwhile"));
        }
        sqlx::query("SET statement_timeout = '5s'").execute(&mut fresh).await?;
        self.connection = fresh;
        Ok(())
    }
}
