//! A group of charges as few calls of many statements each.
//!
//! Every call to sqlx's SQLite driver is a hop to its thread and back, and another for each statement of it, so a group
//! is one call that moves the wallets and gives back their counters, and one for each hundred or so of its rows. Places are bare `?`: numbered ones are names to SQLite, which
//! it looks up one by one. Texts come in few sizes, padded with NULL rows that are left out, so that they stay prepared.
//! `OR FAIL` spares the journal that lets a single statement be undone: a group that fails is given up whole.

use crate::cells::Cells as _;
use crate::engine::Batch;
use crate::error::Error;
use crate::journal::Position;
use crate::record::{AbsorbRow, RecordRow, cell_of, filter_columns, meter_columns};
use claviger_domain::meter::Meter;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};
use std::collections::HashMap;
use std::sync::Arc;

/// The sizes that texts come in.
const SIZES: [usize; 12] = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, ROWS];
/// Rows of one call at most: about a millisecond of a core that others want.
const ROWS: usize = 128;

/// What a call is made of; one prepared text each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Shape {
    begins: bool,
    wallets: usize,
    absorbed: usize,
    records: usize,
    /// One bit for each meter that any of the records has; the other columns stay NULL without being named.
    meters: u32,
    closed: usize,
    intents: usize,
    undelivered: usize,
    marks: bool,
    /// Whether the journal's position goes with it.
    position: bool,
    commits: bool,
}

/// Texts by shape.
#[derive(Default)]
pub(crate) struct Texts(HashMap<Shape, Arc<str>>);

impl Texts {
    fn of(&mut self, shape: Shape) -> Arc<str> {
        Arc::clone(self.0.entry(shape).or_insert_with(|| text(shape).into()))
    }
}

