//! Credit that nodes have leased, and giving back what a dead one left. For the operator.
//!
//! A write-off first watches that the seat's node is silent, for as long as its rights last; the database then says
//! whether a session of it could still charge. Neither is taken on anybody's word.

use crate::authorize::Operator;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::{NodeId, SeatId};
use claviger_domain::limits;
use claviger_domain::revocation::{Reading, Silences};
use claviger_storage::{CloseSeatOutcome, Engine, NodeRow, OpenLease};
use serde::Serialize;
use std::time::Duration;

/// Between two looks at a node that seems dead.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
pub(crate) struct LeaseObject {
    object: &'static str,
    id: String,
    seat: String,
    organization: String,
    open: String,
    granted: String,
    charged: String,
    returned: String,
    node: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct WrittenOff {
    object: &'static str,
    seat: String,
    leases: u64,
    returned: String,
    requests_lost: u64,
    charges_in_doubt: u64,
}

pub(crate) async fn list(State(call): State<Call<Operator>>, query: Query) -> Result<Json<List<LeaseObject>>, Refusal> {
    query.finish()?;
    let store = call.control.store();
    let (leases, nodes) = (store.list_open_leases().await?, store.list_nodes().await?);
    let show = |lease: &OpenLease| LeaseObject {
        object: "lease",
        id: id(lease),
        seat: lease.seat.to_string(),
        organization: lease.organization.to_string(),
        open: lease.granted.saturating_sub(lease.settled).saturating_sub(lease.returned).to_string(),
        granted: lease.granted.to_string(),
        charged: lease.settled.to_string(),
        returned: lease.returned.to_string(),
        node: nodes.iter().find(|node| node.seat == lease.seat).map(|node| node.id.to_string()),
    };
    Ok(Json(List::whole(&leases, id, show)))
}

fn id(lease: &OpenLease) -> String {
    format!("{}/{}", lease.seat, lease.organization)
}

pub(crate) async fn write_off(State(call): State<Call<Operator>>, query: Query) -> Result<Json<WrittenOff>, Refusal> {
    query.finish()?;
    let seat: SeatId = call.id("seat")?;
    let store = call.control.store();
    if store.engine() == Engine::Sqlite || seat == store.seat() {
        return Err(Code::NodeAlive.into());
    }
    let silent = silent_nodes(&call.control, seat).await?.ok_or(Code::NodeAlive)?;
    let now = call.control.clock().now();
    let closed = store.close_seat(seat, silent, now, call.actor.attribution()).await;
    match closed.map_err(Refusal::of_write)? {
        CloseSeatOutcome::Alive => Err(Code::NodeAlive.into()),
        CloseSeatOutcome::Unknown => Err(Refusal::not_found()),
        CloseSeatOutcome::Closed(found) => Ok(Json(WrittenOff {
            object: "lease.written_off",
            seat: seat.to_string(),
            leases: found.leases,
            returned: found.returned.to_string(),
            requests_lost: found.lost,
            charges_in_doubt: found.in_doubt,
        })),
    }
}

/// The nodes of a seat, once none of them can admit any more; `None` as soon as one has spoken.
async fn silent_nodes(control: &Control, seat: SeatId) -> Result<Option<Vec<(NodeId, i64)>>, Refusal> {
    let mut silences = Silences::default();
    let mut is_first = true;
    loop {
        let asked_at = control.clock().now().monotonic;
        let mut nodes = control.store().list_nodes().await?;
        let answered_at = control.clock().now().monotonic;
        nodes.retain(|node| node.seat == seat);
        let counters = nodes.iter().map(NodeRow::counter).collect();
        let silent = silences.step(&Reading { asked_at, answered_at, nodes: counters });
        if !is_first && silent.len() < nodes.len() {
            return Ok(None);
        }
        is_first = false;
        let is_through = |node: &NodeRow| {
            let proved = limits::silence_of(node.validity);
            silent.iter().any(|silent| silent.id == node.id && silent.lasts >= proved)
        };
        if nodes.iter().all(is_through) {
            return Ok(Some(nodes.iter().map(|node| (node.id, node.renewals)).collect()));
        }
        tokio::time::sleep(LOOK).await;
    }
}
