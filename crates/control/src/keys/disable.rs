//! Disable a key, reversibly. Requests in flight finish.

use super::{Confirmed, KeyObject, find, require_for};
use crate::authorize::Member;
use crate::body::OptionalFields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    OptionalFields(fields): OptionalFields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    fields.finish(&[])?;
    let key = find(&call).await?;
    require_for(&call.actor, key.class)?;
    let store = call.control.store();
    let outcome = store.disable_key(call.actor.scope(), key.id, call.actor.attribution()).await;
    let changed = outcome.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    let changed = changed.map_err(|_refused| Code::KeyIsRevoked)?;
    let confirmation = narrowed(&call, changed.epoch, Some(key.id)).await?;
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.now.wall), confirmation }))
}
