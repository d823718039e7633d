//! What is done before the first admission: requests that were lost, charges that are in doubt.
//!
//! One act, safe to repeat. A left-over intent is a request whose charge never became durable: it becomes a record
//! `node_lost` with charge 0 (D2). A charge on the list of answers not yet handed over is in doubt (D3). What was leased
//! and not spent goes back to the wallets. All of it is about one seat: other nodes
//! are running.

use crate::cells::{Cells as _, parse};
use crate::door::{Tx, both};
use crate::error::Error;
use crate::keys::find_anywhere;
use crate::leases::return_left;
use crate::record::{RecordRow, Rows, cell_of, filter_columns};
use crate::rollups::{lock_nameless_seat, open_cursor};
use crate::seats::ClosedSeat;
use crate::statements::statements;
use crate::store::{Engine, Store};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, RequestId, SeatId, SecretId};
use claviger_domain::key::Key;
use claviger_domain::ledger::TransferKind;
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, Outcome, RequestRecord};
use claviger_domain::time::{Now, Timestamp};
use sqlx::AssertSqlSafe;

statements! {
    LOAD_PENDING = "SELECT pending FROM delivery WHERE id = 1 AND pending <> '' \
        UNION ALL SELECT pending FROM seat_delivery WHERE seat = $1 AND pending <> ''";
    CLEAR_PENDING = "UPDATE delivery SET pending = '' WHERE id = 1";
    CLEAR_SEAT = "DELETE FROM seat_delivery WHERE seat = $1";
    FIND_CHARGE = "SELECT org_id, amount, at FROM transfer WHERE kind = 'charge' AND ref = $1 \
        UNION ALL SELECT r.org_id, r.charge, r.completed_at FROM wallet w JOIN request r ON r.org_id = w.org_id \
        WHERE r.id = $1 AND r.account IS NOT NULL";
    DOUBT = "INSERT INTO in_doubt (request_id, org_id, charge, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    MARK = "UPDATE request SET delivery = 'in_doubt' WHERE org_id = $1 AND id = $2";
    LIST_INTENTS = "SELECT request_id, org_id, key_id, model, hold, at FROM intent WHERE seat = $1 OR seat = '' \
        ORDER BY request_id";
    CLEAR_INTENTS = "DELETE FROM intent WHERE seat = $1 OR seat = ''";
}

/// Runs the recovery.
pub(crate) async fn recover(store: &Store, now: Now) -> Result<(), Error> {
    let seat = store.seat();
    // On SQLite the one seat has no name.
    let named = (store.engine() == Engine::Postgres).then(|| seat.to_string());
    let found = store
        .act(async move |tx: &mut Tx<'_>| {
            if let Some(name) = &named {
                open_cursor(tx, name).await?;
            }
            settle(tx, TransferKind::LeaseReturn, seat, now).await
        })
        .await?;
    let ClosedSeat { lost, in_doubt: doubted, .. } = found;
    if lost > 0 || doubted > 0 {
        tracing::warn!(
            lost,
            doubted,
            "the last process did not stop cleanly: requests lost {lost}, in doubt {doubted}"
        );
    }
    Ok(())
}

/// The same for the seat of a dead node, by somebody else; what is given back is written off.
pub(crate) async fn close(tx: &mut Tx<'_>, seat: SeatId, now: Now) -> Result<ClosedSeat, Error> {
    settle(tx, TransferKind::WriteOff, seat, now).await
}

async fn settle(tx: &mut Tx<'_>, kind: TransferKind, seat: SeatId, now: Now) -> Result<ClosedSeat, Error> {
    let in_doubt = doubt(tx, &seat.to_string()).await?;
    let lost = lose(tx, &seat.to_string(), now).await?;
    // Last: every charge that was durable is counted by now, so the rest is nobody's.
    let (leases, returned) = return_left(tx, kind, seat, now.wall).await?;
    Ok(ClosedSeat { lost, in_doubt, leases, returned })
}

