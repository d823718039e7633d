//! End the secret that is presented, by whoever holds it: in any state, class, from any address (`keys.md` §4).
//!
//! It ends as compromised, so its streams are cut; if none lives on, the key is revoked. Its owners are told. Bait is as unknown here as
//! everywhere.

use crate::authenticate::{incorrect, presented_text};
use crate::authorize::Visitor;
use crate::body::OptionalFields;
use crate::confirmation::{Met, narrowed};
use crate::leaks::alarms;
use crate::presented::{self, UNKNOWN};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::notice::NoticeKind;
use claviger_domain::revocation::Confirmation;
use claviger_domain::tenancy::TenantScope;
use http::HeaderMap;

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    headers: HeaderMap,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<Confirmation>, Refusal> {
    query.finish()?;
    let text = presented_text(&headers)?;
    let found = presented::find(&call.control, text).await?;
    let prefixes = &call.control.settings().prefixes;
    let found = found.map_err(|sentence| incorrect(text, prefixes, &sentence))?;
    let (id, scope) = (found.key.id, TenantScope(found.organization.id));
    let visitor = call.actor.attribution();
    if found.key.is_canary {
        alarms::raise(&call.control, NoticeKind::CanaryHit, &found.key, call.matched.row.path, visitor.clone());
        return Err(incorrect(text, prefixes, UNKNOWN));
    }
    // The holder is known by now: whatever else is wrong may be told.
    let note = fields.text("reason")?;
    if note.as_ref().is_some_and(|note| note.chars().count() > 500) {
        return Err(Refusal::invalid("reason", "at most 500 characters"));
    }
    fields.finish(&[])?;
    let by = Attribution { actor: Actor::Key(id.to_string()), credential: id.to_string(), ..visitor.clone() };
    let secret = (id, found.secret.id);
    let changed = call.control.store().revoke_by_possession(scope, secret, note, &by).await;
    let changed = changed.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    Ok(Json(narrowed(&call, changed.epoch, Met::leaked(id)).await?))
}
