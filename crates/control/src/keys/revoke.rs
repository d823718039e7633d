//! Revoke a key, for ever. Two doors: OpenAI's DELETE and our POST with a reason.
//!
//! Requests in flight finish and settle. Repeating is safe; only an upgrade to `compromised` acts again.

use super::outcome::{Denied, changed, require_own};
use super::rotate::who;
use super::{Confirmed, KeyObject, find, require_over};
use crate::authorize::Member;
use crate::body::{Fields, OptionalFields};
use crate::confirmation::{Met, narrowed};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::Action;
use claviger_domain::endpoint::Method;
use claviger_domain::key::{self, Key, RevocationReason};
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::Permission;
use claviger_storage::{Demand, KeyAct};
use serde::Serialize;

#[derive(Serialize)]
struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
    confirmation: Confirmation,
}

/// Why, in one of our words, and in the caller's own for the audit record.
pub(crate) fn why(fields: &mut Fields) -> Result<(Option<RevocationReason>, Option<String>), Refusal> {
    let expected = || Refusal::invalid("reason", "unused, replaced, member_left, compromised or other");
    let reason = match fields.text("reason")? {
        None => None,
        Some(text) => Some(RevocationReason::from_name(&text).ok_or_else(expected)?),
    };
    let note = fields.text("note")?;
    if note.as_ref().is_some_and(|note| note.chars().count() > 500) {
        return Err(Refusal::invalid("note", "at most 500 characters"));
    }
    Ok((reason, note))
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let (reason, note) = why(&mut fields)?;
    let reason = reason.unwrap_or(RevocationReason::Other);
    fields.finish(&[])?;
    let key = find(&call).await?;
    require_over(&call, &key).await?;
    require_own(&call.actor, Permission::KeysRevoke, &key)?;
    let (by, now) = (who(call.actor.attribution()), call.now.wall);
    let decide = move |key: &Key| Ok::<_, Denied>(key::revoke(key, reason, &by, now));
    let act = KeyAct { note, ..KeyAct::asking(Action::KeyDeleted, Demand::Permission(Permission::KeysRevoke)) };
    let store = call.control.store();
    let outcome = store.change_key(call.actor.scope(), key.id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let met = if reason == RevocationReason::Compromised { Met::leaked(key.id) } else { Some(key.id).into() };
    let confirmation = narrowed(&call, changed.epoch, met).await?;
    Ok(match call.matched.row.method {
        Method::Delete => Json(Deleted {
            object: "organization.project.api_key.deleted",
            id: key.id.to_string(),
            deleted: true,
            confirmation,
        })
        .into_response(),
        _ => Json(Confirmed { key: KeyObject::new(&changed.key, call.actor.lifetimes(), call.now.wall), confirmation })
            .into_response(),
    })
}
