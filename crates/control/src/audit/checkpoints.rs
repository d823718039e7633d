//! Signs the heads that changed, every 60 s or 1,000 records, and brings checkpoints to every sink outside the database.
//!
//! A sink that is behind, because it could not be written or is new, gets what it lacks in order. While one is behind for
//! five minutes the log says so each minute, and in strict mode no change is made.

use crate::authorize::Operator;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State as Given;
use claviger_domain::audit::{Checkpoint, checkpoint_line};
use claviger_domain::limits;
use claviger_domain::time::{Monotonic, Now};
use claviger_storage as storage;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Checkpoints sent to a sink in one go.
const BATCH: u32 = 100;

/// When checkpoints were last made, and which sinks are behind since when.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    signed: Option<Monotonic>,
    behind: HashMap<String, Monotonic>,
    said: Option<Monotonic>,
}

/// One run: sign if it is time, then send. Safe to run at any time, twice, or on two nodes at once.
pub(crate) async fn reconcile(control: &Control, now: Now) -> Result<u64, storage::Error> {
    let waiting = control.store().unsigned_audit_records().await?;
    let since = control.audit().state.reach.lock().signed;
    let is_time = since.is_none_or(|since| now.monotonic.since(since) >= limits::CHECKPOINT_PERIOD);
    let mut signed = 0;
    if waiting > 0 && (is_time || waiting >= limits::CHECKPOINT_RECORDS) {
        signed = sign(control, now).await?;
    }
    if is_time {
        control.audit().state.reach.lock().signed = Some(now.monotonic);
    }
    send(control, now).await?;
    Ok(signed)
}

/// Signs until nothing waits. Another node that signs at the same moment has done the work.
pub(crate) async fn sign(control: &Control, now: Now) -> Result<u64, storage::Error> {
    let mut signed = 0;
    loop {
        match control.store().sign_checkpoint(now.wall).await {
            Ok(Some(_)) => signed += 1,
            Ok(None) | Err(storage::Error::Conflict(_)) => return Ok(signed),
            Err(error) => return Err(error),
        }
    }
}

async fn send(control: &Control, now: Now) -> Result<(), storage::Error> {
    let audit = control.audit();
    for sink in &audit.sinks {
        let name = sink.name();
        let outcome = match sink.last() {
            Ok(last) => {
                let missing = control.store().list_checkpoints(last, BATCH).await?;
                let lines: Vec<String> = missing.iter().filter_map(checkpoint_line).collect();
                if lines.is_empty() { Ok(()) } else { sink.append(&lines).await }
            }
            Err(error) => Err(error),
        };
        let mut reach = audit.state.reach.lock();
        match outcome {
            Ok(()) => {
                reach.behind.remove(&name);
            }
            Err(error) => {
                reach.behind.entry(name.clone()).or_insert(now.monotonic);
                let is_news = reach.said.is_none_or(|said| now.monotonic.since(said) >= limits::CHECKPOINT_PERIOD);
                if is_news {
                    reach.said = Some(now.monotonic);
                    tracing::error!(sink = name, %error, "an audit checkpoint could not be sent out of the database");
                }
            }
        }
    }
    let reach = audit.state.reach.lock();
    let is_late = reach.behind.values().any(|since| now.monotonic.since(*since) >= limits::CHECKPOINT_SINK_LATE);
    audit.state.is_shut.store(audit.is_strict && is_late, Ordering::Relaxed);
    Ok(())
}

#[derive(Serialize)]
pub(crate) struct CheckpointObject {
    object: &'static str,
    number: i64,
    created_at: i64,
    heads: usize,
    root: String,
}

#[derive(Serialize)]
pub(crate) struct CheckpointList {
    object: &'static str,
    public_key: String,
    data: Vec<CheckpointObject>,
    has_more: bool,
}

/// The operator's list of checkpoints, oldest first behind `after_number`.
pub(crate) async fn handler(
    Given(call): Given<Call<Operator>>,
    mut query: Query,
) -> Result<Json<CheckpointList>, Refusal> {
    let after = query.integer("after_number")?.unwrap_or(0);
    query.finish()?;
    let found = call.control.store().list_checkpoints(after, BATCH + 1).await?;
    let most = usize::try_from(BATCH).unwrap_or(usize::MAX);
    Ok(Json(CheckpointList {
        object: "list",
        public_key: call.control.store().audit_public_key().map(|key| key.to_string()).unwrap_or_default(),
        has_more: found.len() > most,
        data: found.iter().take(most).map(shown).collect(),
    }))
}

fn shown(checkpoint: &Checkpoint) -> CheckpointObject {
    CheckpointObject {
        object: "audit.checkpoint",
        number: checkpoint.number().unwrap_or_default(),
        created_at: checkpoint.at().map(claviger_domain::time::Timestamp::seconds).unwrap_or_default(),
        heads: checkpoint.heads.len(),
        root: checkpoint.root().unwrap_or_default(),
    }
}
