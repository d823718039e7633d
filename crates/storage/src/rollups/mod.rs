//! Usage as sums of quarters of an hour, made behind the path of charges from records that are there (`money.md` §10).
//!
//! A batch reads the records of one seat behind that seat's cursor, in the order in which they arrived, adds them up, and
//! writes sums and cursor in one transaction, which refuses to move a cursor that somebody else has moved meanwhile. So at
//! every commit the sums are those of exactly the records up to the cursors, whoever runs, how often, or dies. Readers add
//! what lies beyond the cursors, in the same snapshot. Nothing of this is written with a charge.

mod spend;
mod sums;
mod write;

pub use spend::KeySpend;

use crate::audit::record_for_instance;
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::record::read;
use crate::record_body;
use crate::requests::find_text;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use sqlx::AssertSqlSafe;
use sums::Sums;

/// The width of a sum, in microseconds: the days of all time zones are made of quarters of an hour.
pub(crate) const SLOT_MICROS: i64 = 900_000_000;

/// Records that are read at once: about half a millisecond of a core that others want.
const PAGE: u32 = 512;

/// The slot of everything; migration 22 and the statements say it too.
const EVER: i64 = -1;

statements! {
    /// Those of this seat, of no seat, and of seats that have no node to do it.
    LIST_CURSORS = "SELECT c.seat, c.place FROM usage_cursor c WHERE c.seat = $1 OR c.seat = '' \
        OR NOT EXISTS (SELECT 1 FROM node n WHERE n.seat = c.seat) ORDER BY c.seat";
    LIST_ARRIVED = "SELECT place, body FROM arrived WHERE seat = $1 AND place > $2 ORDER BY place \
        LIMIT CAST($3 AS BIGINT)";
    FIND_PLACE = "SELECT org_id, id FROM arrived WHERE seat = $1 AND place = $2";
    ADVANCE = "UPDATE usage_cursor SET place = $3 WHERE seat = $1 AND place = $2";
    OPEN = "INSERT INTO usage_cursor (seat, place) VALUES ($1, 0) ON CONFLICT DO NOTHING";
    LOCK = "UPDATE usage_cursor SET place = place WHERE seat = ''";
    REWIND = "UPDATE usage_cursor SET place = 0";
    DROP_METERS = "DELETE FROM usage_15m_meter";
    DROP_SUMS = "DELETE FROM usage_15m";
    DROP_DIMENSIONS = "DELETE FROM usage_dimension";
}

/// What a batch of records is at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollUpLimits {
    /// Records that are read.
    pub records: u32,
    /// Sums by quarter and dimension that they may make.
    pub sums: usize,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolledUp {
    /// Records that are in the sums since.
    pub records: u64,
    /// Whether a batch was full, so that more may wait.
    pub has_more: bool,
}

/// Every text of these files, for the test that prepares them.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    let fixed = STATEMENTS.iter().chain(spend::STATEMENTS).map(|(name, sql)| (*name, (*sql).to_owned()));
    fixed.chain(write::built()).collect()
}

struct Cursor {
    seat: String,
    place: i64,
}

impl Store {
    /// Brings a batch of records of each seat that is this node's to do into the sums. Safe to repeat, at any time, on
    /// several nodes at once.
    ///
    /// # Errors
    /// The database's; what was done stands.
    pub async fn roll_up_usage(&self, limits: RollUpLimits) -> Result<RolledUp, Error> {
        let seat = self.seat().to_string();
        let mut reader = self.reader().await?;
        let cursors: Vec<Cursor> = both!(&mut reader, c => {
            let mut cursors = Vec::new();
            for row in sqlx::query(LIST_CURSORS).bind(&seat).fetch_all(c).await? {
                cursors.push(Cursor { seat: row.text("seat")?, place: row.int("place")? });
            }
            cursors
        });
        drop(reader);
        let mut done = RolledUp::default();
        for cursor in cursors {
            let batch = self.roll_up(cursor, limits).await?;
            done.records = done.records.saturating_add(batch.records);
            done.has_more |= batch.has_more;
        }
        Ok(done)
    }

