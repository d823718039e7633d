//! What each key was charged, kept as sums: a key that asks what it spent is not made to wait for its million records.
//!
//! A sum is of one key and one quarter of an hour, which is what the days of all time zones are made of, and it moves in
//! the transaction of the records it is of. So it follows from the records at every commit: [`Store::rebuild_key_spend`]
//! makes it again from them, and `ledger verify` compares. Each seat has rows of its own, so that nodes charging one key
//! do not wait for each other. Quarters that no report asks for any more become one row, the quarter 0.

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::record::RecordRow;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::KeyId;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The width of a sum. Migration 21 and the statements below say it too.
const SLOT_MICROS: i64 = 900_000_000;

/// What one key was charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeySpend {
    /// As far back as records go.
    pub total: Nano,
    /// Since each of the instants that were asked about.
    pub since: [Nano; 3],
}

statements! {
    SPEND = "SELECT CAST(COALESCE(SUM(spent), 0) AS BIGINT) AS total, \
        CAST(COALESCE(SUM(CASE WHEN slot >= $3 THEN spent ELSE 0 END), 0) AS BIGINT) AS since_0, \
        CAST(COALESCE(SUM(CASE WHEN slot >= $4 THEN spent ELSE 0 END), 0) AS BIGINT) AS since_1, \
        CAST(COALESCE(SUM(CASE WHEN slot >= $5 THEN spent ELSE 0 END), 0) AS BIGINT) AS since_2 \
        FROM key_spend WHERE key_id = $1 AND org_id = $2";
    /// Who deletes a row has it: of two nodes that add up at once, each has others.
    TAKE_OLD = "DELETE FROM key_spend WHERE (key_id, slot, seat) IN (SELECT o.key_id, o.slot, o.seat FROM key_spend o \
        WHERE o.slot > 0 AND o.slot < $1 ORDER BY o.slot, o.key_id, o.seat LIMIT CAST($2 AS BIGINT)) \
        RETURNING key_id, org_id, spent";
    ADD_OLD = "INSERT INTO key_spend (key_id, slot, seat, org_id, spent) VALUES ($1, 0, '', $2, $3) \
        ON CONFLICT (key_id, slot, seat) DO UPDATE SET spent = key_spend.spent + excluded.spent";
    DROP_ALL = "DELETE FROM key_spend";
    SUM_RECORDS = "INSERT INTO key_spend (key_id, slot, seat, org_id, spent) \
        SELECT key_id, completed_at - completed_at % 900000000, '', org_id, CAST(SUM(charge) AS BIGINT) FROM request \
        WHERE charge > 0 GROUP BY key_id, completed_at - completed_at % 900000000, org_id";
}

impl Store {
    /// What a key was charged: in all, and since each of three instants, which are beginnings of days somewhere.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn key_spend(&self, scope: TenantScope, key: KeyId, since: [Timestamp; 3]) -> Result<KeySpend, Error> {
        let (organization, key) = (scope.0.to_string(), key.to_string());
        let [first, second, third] = since;
        let mut reader = self.level_reader().await?;
        both!(&mut reader, c => {
            let query = sqlx::query(SPEND).bind(&key).bind(&organization).bind(first.0).bind(second.0).bind(third.0);
            let row = query.fetch_one(c).await?;
            let since = [row.int("since_0")?, row.int("since_1")?, row.int("since_2")?];
            Ok(KeySpend { total: Nano(row.int("total")?), since: since.map(Nano) })
        })
    }

    /// Adds one batch of old quarters up; whether there may be more. Safe to repeat, and on several nodes.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_up_key_spend(&self, now: Timestamp) -> Result<bool, Error> {
        let before = now.minus(limits::SPEND_SLOTS_KEPT);
        let most = limits::SPEND_SLOTS_ADDED;
        self.act(async move |tx: &mut Tx<'_>| {
            let taken = both!(tx, c => {
                let mut taken = Vec::new();
                for row in sqlx::query(TAKE_OLD).bind(before.0).bind(i64::from(most)).fetch_all(c).await? {
                    taken.push((row.text("key_id")?, row.text("org_id")?, row.int("spent")?));
                }
                taken
            });
            let is_full = taken.len() >= usize::try_from(most).unwrap_or(usize::MAX);
            let mut sums: BTreeMap<String, (String, i64)> = BTreeMap::new();
            for (key, organization, spent) in taken {
                let (_, sum) = sums.entry(key).or_insert((organization, 0));
                *sum = sum.checked_add(spent).ok_or(Error::Conflict("charges out of range"))?;
            }
            for (key, (organization, spent)) in sums {
                both!(tx, c => { sqlx::query(ADD_OLD).bind(&key).bind(&organization).bind(spent).execute(c).await?; });
            }
            Ok(is_full)
        })
        .await
    }

    /// Makes all sums again from the records. No other node may write meanwhile.
    ///
    /// # Errors
    /// The database's.
    pub async fn rebuild_key_spend(&self) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => { sqlx::query(DROP_ALL).execute(c).await?; });
            both!(tx, c => { sqlx::query(SUM_RECORDS).execute(c).await?; });
            Ok(())
        })
        .await
    }
}

/// What a group of records adds to one sum.
pub(crate) struct Spend {
    pub(crate) key: Arc<str>,
    pub(crate) slot: i64,
    pub(crate) organization: Arc<str>,
    pub(crate) amount: i64,
}

impl Spend {
    /// The sums that a group of records adds to, in the order in which every writer locks their rows.
    pub(crate) fn of(records: &[&RecordRow]) -> Result<Vec<Self>, Error> {
        let mut sums: BTreeMap<(&str, i64), Self> = BTreeMap::new();
        for record in records.iter().filter(|record| record.charge > 0) {
            let slot = record.completed_at.saturating_sub(record.completed_at.checked_rem(SLOT_MICROS).unwrap_or(0));
            let sum = sums.entry((&record.key, slot)).or_insert_with(|| Self {
                key: Arc::clone(&record.key),
                slot,
                organization: Arc::clone(&record.organization),
                amount: 0,
            });
            sum.amount = sum.amount.checked_add(record.charge).ok_or(Error::Conflict("charges out of range"))?;
        }
        Ok(sums.into_values().collect())
    }
}
