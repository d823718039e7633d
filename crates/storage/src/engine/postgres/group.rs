//! A group of charges as one statement over arrays: one round trip, one commit.
//!
//! The parts of one statement see the same snapshot, but no part reads what another wrote. A charge is taken from this
//! seat's lease of the wallet; without one it has no account to come from and is refused. It commits by itself, so an answered error means that nothing was written.

use crate::engine::Batch;
use crate::error::Error;
use crate::leases::account_of;
use crate::record::{cell_of, filter_columns, meter_columns};
use claviger_domain::id::SeatId;
use claviger_domain::meter::Meter;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The place of a record's first column among the parameters.
const FIRST_COLUMN: usize = 22;

/// The one text of every group.
static TEXT: LazyLock<String> = LazyLock::new(text);

/// Which of these records exist, and with what charge.
pub(crate) const FIND_CHARGED: &str = "SELECT r.id, r.charge FROM UNNEST($1::TEXT[], $2::TEXT[]) AS d (org_id, id) \
    JOIN request r ON r.org_id = d.org_id AND r.id = d.id";

/// Writes a batch in one statement.
///
/// # Errors
/// Answered by the server: nothing was written. Else its fate is unknown.
pub(crate) async fn write(connection: &mut PgConnection, seat: SeatId, batch: &Batch<'_>) -> Result<(), Error> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for record in batch.records.iter().filter(|record| record.charge > 0) {
        let sum = sums.entry(&record.organization).or_default();
        *sum = sum.checked_add(record.charge).ok_or(Error::Conflict("charges out of range"))?;
    }
    let absorbed = &batch.absorbed;
    let records = &batch.records;
    let news = batch.news;
    let mut query = sqlx::query(AssertSqlSafe(TEXT.as_str()))
        .bind(sums.keys().copied().collect::<Vec<_>>())
        .bind(sums.values().copied().collect::<Vec<_>>())
        .bind(seat.to_string())
        .bind(account_of(seat))
        .bind(absorbed.iter().map(|row| &*row.reference).collect::<Vec<_>>())
        .bind(absorbed.iter().map(|row| &*row.id).collect::<Vec<_>>())
        .bind(absorbed.iter().map(|row| &*row.organization).collect::<Vec<_>>())
        .bind(absorbed.iter().map(|row| row.amount).collect::<Vec<_>>())
        .bind(absorbed.iter().map(|row| row.price_version.as_deref()).collect::<Vec<_>>())
        .bind(absorbed.iter().map(|row| row.at).collect::<Vec<_>>())
        .bind(absorbed.iter().map(|row| &*row.detail).collect::<Vec<_>>())
        .bind(batch.closed.iter().map(|id| &***id).collect::<Vec<_>>())
        .bind(news.intents.iter().map(|intent| intent.request.to_string()).collect::<Vec<_>>())
        .bind(news.intents.iter().map(|intent| intent.organization.to_string()).collect::<Vec<_>>())
        .bind(news.intents.iter().map(|intent| intent.key.to_string()).collect::<Vec<_>>())
        .bind(news.intents.iter().map(|intent| intent.model.clone()).collect::<Vec<_>>())
        .bind(news.intents.iter().map(|intent| intent.hold.0).collect::<Vec<_>>())
        .bind(news.intents.iter().map(|intent| intent.at.0).collect::<Vec<_>>())
        .bind(news.undelivered.iter().map(|place| place.organization.to_string()).collect::<Vec<_>>())
        .bind(news.undelivered.iter().map(|place| place.request.to_string()).collect::<Vec<_>>())
        .bind(news.pending.as_deref())
        .bind(records.iter().map(|row| &*row.organization).collect::<Vec<_>>())
        .bind(records.iter().map(|row| &*row.id).collect::<Vec<_>>())
        .bind(records.iter().map(|row| &*row.environment).collect::<Vec<_>>())
        .bind(records.iter().map(|row| &*row.key).collect::<Vec<_>>())
        .bind(records.iter().map(|row| row.source_tag.as_deref()).collect::<Vec<_>>())
        .bind(records.iter().map(|row| &*row.model).collect::<Vec<_>>())
        .bind(records.iter().map(|row| row.completed_at).collect::<Vec<_>>())
        .bind(records.iter().map(|row| &*row.outcome).collect::<Vec<_>>())
        .bind(records.iter().map(|row| row.charge).collect::<Vec<_>>())
        .bind(records.iter().map(|row| &*row.delivery).collect::<Vec<_>>());
    for meter in Meter::ALL {
        query = query.bind(records.iter().map(|row| cell_of(&row.meters, *meter)).collect::<Vec<_>>());
    }
    query.bind(records.iter().map(|row| row.body.as_slice()).collect::<Vec<_>>()).execute(connection).await?;
    Ok(())
}

fn text() -> String {
    let columns: Vec<&str> = filter_columns().chain(["body"]).collect();
    let types: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let kind = match *column {
                "completed_at" | "charge" => "BIGINT",
                "body" => "BYTEA",
                column if meter_columns().contains(&column) => "BIGINT",
                _ => "TEXT",
            };
            format!("${}::{kind}[]", index.saturating_add(FIRST_COLUMN))
        })
        .collect();
    let columns = columns.join(", ");
    let values = columns.replace(", ", ", d.");
    format!(
        "WITH settled AS (\
             UPDATE credit_lease SET settled = settled + d.amount \
             FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS d (org_id, amount) \
             WHERE credit_lease.org_id = d.org_id AND credit_lease.seat = $3::TEXT RETURNING credit_lease.org_id\
         ), absorbed AS (\
             INSERT INTO transfer (kind, ref, id, org_id, debit, credit, amount, price_version, at, detail) \
             SELECT 'absorb', d.ref, d.id, d.org_id, 'absorbed', 'revenue', d.amount, d.price_version, d.at, d.detail \
             FROM UNNEST($5::TEXT[], $6::TEXT[], $7::TEXT[], $8::BIGINT[], $9::TEXT[], $10::BIGINT[], $11::TEXT[]) \
             AS d (ref, id, org_id, amount, price_version, at, detail)\
         ), closed AS (\
             DELETE FROM intent WHERE request_id = ANY($12::TEXT[])\
         ), opened AS (\
             INSERT INTO intent (request_id, org_id, key_id, model, hold, at, seat) \
             SELECT d.*, $3::TEXT FROM \
             UNNEST($13::TEXT[], $14::TEXT[], $15::TEXT[], $16::TEXT[], $17::BIGINT[], $18::BIGINT[]) AS d \
             ON CONFLICT DO NOTHING\
         ), undelivered AS (\
             UPDATE request SET delivery = 'not_delivered' FROM UNNEST($19::TEXT[], $20::TEXT[]) AS d (org_id, id) \
             WHERE request.org_id = d.org_id AND request.id = d.id\
         ), marked AS (\
             INSERT INTO seat_delivery (seat, pending) SELECT $3::TEXT, $21::TEXT WHERE $21::TEXT IS NOT NULL \
             ON CONFLICT (seat) DO UPDATE SET pending = EXCLUDED.pending\
         ) INSERT INTO request ({columns}, detail, seat, account) \
         SELECT d.{values}, '', $3::TEXT, CASE WHEN d.charge > 0 AND settled.org_id IS NOT NULL THEN $4::TEXT END \
         FROM UNNEST({}) AS d ({columns}) LEFT JOIN settled ON settled.org_id = d.org_id",
        types.join(", ")
    )
}

/// The texts of this engine, for the test that prepares them.
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    vec![("charge group", TEXT.clone()), ("charged", FIND_CHARGED.to_owned())]
}