    async fn roll_up(&self, from: Cursor, limits: RollUpLimits) -> Result<RolledUp, Error> {
        let (sums, has_more) = self.add_up(&from, limits).await?;
        let Some(to) = sums.place else { return Ok(RolledUp::default()) };
        let rolled = RolledUp { records: sums.records, has_more };
        let rows = write::Rows::of(&sums, &from.seat);
        self.act(async move |tx: &mut Tx<'_>| {
            let moved = both!(tx, c => {
                sqlx::query(ADVANCE).bind(&from.seat).bind(from.place).bind(to).execute(c).await?.rows_affected()
            });
            // Somebody else has counted them meanwhile, or all is being counted again.
            if moved == 0 {
                return Ok(RolledUp { records: 0, has_more: true });
            }
            rows.add(tx).await?;
            Ok(rolled)
        })
        .await
    }

    /// The sums of a batch, read page by page, and whether more waits: a row of sums is dear, so a batch should have many
    /// records of each, and need not hold them all for it.
    async fn add_up(&self, from: &Cursor, limits: RollUpLimits) -> Result<(Sums, bool), Error> {
        let mut sums = Sums::default();
        let mut left = limits.records;
        while left > 0 {
            let page = left.min(PAGE);
            let arrived = self.arrived(&from.seat, sums.place.unwrap_or(from.place), page).await?;
            let is_full = arrived.len() >= usize::try_from(page).unwrap_or(usize::MAX);
            if !sums.add(&arrived, limits.sums)? {
                return Ok((sums, true));
            }
            if !is_full {
                return Ok((sums, false));
            }
            left = left.saturating_sub(page);
        }
        Ok((sums, true))
    }

    /// Places and bodies of the records of a seat behind a place.
    async fn arrived(&self, seat: &str, behind: i64, most: u32) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        let mut reader = self.reader().await?;
        let mut arrived = both!(&mut reader, c => {
            let query = sqlx::query(LIST_ARRIVED).bind(seat).bind(behind).bind(i64::from(most));
            let mut arrived = Vec::new();
            for row in query.fetch_all(c).await? {
                arrived.push((row.int("place")?, row.bytes_or_none("body")?));
            }
            arrived
        });
        for (place, body) in arrived.iter_mut().filter(|(_, body)| body.is_none()) {
            // A record of before bodies: the same content in another form.
            let (organization, id) = both!(&mut reader, c => {
                let row = sqlx::query(FIND_PLACE).bind(seat).bind(*place).fetch_one(c).await?;
                (row.text("org_id")?, row.text("id")?)
            });
            let record = both!(&mut reader, c => {
                read(&sqlx::query(AssertSqlSafe(find_text())).bind(&organization).bind(&id).fetch_one(c).await?)?
            });
            record_body::put(body.insert(Vec::new()), &record);
        }
        Ok(arrived.into_iter().map(|(place, body)| (place, body.unwrap_or_default())).collect())
    }

    /// Forgets all sums: the job makes them again from the records. Until it has come to their end, reports read more
    /// records; what they say is as exact as before.
    ///
    /// # Errors
    /// The database's: nothing has changed, unless the fate is unknown; a repeat is safe.
    pub async fn rebuild_usage(&self, by: &Attribution) -> Result<(), Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            // The cursors first: whoever adds to the sums holds one of them.
            for sql in [REWIND, DROP_METERS, DROP_SUMS, DROP_DIMENSIONS] {
                both!(tx, c => { sqlx::query(sql).execute(c).await?; });
            }
            record_for_instance(tx, &by, Action::UsageRebuilt, "usage", &[]).await?;
            Ok(())
        })
        .await
    }
}

/// Gives a seat its cursor, before it writes its first record.
pub(crate) async fn open_cursor(tx: &mut Tx<'_>, seat: &str) -> Result<(), Error> {
    both!(tx, c => { sqlx::query(OPEN).bind(seat).execute(c).await?; });
    Ok(())
}

/// Lets nobody else write records of the seat without a name until this transaction ends: they become visible in the
/// order of their places.
pub(crate) async fn lock_nameless_seat(tx: &mut Tx<'_>) -> Result<(), Error> {
    both!(tx, c => { sqlx::query(LOCK).execute(c).await?; });
    Ok(())
}