/// Writes a batch in a transaction of its own, with how far the journal has come by it.
///
/// # Errors
/// Of any statement; the transaction may be open or gone, so the connection is to be replaced.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    texts: &mut Texts,
    batch: &Batch<'_>,
    position: Option<&Position>,
) -> Result<(), Error> {
    let news = batch.news;
    // What corrects records comes with the last of them or behind.
    let corrected_from = batch.records.len().div_ceil(ROWS).saturating_sub(1);
    let corrections = news.undelivered.len().div_ceil(ROWS);
    let lists = [batch.records.len(), batch.absorbed.len(), batch.closed.len(), news.intents.len(), 1];
    let calls = lists.into_iter().max().unwrap_or(1).div_ceil(ROWS).max(corrected_from.saturating_add(corrections));
    let wallets = Wallets::of(&batch.records)?;
    let counters = wallets.charge(connection, texts).await?;
    for call in 0..calls {
        let is_last = call.saturating_add(1) == calls;
        let records = part(&batch.records, call);
        let absorbed = part(&batch.absorbed, call);
        let closed = part(&batch.closed, call);
        let intents = part(&news.intents, call);
        let undelivered = call.checked_sub(corrected_from).map_or(&[][..], |call| part(&news.undelivered, call));
        let shape = Shape {
            begins: call == 0 && wallets.sums.is_empty(),
            wallets: 0,
            absorbed: padded(absorbed.len()),
            records: padded(records.len()),
            meters: meters_of(records),
            closed: padded(closed.len()),
            intents: padded(intents.len()),
            undelivered: padded(undelivered.len()),
            marks: is_last && news.pending.is_some(),
            position: is_last && position.is_some(),
            commits: is_last,
        };
        let mut query = sqlx::query(AssertSqlSafe(texts.of(shape)));
        let numbers = part(&counters, call);
        query = bind_absorbed(query, absorbed, shape.absorbed);
        query = bind_records(query, records, numbers, shape);
        for index in 0..shape.closed {
            query = query.bind(closed.get(index).map(|id| Arc::clone(id)));
        }
        for index in 0..shape.intents {
            let intent = intents.get(index);
            query = query
                .bind(intent.map(|intent| intent.request.to_string()))
                .bind(intent.map(|intent| intent.organization.to_string()))
                .bind(intent.map(|intent| intent.key.to_string()))
                .bind(intent.map(|intent| intent.model.clone()))
                .bind(intent.map(|intent| intent.hold.0))
                .bind(intent.map(|intent| intent.at.0));
        }
        for index in 0..shape.undelivered {
            let place = undelivered.get(index);
            query = query
                .bind(place.map(|place| place.organization.to_string()))
                .bind(place.map(|place| place.request.to_string()));
        }
        if shape.marks {
            query = query.bind(news.pending.as_deref().unwrap_or_default());
        }
        if let Some(position) = position.filter(|_| shape.position) {
            query = query.bind(i64::try_from(position.number).unwrap_or(i64::MAX)).bind(position.chain.to_vec());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn part<T>(rows: &[T], call: usize) -> &[T] {
    let begin = call.saturating_mul(ROWS).min(rows.len());
    let end = begin.saturating_add(ROWS).min(rows.len());
    rows.get(begin..end).unwrap_or_default()
}

fn padded(count: usize) -> usize {
    if count == 0 { 0 } else { SIZES.into_iter().find(|size| *size >= count).unwrap_or(ROWS) }
}

/// What the charges of a group take from each wallet.
struct Wallets {
    /// Wallet, sum, number of charges.
    sums: Vec<(Arc<str>, i64, i64)>,
    /// For each record its wallet, and its place among that wallet's, from 1; `None` = it costs nothing.
    places: Vec<Option<(usize, i64)>>,
}

impl Wallets {
    fn of(records: &[&RecordRow]) -> Result<Self, Error> {
        let mut wallets = Self { sums: Vec::new(), places: Vec::with_capacity(records.len()) };
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut last = None;
        for record in records {
            if record.charge <= 0 {
                wallets.places.push(None);
                continue;
            }
            let next = wallets.sums.len();
            // Records of one wallet that follow each other share its name.
            let index = match last {
                Some((wallet, index)) if Arc::ptr_eq(wallet, &record.organization) => index,
                _ => *known.entry(&record.organization).or_insert(next),
            };
            last = Some((&record.organization, index));
            if index == next {
                wallets.sums.push((Arc::clone(&record.organization), 0, 0));
            }
            if let Some((_, sum, count)) = wallets.sums.get_mut(index) {
                *sum = sum.checked_add(record.charge).ok_or(Error::Conflict("charges out of range"))?;
                *count = count.saturating_add(1);
                wallets.places.push(Some((index, *count)));
            }
        }
        Ok(wallets)
    }

    /// Begins the transaction and moves the wallets, if there are any; the number of each charge in its wallet.
    async fn charge(&self, connection: &mut SqliteConnection, texts: &mut Texts) -> Result<Vec<Option<i64>>, Error> {
        let mut counters: HashMap<String, i64> = HashMap::new();
        for call in 0..self.sums.len().div_ceil(ROWS) {
            let sums = part(&self.sums, call);
            let shape = Shape { begins: call == 0, wallets: padded(sums.len()), ..Shape::default() };
            let mut query = sqlx::query(AssertSqlSafe(texts.of(shape)));
            for index in 0..shape.wallets {
                let wallet = sums.get(index);
                query = query
                    .bind(wallet.map(|(id, _, _)| Arc::clone(id)))
                    .bind(wallet.map(|(_, sum, _)| *sum))
                    .bind(wallet.map(|(_, _, count)| *count));
            }
            for row in query.fetch_all(&mut *connection).await? {
                counters.insert(row.text("org_id")?, row.int("seq")?);
            }
        }
        // An unknown wallet has no counter, and the table takes no charge without a number.
        let last = |(id, _, count): &(Arc<str>, i64, i64)| counters.get(&**id).map(|seq| seq.saturating_sub(*count));
        let before: Vec<Option<i64>> = self.sums.iter().map(last).collect();
        let number = |place: &Option<(usize, i64)>| {
            let (wallet, place) = (*place)?;
            Some(before.get(wallet).copied().flatten()?.saturating_add(place))
        };
        Ok(self.places.iter().map(number).collect())
    }
}

type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind_absorbed<'q>(mut query: SqliteQuery<'q>, absorbed: &[&AbsorbRow], size: usize) -> SqliteQuery<'q> {
    for index in 0..size {
        let row = absorbed.get(index);
        query = query
            .bind(row.map(|row| Arc::clone(&row.reference)))
            .bind(row.map(|row| Arc::clone(&row.id)))
            .bind(row.map(|row| Arc::clone(&row.organization)))
            .bind(row.map(|row| row.amount))
            .bind(row.and_then(|row| row.price_version.clone()))
            .bind(row.map(|row| row.at))
            .bind(row.map(|row| Arc::clone(&row.detail)));
    }
    query
}

/// The meters that any of these records has, one bit each.
fn meters_of(records: &[&RecordRow]) -> u32 {
    let meters = records.iter().flat_map(|record| record.meters.iter());
    meters.fold(0_u32, |mask, (meter, _)| mask | 1_u32.wrapping_shl(meter as u32))
}

/// Whether the meter in this place of the list is one of a mask.
const fn has_meter(mask: u32, place: usize) -> bool {
    mask.wrapping_shr(place as u32) & 1 == 1
}

fn bind_records<'q>(
    mut query: SqliteQuery<'q>,
    records: &[&RecordRow],
    numbers: &[Option<i64>],
    shape: Shape,
) -> SqliteQuery<'q> {
    for index in 0..shape.records {
        let row = records.get(index);
        query = query
            .bind(row.map(|row| Arc::clone(&row.organization)))
            .bind(row.map(|row| Arc::clone(&row.id)))
            .bind(row.map(|row| Arc::clone(&row.environment)))
            .bind(row.map(|row| Arc::clone(&row.key)))
            .bind(row.and_then(|row| row.source_tag.clone()))
            .bind(row.map(|row| Arc::clone(&row.model)))
            .bind(row.map(|row| row.completed_at))
            .bind(row.map(|row| Arc::clone(&row.outcome)))
            .bind(row.map(|row| row.charge))
            .bind(row.map(|row| Arc::clone(&row.delivery)));
        for meter in Meter::ALL.iter().filter(|meter| has_meter(shape.meters, **meter as usize)) {
            query = query.bind(row.and_then(|row| cell_of(&row.meters, *meter)));
        }
        query = query.bind(numbers.get(index).copied().flatten()).bind(row.map(|row| row.body.as_slice()));
    }
    query
}

