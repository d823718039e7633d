//! Revoke a key, for ever. Two doors: OpenAI's DELETE and our POST with a reason.
//!
//! Requests in flight finish and settle. Repeating is safe; only an upgrade to `compromised` acts again.

use super::{Confirmed, KeyObject, find, require_for};
use crate::authorize::Member;
use crate::body::OptionalFields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::endpoint::Method;
use claviger_domain::key::RevocationReason;
use claviger_domain::revocation::Confirmation;
use serde::Serialize;

#[derive(Serialize)]
struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
    confirmation: Confirmation,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let reason = match fields.text("reason")? {
        None => RevocationReason::Other,
        Some(text) => RevocationReason::from_name(&text)
            .ok_or_else(|| Refusal::invalid("reason", "unused, replaced, member_left, compromised or other"))?,
    };
    fields.finish(&[])?;
    let key = find(&call).await?;
    require_for(&call.actor, key.class)?;
    let changed = call
        .control
        .store()
        .revoke_key(call.actor.scope(), key.id, reason, call.actor.attribution())
        .await
        .map_err(Refusal::of_write)?
        .ok_or_else(Refusal::not_found)?;
    let confirmation = narrowed(&call, changed.epoch, Some(key.id)).await?;
    Ok(match call.matched.row.method {
        Method::Delete => Json(Deleted {
            object: "organization.project.api_key.deleted",
            id: key.id.to_string(),
            deleted: true,
            confirmation,
        })
        .into_response(),
        _ => Json(Confirmed { key: KeyObject::new(&changed.key, call.now.wall), confirmation }).into_response(),
    })
}
