//! Who serves this database, and telling one of them to leave. For the operator.

use crate::authorize::Operator;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::id::NodeId;
use claviger_domain::time::{Now, Timestamp};
use claviger_storage::{Engine, NodeRow};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
pub(crate) struct NodeObject {
    object: &'static str,
    id: String,
    seat: String,
    state: &'static str,
    started_at: i64,
    renewed_at: i64,
    applied_epoch: i64,
    validity_ms: u64,
}

impl NodeObject {
    fn new(row: &NodeRow, state: &'static str) -> Self {
        Self {
            object: "node",
            id: row.id.to_string(),
            seat: row.seat.to_string(),
            state,
            started_at: row.started_at.seconds(),
            renewed_at: row.renewed_at.seconds(),
            applied_epoch: row.applied.0,
            validity_ms: u64::try_from(row.validity.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// For people: by the wall clocks of that node and this one. Nothing is decided by it.
fn state(control: &Control, row: &NodeRow, now: Now) -> &'static str {
    let is_silent = match control.store().engine() {
        // The one node of SQLite renews nothing: it is there as long as a server runs.
        Engine::Sqlite => control.rights().patience() == Duration::ZERO,
        Engine::Postgres => since(row.renewed_at, now.wall) > row.validity,
    };
    match (is_silent, row.is_draining) {
        (true, _) => "silent",
        (false, true) => "draining",
        (false, false) => "serving",
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}

pub(crate) async fn list(State(call): State<Call<Operator>>, query: Query) -> Result<Json<List<NodeObject>>, Refusal> {
    query.finish()?;
    let nodes = call.control.store().list_nodes().await?;
    let show = |row: &NodeRow| NodeObject::new(row, state(&call.control, row, call.now));
    Ok(Json(List::whole(&nodes, |row| row.id.to_string(), show)))
}

/// The node reads it with its next poll, and then does what it does at SIGTERM.
pub(crate) async fn drain(State(call): State<Call<Operator>>, query: Query) -> Result<Json<NodeObject>, Refusal> {
    query.finish()?;
    let id: NodeId = call.id("node")?;
    let store = call.control.store();
    let nodes = store.list_nodes().await?;
    let node = nodes.iter().find(|node| node.id == id).ok_or_else(Refusal::not_found)?;
    if !store.drain_node(id, call.actor.attribution()).await.map_err(Refusal::of_write)? {
        return Err(Refusal::not_found());
    }
    let told = NodeRow { is_draining: true, ..node.clone() };
    Ok(Json(NodeObject::new(&told, state(&call.control, &told, call.now))))
}