fn text(shape: Shape) -> String {
    let mut sql = String::new();
    if shape.begins {
        sql.push_str("BEGIN IMMEDIATE; ");
    }
    if shape.wallets > 0 {
        let values = values(shape.wallets, 3);
        sql.push_str("UPDATE OR FAIL wallet SET balance = balance - d.column2, seq = seq + d.column3 FROM (VALUES ");
        sql.push_str(&values);
        sql.push_str(") AS d WHERE wallet.org_id = d.column1 RETURNING org_id, seq; ");
    }
    if shape.absorbed > 0 {
        sql.push_str(
            "INSERT OR FAIL INTO transfer (kind, ref, id, org_id, debit, credit, amount, price_version, at, detail) \
             SELECT 'absorb', column1, column2, column3, 'absorbed', 'revenue', column4, column5, column6, column7 \
             FROM (VALUES ",
        );
        sql.push_str(&values(shape.absorbed, 7));
        sql.push_str(") WHERE column1 IS NOT NULL; ");
    }
    if shape.records > 0 {
        let columns = record_columns(shape.meters);
        // The ninth is the charge.
        sql.push_str(&format!(
            "INSERT OR FAIL INTO request ({}, account, detail) \
             SELECT *, CASE WHEN column9 > 0 THEN 'wallet' END, '' FROM (VALUES ",
            columns.join(", ")
        ));
        sql.push_str(&values(shape.records, columns.len()));
        sql.push_str(") WHERE column1 IS NOT NULL; ");
    }
    if shape.closed > 0 {
        let places = vec!["?"; shape.closed].join(",");
        sql.push_str(&format!("DELETE FROM intent WHERE request_id IN ({places}); "));
    }
    if shape.intents > 0 {
        sql.push_str(
            "INSERT OR IGNORE INTO intent (request_id, org_id, key_id, model, hold, at) SELECT * FROM (VALUES ",
        );
        sql.push_str(&values(shape.intents, 6));
        sql.push_str(") WHERE column1 IS NOT NULL; ");
    }
    if shape.undelivered > 0 {
        sql.push_str("UPDATE request SET delivery = 'not_delivered' FROM (VALUES ");
        sql.push_str(&values(shape.undelivered, 2));
        sql.push_str(") AS d WHERE request.org_id = d.column1 AND request.id = d.column2; ");
    }
    if shape.marks {
        sql.push_str("UPDATE delivery SET pending = ? WHERE id = 1; ");
    }
    if shape.position {
        sql.push_str("UPDATE journal SET number = ?, chain = ? WHERE node = ''; ");
    }
    if shape.commits {
        sql.push_str("COMMIT; ");
    }
    sql.truncate(sql.trim_end().len());
    sql
}

/// The columns of a record with these meters.
fn record_columns(meters: u32) -> Vec<&'static str> {
    let is_named = |column: &&str| match meter_columns().iter().position(|meter| meter == column) {
        Some(place) => has_meter(meters, place),
        None => true,
    };
    filter_columns().filter(is_named).chain(["wallet_seq", "body"]).collect()
}

fn values(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}

/// Every statement of the largest shape, one by one: only the first of a text is prepared ahead.
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    let shape = Shape {
        begins: false,
        wallets: ROWS,
        absorbed: ROWS,
        records: ROWS,
        meters: u32::MAX,
        closed: ROWS,
        intents: ROWS,
        undelivered: ROWS,
        marks: true,
        position: true,
        commits: false,
    };
    text(shape).split("; ").map(|sql| ("charge group", sql.to_owned())).collect()
}
