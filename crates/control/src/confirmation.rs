//! The proof that a change of rights is in force on every node, as replies carry it (`keys.md` §6).
//!
//! Every act that takes rights away ends with [`narrowed`], every act that gives some with [`widened`]. Who is waited for,
//! and how that is known, is the running node's business.

use crate::authorize::Member;
use crate::ports::Awaited;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::error::Code;
use claviger_domain::id::{KeyId, NodeId};
use claviger_domain::limits;
use claviger_domain::revocation::{Confirmation, Epoch, NodeConfirmation};
use http::StatusCode;
use serde::Serialize;
use std::time::Duration;

/// Nodes that have not answered yet: not the promise.
#[derive(Serialize)]
struct Pending {
    object: &'static str,
    epoch: i64,
    pending: Vec<String>,
    url: String,
}

/// Waits until nobody admits by the old rights any more. With `Prefer: respond-async` for two seconds at most: then the
/// answer is 202 and names the nodes that are waited for. `key` is the key whose running requests are counted.
///
/// # Errors
/// 503 `revocation_pending` when the proof does not come: the change is written, repeating the request is safe and asks
/// for the proof again. The 202 comes this way too.
pub(crate) async fn narrowed<A>(call: &Call<A>, epoch: Epoch, key: Option<KeyId>) -> Result<Confirmation, Refusal> {
    let rights = call.control.rights();
    let patience = if call.is_async { limits::CONFIRM_ASYNC } else { rights.patience().max(limits::EPOCH_APPLIED) };
    match rights.confirmed(epoch, patience).await {
        Awaited::Confirmed(nodes) => Ok(proof(call, epoch, key, nodes)),
        Awaited::Pending(nodes) if call.is_async => Err(Refusal::not_yet(pending(call, epoch, nodes))),
        Awaited::Pending(_) | Awaited::Lost => Err(Code::RevocationPending.into()),
    }
}

/// Waits, a second at most, until a new right can be used everywhere; not knowing is no failure here.
pub(crate) async fn widened<A>(call: &Call<A>, epoch: Epoch) -> Confirmation {
    let nodes = match call.control.rights().confirmed(epoch, limits::EPOCH_APPLIED).await {
        Awaited::Confirmed(nodes) => nodes,
        Awaited::Pending(_) | Awaited::Lost => Vec::new(),
    };
    proof(call, epoch, None, nodes)
}

/// `GET /v1/organization/confirmations/{epoch}?wait=`: the proof of a change made before.
pub(crate) async fn handler(State(call): State<Call<Member>>, mut query: Query) -> Result<Response, Refusal> {
    let wait = match query.integer("wait")? {
        None => Duration::ZERO,
        Some(seconds) => {
            let wait = u64::try_from(seconds).ok().map(Duration::from_secs);
            wait.filter(|wait| *wait <= limits::CONFIRM_WAIT)
                .ok_or_else(|| Refusal::invalid("wait", "whole seconds from 0 to 30"))?
        }
    };
    query.finish()?;
    let epoch = Epoch(call.id("epoch")?);
    if !call.control.store().has_epoch(call.actor.scope(), epoch).await? {
        return Err(Refusal::not_found());
    }
    // Even without waiting one reading is taken.
    Ok(match call.control.rights().confirmed(epoch, wait.max(limits::EPOCH_APPLIED)).await {
        Awaited::Confirmed(nodes) => Json(proof(&call, epoch, None, nodes)).into_response(),
        Awaited::Pending(nodes) => pending(&call, epoch, nodes),
        Awaited::Lost => return Err(Code::RevocationPending.into()),
    })
}

fn proof<A>(call: &Call<A>, epoch: Epoch, key: Option<KeyId>, nodes: Vec<NodeConfirmation>) -> Confirmation {
    let took = call.control.clock().now().monotonic.since(call.now.monotonic);
    Confirmation {
        epoch,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        nodes,
        running_here: key.map_or(0, |key| call.control.rights().running(key)),
        cut: false,
    }
}

fn pending<A>(call: &Call<A>, epoch: Epoch, nodes: Vec<NodeId>) -> Response {
    let body = Pending {
        object: "confirmation.pending",
        epoch: epoch.0,
        pending: nodes.iter().map(NodeId::to_string).collect(),
        url: format!("{}/v1/organization/confirmations/{}", call.control.settings().public_url, epoch.0),
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
