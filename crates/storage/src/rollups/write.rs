//! Sums as rows, many in a statement.
//!
//! Rows go in the order of their keys: of two nodes that meet in the same rows, one waits for the other and neither for
//! itself.

use super::sums::{Dimension, Sums};
use crate::door::{Tx, both};
use crate::error::Error;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Rows of one statement; few sizes, so that texts stay prepared, and none large: SQLite looks each place up by its name
/// among all names of the statement.
const SIZES: [usize; 3] = [16, 4, 1];

/// Where rows go, and what becomes of one that is there already.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    conflict: &'static str,
}

const DIMENSION: Table = Table {
    name: "usage_dimension",
    columns: &[
        "id",
        "org_id",
        "environment_id",
        "key_id",
        "source_tag",
        "endpoint",
        "model",
        "provider",
        "outcome",
        "usage_source",
    ],
    conflict: "(id) DO NOTHING",
};

const SUM: Table = Table {
    name: "usage_15m",
    columns: &["dimension", "slot", "seat", "org_id", "requests", "charge", "absorbed"],
    conflict: "(dimension, slot, seat) DO UPDATE SET requests = usage_15m.requests + excluded.requests, \
        charge = usage_15m.charge + excluded.charge, absorbed = usage_15m.absorbed + excluded.absorbed",
};

const METER: Table = Table {
    name: "usage_15m_meter",
    columns: &["dimension", "slot", "seat", "price_version", "meter", "quantity"],
    conflict: "(dimension, slot, seat, price_version, meter) \
        DO UPDATE SET quantity = usage_15m_meter.quantity + excluded.quantity",
};

/// One value of a row.
enum Cell {
    Bytes(Vec<u8>),
    Text(String),
    Maybe(Option<String>),
    Int(i64),
}

/// All rows of a batch.
pub(super) struct Rows {
    dimensions: Vec<Vec<Cell>>,
    sums: Vec<Vec<Cell>>,
    meters: Vec<Vec<Cell>>,
}

impl Rows {
    /// The rows of a seat's sums.
    pub(super) fn of(sums: &Sums, seat: &str) -> Self {
        use Cell::{Bytes, Int, Text};
        let ever = sums.ever();
        let mut dimensions = BTreeMap::new();
        let mut ordered = BTreeMap::new();
        for ((slot, dimension), sum) in sums.quarters.iter().chain(&ever) {
            let id = dimension.id();
            dimensions.entry(id.clone()).or_insert(dimension);
            ordered.insert((id, *slot), (dimension.organization, sum));
        }
        let mut rows = Self { dimensions: Vec::new(), sums: Vec::new(), meters: Vec::new() };
        rows.dimensions = dimensions.into_iter().map(|(id, dimension)| row(id, dimension)).collect();
        for ((id, slot), (organization, sum)) in ordered {
            for ((version, meter), quantity) in &sum.quantities {
                let version = version.map(|version| version.to_string()).unwrap_or_default();
                let key = [Bytes(id.clone()), Int(slot), Text(seat.to_owned()), Text(version)];
                rows.meters.push(key.into_iter().chain([Text(meter.name().to_owned()), Int(*quantity)]).collect());
            }
            let key = [Bytes(id), Int(slot), Text(seat.to_owned()), Text(organization.to_string())];
            let values = [sum.requests, sum.charge, sum.absorbed].map(Int);
            rows.sums.push(key.into_iter().chain(values).collect());
        }
        rows
    }

    /// Adds them to what is there. The act may be run again with the same rows.
    pub(super) async fn add(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        add(tx, &DIMENSION, &self.dimensions).await?;
        add(tx, &SUM, &self.sums).await?;
        add(tx, &METER, &self.meters).await
    }
}

fn row(id: Vec<u8>, dimension: &Dimension) -> Vec<Cell> {
    use Cell::{Bytes, Maybe, Text};
    vec![
        Bytes(id),
        Text(dimension.organization.to_string()),
        Text(dimension.environment.to_string()),
        Text(dimension.key.to_string()),
        Maybe(dimension.source_tag.clone()),
        Text(dimension.endpoint.to_owned()),
        Text(dimension.model.clone()),
        Maybe(dimension.provider.clone()),
        Text(dimension.outcome.to_owned()),
        Text(dimension.usage_source.to_owned()),
    ]
}

async fn add(tx: &mut Tx<'_>, table: &Table, rows: &[Vec<Cell>]) -> Result<(), Error> {
    let mut rest = rows;
    while !rest.is_empty() {
        let size = SIZES.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
        let (now, later) = rest.split_at(size);
        let sql = text(table, size);
        both!(tx, c => {
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for cell in now.iter().flatten() {
                query = match cell {
                    Cell::Bytes(bytes) => query.bind(bytes.as_slice()),
                    Cell::Text(text) => query.bind(text.as_str()),
                    Cell::Maybe(text) => query.bind(text.as_deref()),
                    Cell::Int(number) => query.bind(*number),
                };
            }
            query.execute(c).await?;
        });
        rest = later;
    }
    Ok(())
}

fn text(table: &Table, rows: usize) -> String {
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", table.name, table.columns.join(", "));
    let mut number = 0_usize;
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..table.columns.len() {
            number = number.saturating_add(1);
            let _ = write!(sql, "{}${number}", if column == 0 { "" } else { ", " });
        }
        sql.push(')');
    }
    let _ = write!(sql, " ON CONFLICT {}", table.conflict);
    sql
}

/// Every text, for the test that prepares them.
pub(super) fn built() -> Vec<(&'static str, String)> {
    let tables = [&DIMENSION, &SUM, &METER];
    tables.into_iter().flat_map(|table| SIZES.map(|rows| (table.name, text(table, rows)))).collect()
}