async fn doubt(tx: &mut Tx<'_>, seat: &str) -> Result<u64, Error> {
    let mut pending: Vec<String> = Vec::new();
    both!(tx, c => {
        for row in sqlx::query(LOAD_PENDING).bind(seat).fetch_all(c).await? {
            pending.push(row.text("pending")?);
        }
    });
    if pending.is_empty() {
        return Ok(0);
    }
    let mut doubted = 0_u64;
    for id in pending.iter().flat_map(|list| list.split(',')) {
        let charge = both!(tx, c => {
            let row = sqlx::query(FIND_CHARGE).bind(id).fetch_optional(c).await?;
            row.map(|row| Ok::<_, Error>((row.text("org_id")?, row.int("amount")?, row.int("at")?))).transpose()?
        });
        let Some((organization, amount, at)) = charge else { continue };
        both!(tx, c => {
            sqlx::query(DOUBT).bind(id).bind(&organization).bind(amount).bind(at).execute(c).await?;
        });
        both!(tx, c => { sqlx::query(MARK).bind(&organization).bind(id).execute(c).await?; });
        doubted = doubted.saturating_add(1);
    }
    both!(tx, c => { sqlx::query(CLEAR_PENDING).execute(c).await?; });
    both!(tx, c => { sqlx::query(CLEAR_SEAT).bind(seat).execute(c).await?; });
    Ok(doubted)
}

struct Left {
    request: RequestId,
    organization: OrganizationId,
    key: KeyId,
    model: String,
    hold: i64,
    at: i64,
}

async fn lose(tx: &mut Tx<'_>, seat: &str, now: Now) -> Result<u64, Error> {
    let left: Vec<Left> = both!(tx, c => {
        let mut left = Vec::new();
        for row in sqlx::query(LIST_INTENTS).bind(seat).fetch_all(c).await? {
            left.push(Left {
                request: parse("intent.request_id", &row.text("request_id")?)?,
                organization: row.parsed("org_id")?,
                key: row.parsed("key_id")?,
                model: row.text("model")?,
                hold: row.int("hold")?,
                at: row.int("at")?,
            });
        }
        left
    });
    if left.is_empty() {
        return Ok(0);
    }
    lock_nameless_seat(tx).await?;
    let mut lost = 0_u64;
    for intent in left {
        let key = find_anywhere(tx, intent.key).await?;
        let record = record_of(intent, key, now);
        insert(tx, &Rows::of_record(&record, None).record).await?;
        lost = lost.saturating_add(1);
    }
    both!(tx, c => { sqlx::query(CLEAR_INTENTS).bind(seat).execute(c).await?; });
    Ok(lost)
}

/// What is known of a request that was lost.
fn record_of(intent: Left, key: Option<Key>, now: Now) -> RequestRecord {
    let (environment, name, secret, tag, is_test) = match key {
        Some(key) => {
            let secret = key.newest().map_or(SecretId::from_u128(0), |secret| secret.id);
            (key.environment, key.name, secret, key.source_tag, key.is_test)
        }
        None => (EnvironmentId::from_u128(0), String::new(), SecretId::from_u128(0), None, false),
    };
    RequestRecord {
        id: intent.request,
        organization: intent.organization,
        environment,
        key: intent.key,
        key_name: name,
        secret,
        source_tag: tag,
        endpoint: EndpointName::ChatCompletions,
        model: intent.model,
        upstream_model: None,
        upstream_request_id: None,
        client_request_id: None,
        alias: None,
        is_stream: false,
        is_test,
        admitted_at: Timestamp(intent.at),
        first_byte_at: None,
        completed_at: now.wall,
        status: 0,
        outcome: Outcome::NodeLost,
        error_code: None,
        refused_by: None,
        would_refuse: None,
        rule: 16,
        usage_source: UsageSource::None,
        is_anomalous: false,
        meters: Meters::NONE,
        price_version: None,
        hold: Nano(intent.hold),
        charge: Nano::ZERO,
        absorbed: Nano::ZERO,
        attempts: Vec::new(),
        delivery: Delivery::NotDelivered,
        conditions: None,
        kept: None,
    }
}

async fn insert(tx: &mut Tx<'_>, row: &RecordRow) -> Result<(), Error> {
    let sql = insert_text();
    both!(tx, c => {
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(&*row.organization)
            .bind(&*row.id)
            .bind(&*row.environment)
            .bind(&*row.key)
            .bind(row.source_tag.as_deref())
            .bind(&*row.model)
            .bind(row.completed_at)
            .bind(&*row.outcome)
            .bind(row.charge)
            .bind(&*row.delivery);
        for meter in Meter::ALL {
            query = query.bind(cell_of(&row.meters, *meter));
        }
        query.bind(row.body.as_slice()).execute(c).await?;
    });
    Ok(())
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    vec![("record insert", insert_text())]
}

fn insert_text() -> String {
    let columns: Vec<&str> = filter_columns().chain(["body"]).collect();
    let places: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    // A record that exists tells more than "lost".
    format!(
        "INSERT INTO request ({}, detail) VALUES ({}, '') ON CONFLICT DO NOTHING",
        columns.join(", "),
        places.join(", ")
    )
}
