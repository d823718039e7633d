//! A chain to take along: JSON lines, from the first record to a signed checkpoint (`keys.md` §9).
//!
//! Every page ends either with `{"next_after_seq":N}`, to be asked again with that number, or with the checkpoint's line.
//! Only records that a checkpoint speaks of are given, so what was exported can always be verified to its end. The export
//! itself is recorded first, and stands in it; by a session it needs a fresh sign-in.

use crate::audit::checkpoints;
use crate::authorize::{Member, Operator};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use claviger_domain::audit::{Action, Attribution, Chain, proof_line, record_line};
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_domain::time::Now;
use claviger_storage::AuditEvent;
use http::header;
use serde_json::json;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Response, Refusal> {
    call.actor.require_fresh()?;
    let chain = Chain::Organization(call.actor.scope().0);
    export(&call.control, chain, query, call.actor.attribution(), call.now).await
}

/// The instance's own chain: the operator.
pub(crate) async fn of_instance(State(call): State<Call<Operator>>, query: Query) -> Result<Response, Refusal> {
    call.actor.require_fresh()?;
    export(&call.control, Chain::Instance, query, call.actor.attribution(), call.now).await
}

async fn export(
    control: &Control,
    chain: Chain,
    mut query: Query,
    by: &Attribution,
    now: Now,
) -> Result<Response, Refusal> {
    let after = query.integer("after_seq")?.unwrap_or(0);
    if after < 0 {
        return Err(Refusal::invalid("after_seq", "the number of a record, or 0"));
    }
    query.finish()?;
    let store = control.store();
    if after == 0 {
        let event = AuditEvent::done(Action::AuditExported, chain.to_string(), Vec::new());
        store.record_event(chain, event, by).await.map_err(Refusal::of_write)?;
    }
    checkpoints::sign(control, now).await.map_err(Refusal::of_write)?;
    let missing = || Refusal::from(Code::ServiceUnavailable);
    let checkpoint = store.find_checkpoint_of(chain).await?.ok_or_else(missing)?;
    let (head, _) = checkpoint.path(chain).ok_or_else(missing)?;
    let entries = store.export_audit(chain, after, head.sequence, limits::EXPORT_RECORDS).await?;
    let mut text = String::new();
    let mut last = after;
    for entry in &entries {
        text.push_str(&record_line(&entry.body, &entry.hash, &entry.personal).ok_or(Code::InternalError)?);
        text.push('\n');
        last = entry.record.sequence;
    }
    let end = if last >= head.sequence || entries.is_empty() {
        proof_line(&checkpoint, chain).ok_or(Code::InternalError)?
    } else {
        json!({ "next_after_seq": last }).to_string()
    };
    text.push_str(&end);
    text.push('\n');
    let response = Response::builder().header(header::CONTENT_TYPE, "application/jsonl");
    response.body(Body::from(text)).map_err(|_| Code::InternalError.into())
}
