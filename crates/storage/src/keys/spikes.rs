//! Keys that spend far more than they did: found in the sums of quarters of an hour, told to their owners and recorded,
//! each once a day.
//!
//! The last hour is the quarter that runs and the three before it, so it is never more than an hour; the sums follow the
//! records by a moment. What is far more is judged by the domain.

use super::{find_anywhere, leaks::tell};
use crate::audit::{AuditEvent, append};
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::rollups::SLOT_MICROS;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Actor, Attribution, Chain, FieldChange};
use claviger_domain::id::KeyId;
use claviger_domain::key::Spending;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::notice::NoticeKind;
use claviger_domain::time::Timestamp;
use std::time::Duration;

statements! {
    /// By organization, because the sums of a time are found by it.
    LIST_SPENDERS = "SELECT d.org_id, d.key_id, CAST(SUM(u.charge) AS BIGINT) AS lately FROM organization o \
        JOIN usage_15m u ON u.org_id = o.id AND u.slot >= $1 JOIN usage_dimension d ON d.id = u.dimension \
        GROUP BY d.org_id, d.key_id HAVING SUM(u.charge) > $2 ORDER BY d.key_id LIMIT CAST($3 AS BIGINT)";
    SPENT_BETWEEN = "SELECT CAST(COALESCE(SUM(u.charge), 0) AS BIGINT) AS spent FROM usage_dimension d \
        JOIN usage_15m u ON u.dimension = d.id AND u.slot >= $3 AND u.slot < $4 WHERE d.org_id = $1 AND d.key_id = $2";
    /// Marks of ends and of this are forgotten together, when they are a day old.
    MARK = "INSERT INTO end_notice (object, ends_at, stage) VALUES ($1, $2, CAST(0 AS BIGINT)) ON CONFLICT DO NOTHING";
}

const DAY_MICROS: i64 = 86_400_000_000;
/// Quarters before the one that runs.
const QUARTERS: i64 = 3;

impl Store {
    /// Tells of keys whose last hour cost more than `least` and far more than their usual hour; how many. Safe to
    /// repeat, and on several nodes at once.
    ///
    /// # Errors
    /// The database's; what was not told is told next time.
    pub async fn tell_spend_spikes(&self, least: Nano, now: Timestamp) -> Result<u64, Error> {
        let slot = now.0.saturating_sub(now.0.checked_rem(SLOT_MICROS).unwrap_or(0));
        let since = Timestamp(slot.saturating_sub(QUARTERS.saturating_mul(SLOT_MICROS)));
        let mut told = 0_u64;
        for (key, lately) in self.spenders(least, since).await? {
            let is_told =
                self.act(async move |tx: &mut Tx<'_>| judge(tx, key, lately, since, least, now).await).await?;
            told = told.saturating_add(u64::from(is_told));
        }
        Ok(told)
    }

    async fn spenders(&self, least: Nano, since: Timestamp) -> Result<Vec<(KeyId, Nano)>, Error> {
        let mut reader = self.reader().await?;
        let most = i64::try_from(limits::INSERT_ROWS).unwrap_or(i64::MAX);
        both!(&mut reader, c => {
            let rows = sqlx::query(LIST_SPENDERS).bind(since.0).bind(least.0).bind(most).fetch_all(c).await?;
            rows.iter().map(|row| Ok((row.parsed("key_id")?, Nano(row.int("lately")?)))).collect()
        })
    }
}

/// Whether it was a spike that nobody was told of today.
async fn judge(
    tx: &mut Tx<'_>,
    id: KeyId,
    lately: Nano,
    since: Timestamp,
    least: Nano,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(key) = find_anywhere(tx, id).await? else { return Ok(false) };
    let (organization, text) = (key.organization.to_string(), id.to_string());
    let earliest = since.minus(limits::SPIKE_MEAN);
    let before = both!(tx, c => {
        let query = sqlx::query(SPENT_BETWEEN).bind(&organization).bind(&text).bind(earliest.0.max(0)).bind(since.0);
        Nano(query.fetch_one(c).await?.int("spent")?)
    });
    let age = Duration::from_micros(u64::try_from(since.0.saturating_sub(key.created_at.0)).unwrap_or(0));
    let spending = Spending { lately, before, age };
    if !spending.is_spike(least) {
        return Ok(false);
    }
    let today = now.0.saturating_sub(now.0.checked_rem(DAY_MICROS).unwrap_or(0));
    let object = format!("spend:{text}");
    let marked = both!(tx, c => sqlx::query(MARK).bind(&object).bind(today).execute(c).await?.rows_affected());
    if marked == 0 {
        return Ok(false);
    }
    let by = Attribution::local(Actor::System, "", now);
    let (lately, mean) = (lately.to_string(), spending.mean().to_string());
    let change = FieldChange { field: "amount".to_owned(), from: Some(mean.clone()), to: Some(lately.clone()) };
    let event = AuditEvent::done(Action::KeySpendSpike, text, vec![change]);
    append(tx, Chain::Organization(key.organization), &by, &event).await?;
    let detail = serde_json::json!({ "name": key.name, "last_hour": lately, "usual_hour": mean });
    tell(tx, NoticeKind::SpendSpike, &key, detail, &by).await?;
    Ok(true)
}
