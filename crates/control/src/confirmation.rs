//! The proof that a change of rights is in force on every node, as replies carry it (`keys.md` §6).
//!
//! Every act that takes rights away ends with [`narrowed`], every act that gives some with [`widened`]. Who is waited for,
//! and how that is known, is the running node's business. The proof of a narrowing is also recorded, behind the record of
//! the act; when that fails, a job writes it later, since the change itself is recorded and in force.

use crate::authorize::{Member, Operator, Signed, Visitor};
use crate::ports::Awaited;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::{Attribution, Confirmed, ConfirmedNode};
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

/// Proofs whose records could not be written and are tried again; beyond it the oldest is told in the log only.
const UNRECORDED: usize = 256;

/// A proof to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Unrecorded {
    /// What the act was about; `None` = what the epoch's event names.
    pub(crate) target: Option<String>,
    pub(crate) confirmed: Confirmed,
    pub(crate) by: Attribution,
}

/// Whoever acts.
pub(crate) trait Acts {
    /// For records.
    fn by(&self) -> &Attribution;
}

macro_rules! acts {
    ($($actor:ident),*) => {
        $(impl Acts for $actor {
            fn by(&self) -> &Attribution {
                self.attribution()
            }
        })*
    };
}

acts!(Member, Operator, Signed, Visitor);

/// Whose running requests a narrowing meets, and whether it ends their streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    key: Option<KeyId>,
    is_cut: bool,
}

impl Met {
    /// A key that leaked: its streams are cut.
    pub(crate) const fn leaked(key: KeyId) -> Self {
        Self { key: Some(key), is_cut: true }
    }
}

impl From<Option<KeyId>> for Met {
    fn from(key: Option<KeyId>) -> Self {
        Self { key, is_cut: false }
    }
}

/// Waits until nobody admits by the old rights any more. With `Prefer: respond-async` for two seconds at most: then the
/// answer is 202 and names the nodes that are waited for. `met` is the key whose running requests are counted.
///
/// # Errors
/// 503 `revocation_pending` when the proof does not come: the change is written, repeating the request is safe and asks
/// for the proof again. The 202 comes this way too.
pub(crate) async fn narrowed<A: Acts>(
    call: &Call<A>,
    epoch: Epoch,
    met: impl Into<Met>,
) -> Result<Confirmation, Refusal> {
    let met = met.into();
    let rights = call.control.rights();
    let patience = if call.is_async { limits::CONFIRM_ASYNC } else { rights.patience().max(limits::EPOCH_APPLIED) };
    match rights.confirmed(epoch, patience).await {
        Awaited::Confirmed(nodes) => {
            let proof = proof(call, epoch, met, nodes);
            let target = met.key.map(|key| key.to_string());
            let target = target.or_else(|| call.matched.last_captured().map(str::to_owned));
            record(call, target, &proof).await;
            Ok(proof)
        }
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
    proof(call, epoch, None.into(), nodes)
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
        Awaited::Confirmed(nodes) => {
            let proof = proof(&call, epoch, None.into(), nodes);
            record(&call, None, &proof).await;
            Json(proof).into_response()
        }
        Awaited::Pending(nodes) => pending(&call, epoch, nodes),
        Awaited::Lost => return Err(Code::RevocationPending.into()),
    })
}

fn proof<A>(call: &Call<A>, epoch: Epoch, met: Met, nodes: Vec<NodeConfirmation>) -> Confirmation {
    let took = call.control.clock().now().monotonic.since(call.now.monotonic);
    Confirmation {
        epoch,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        nodes,
        running_here: met.key.map_or(0, |key| call.control.rights().running(key)),
        cut: met.is_cut,
    }
}

/// Writes the proof behind the record of the act.
async fn record<A: Acts>(call: &Call<A>, target: Option<String>, proof: &Confirmation) {
    let unrecorded = Unrecorded { target, confirmed: recorded(proof), by: call.actor.by().clone() };
    if let Err(error) = write(&call.control, &unrecorded).await {
        tracing::warn!(%error, epoch = proof.epoch.0, "a confirmation could not be recorded; it is tried again");
        keep(&call.control, unrecorded);
    }
}

async fn write(control: &Control, proof: &Unrecorded) -> Result<bool, claviger_storage::Error> {
    let Unrecorded { target, confirmed, by } = proof;
    control.store().record_confirmation(target.clone(), confirmed.clone(), by).await
}

fn keep(control: &Control, proof: Unrecorded) {
    let mut waiting = control.unrecorded().lock();
    waiting.push_back(proof);
    if waiting.len() > UNRECORDED
        && let Some(lost) = waiting.pop_front()
    {
        tracing::error!(confirmed = ?lost.confirmed, "too many confirmations wait to be recorded; this one is not");
    }
}

/// Writes proofs whose records failed before; how many.
///
/// # Errors
/// Those of writing; what is left is kept.
pub(crate) async fn catch_up(control: &Control) -> Result<u64, claviger_storage::Error> {
    let mut done = 0;
    loop {
        let Some(proof) = control.unrecorded().lock().pop_front() else { return Ok(done) };
        if let Err(error) = write(control, &proof).await {
            control.unrecorded().lock().push_front(proof);
            return Err(error);
        }
        done += 1;
    }
}

fn recorded(proof: &Confirmation) -> Confirmed {
    let node = |node: &NodeConfirmation| ConfirmedNode {
        how: node.how.name().to_owned(),
        id: node.id.to_string(),
        ms: node.ms,
    };
    Confirmed {
        cut: proof.cut,
        epoch: proof.epoch.0,
        nodes: proof.nodes.iter().map(node).collect(),
        running_here: proof.running_here,
        took_ms: proof.took_ms,
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
