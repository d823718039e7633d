//! The proof that the sums of usage are those of the records up to the cursors, by key: how many, what they cost, what of
//! each meter.

use crate::cells::Cells as _;
use crate::door::both;
use crate::error::Error;
use crate::record::meter_columns;
use crate::statements::statements;
use crate::store::Snapshot;
use claviger_domain::meter::Meter;
use claviger_domain::money::Nano;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;
use std::fmt::Write as _;

statements! {
    LIST_SUMS = "SELECT d.key_id, CAST(CASE WHEN u.slot < 0 THEN 1 ELSE 0 END AS BIGINT) AS is_ever, \
        CAST(SUM(u.requests) AS BIGINT) AS requests, CAST(SUM(u.charge) AS BIGINT) AS charge \
        FROM usage_15m u LEFT JOIN usage_dimension d ON d.id = u.dimension \
        GROUP BY d.key_id, CASE WHEN u.slot < 0 THEN 1 ELSE 0 END";
    LIST_METERS = "SELECT d.key_id, u.meter, CAST(SUM(u.quantity) AS BIGINT) AS quantity \
        FROM usage_15m_meter u LEFT JOIN usage_dimension d ON d.id = u.dimension GROUP BY d.key_id, u.meter";
}

/// What a key has in one of the ways in which it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counted {
    requests: i64,
    charge: i64,
    meters: BTreeMap<String, i64>,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} requests for {}", self.requests, Nano(self.charge))?;
        self.meters.iter().try_for_each(|(meter, quantity)| write!(f, ", {quantity} {meter}"))
    }
}

/// The records of each key up to the cursors.
pub(super) fn list_records() -> String {
    let mut sql =
        String::from("SELECT r.key_id, CAST(COUNT(*) AS BIGINT) AS requests, CAST(SUM(r.charge) AS BIGINT) AS charge");
    for column in meter_columns() {
        let _ = write!(sql, ", CAST(SUM(r.{column}) AS BIGINT) AS {column}");
    }
    sql.push_str(" FROM usage_cursor c JOIN arrived r ON r.seat = c.seat AND r.place <= c.place GROUP BY r.key_id");
    sql
}

/// What does not agree, one text a key.
pub(super) async fn faults(snapshot: &mut Snapshot) -> Result<Vec<String>, Error> {
    let mut records: BTreeMap<String, Counted> = BTreeMap::new();
    both!(snapshot, c => {
        for row in sqlx::query(AssertSqlSafe(list_records())).fetch_all(c).await? {
            let mut counted =
                Counted { requests: row.int("requests")?, charge: row.int("charge")?, ..Counted::default() };
            for (meter, column) in Meter::ALL.iter().zip(meter_columns()) {
                counted.meters.extend(row.int_or_none(column)?.map(|sum| (meter.name().to_owned(), sum)));
            }
            records.insert(row.text("key_id")?, counted);
        }
    });
    let mut quarters: BTreeMap<String, Counted> = BTreeMap::new();
    let mut ever = quarters.clone();
    both!(snapshot, c => {
        for row in sqlx::query(LIST_SUMS).fetch_all(c).await? {
            let is_ever = row.int("is_ever")? == 1;
            let counted = if is_ever { &mut ever } else { &mut quarters }.entry(row.text_or_none("key_id")?.unwrap_or_else(|| "(a sum of nothing)".to_owned())).or_default();
            (counted.requests, counted.charge) = (row.int("requests")?, row.int("charge")?);
        }
    });
    both!(snapshot, c => {
        for row in sqlx::query(LIST_METERS).fetch_all(c).await? {
            let meters = &mut quarters.entry(row.text_or_none("key_id")?.unwrap_or_else(|| "(a sum of nothing)".to_owned())).or_default().meters;
            meters.insert(row.text("meter")?, row.int("quantity")?);
        }
    });
    let mut faults = Vec::new();
    let keys: std::collections::BTreeSet<&String> = records.keys().chain(quarters.keys()).chain(ever.keys()).collect();
    let none = Counted::default();
    for key in keys {
        let [records, quarters, ever] = [&records, &quarters, &ever].map(|map| map.get(key).unwrap_or(&none));
        if records != quarters {
            faults.push(format!("{key}: its sums of usage say {quarters}; its records {records}"));
        } else if (ever.requests, ever.charge) != (records.requests, records.charge) {
            faults.push(format!("{key}: its sum of all usage says {ever}; its records {records}"));
        }
    }
    Ok(faults)
}
