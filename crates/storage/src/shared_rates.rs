//! Rates that several nodes count together (`keys.md` §5): one row a limiter, one clock.
//!
//! What an ask is answered is decided by `domain::rate_share`; here its word is locked, read and kept. On Postgres the
//! clock is the database's, so nodes need not agree about the time.

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::gcra::{Full, Level, Rate};
use claviger_domain::rate_share::{ShareAsk, share};
use claviger_domain::time::{Monotonic, Timestamp};

statements! {
    OPEN = "INSERT INTO shared_rate (limiter, at, level, a_minute, burst) \
        VALUES ($1, $2, CAST(-1 AS BIGINT), $3, $4) ON CONFLICT DO NOTHING";
    LOCK = "UPDATE shared_rate SET at = $2 WHERE limiter = $1 RETURNING at, level, a_minute, burst";
    KEEP = "UPDATE shared_rate SET level = $2, a_minute = $3, burst = $4 WHERE limiter = $1";
    PRUNE = "DELETE FROM shared_rate WHERE at < $1";
}

/// A limiter that nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLimiter {
    /// Its name, the same on every node.
    pub name: String,
    /// The rate as this node knows it; a row counted under another is converted.
    pub rate: Rate,
    /// Whether nothing can have been let through before its first row: else it begins with nothing left.
    pub is_new: bool,
}

impl Store {
    /// Asks for units of a rate that several nodes count together; how many may be let through now.
    ///
    /// # Errors
    /// Those of writing. `OutcomeUnknown`: units may be lost, never given twice.
    pub async fn share_rate(
        &self,
        limiter: SharedLimiter,
        ask: ShareAsk,
        at: Timestamp,
    ) -> Result<Result<u64, Full>, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let found = match lock(tx, &limiter.name, at).await? {
                Some(found) => found,
                None => {
                    open(tx, &limiter, at).await?;
                    lock(tx, &limiter.name, at).await?.ok_or_else(|| Error::unavailable("no row of a shared rate"))?
                }
            };
            let Found { now, level, rate: former } = found;
            let level = match level {
                None if limiter.is_new => Level::default(),
                None => limiter.rate.exhausted(now),
                Some(level) if former == limiter.rate => level,
                Some(level) => limiter.rate.converted(&former, level, now),
            };
            let (level, outcome) = share(&limiter.rate, level, ask, now);
            let level = i64::try_from(level.0).unwrap_or(i64::MAX);
            let (a_minute, burst) = (i64::from(limiter.rate.limit()), i64::from(limiter.rate.burst()));
            both!(tx, c => {
                sqlx::query(KEEP).bind(&limiter.name).bind(level).bind(a_minute).bind(burst).execute(c).await?;
            });
            Ok(outcome)
        })
        .await
    }

    /// Forgets rates that nobody has asked for since `before`; how many.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn prune_shared_rates(&self, before: Timestamp) -> Result<u64, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => Ok(sqlx::query(PRUNE).bind(before.0).execute(c).await?.rows_affected()))
        })
        .await
    }
}

struct Found {
    now: Monotonic,
    /// `None`: nothing is known yet.
    level: Option<Level>,
    rate: Rate,
}

async fn open(tx: &mut Tx<'_>, limiter: &SharedLimiter, at: Timestamp) -> Result<(), Error> {
    let (a_minute, burst) = (i64::from(limiter.rate.limit()), i64::from(limiter.rate.burst()));
    both!(tx, c => {
        sqlx::query(OPEN).bind(&limiter.name).bind(at.0).bind(a_minute).bind(burst).execute(c).await?;
    });
    Ok(())
}

/// The row, which no other transaction reads until this one ends, and the time by its clock.
async fn lock(tx: &mut Tx<'_>, name: &str, at: Timestamp) -> Result<Option<Found>, Error> {
    both!(tx, c => {
        let row = sqlx::query(LOCK).bind(name).bind(at.0).fetch_optional(c).await?;
        row.map(|row| {
            let count = |name| Ok::<_, Error>(u32::try_from(row.int(name)?).unwrap_or(u32::MAX));
            let micros = u64::try_from(row.int("at")?).unwrap_or(0);
            Ok(Found {
                now: Monotonic(micros.saturating_mul(1_000)),
                level: u64::try_from(row.int("level")?).ok().map(Level),
                rate: Rate::per_minute(count("a_minute")?, Some(count("burst")?)),
            })
        })
        .transpose()
    })
}
