//! Disable or revoke any key of any organization: the operator, who says why. Reading or making keys is not theirs.

use super::{found, reason};
use crate::authorize::Operator;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::keys::{Confirmed, KeyObject};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::KeyId;
use claviger_domain::key::RevocationReason;
use claviger_domain::tenancy::TenantScope;

pub(crate) async fn disable(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    let (scope, id) = read(&call, query, fields).await?;
    let outcome = call.control.store().disable_key(scope, id, call.actor.attribution()).await;
    let changed = outcome.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    let changed = changed.map_err(|_refused| Code::KeyIsRevoked)?;
    let confirmation = narrowed(&call, changed.epoch, Some(id)).await?;
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.now.wall), confirmation }))
}

pub(crate) async fn revoke(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    let (scope, id) = read(&call, query, fields).await?;
    let reason = RevocationReason::Other;
    let outcome = call.control.store().revoke_key(scope, id, reason, call.actor.attribution()).await;
    let changed = outcome.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    let confirmation = narrowed(&call, changed.epoch, Some(id)).await?;
    Ok(Json(Confirmed { key: KeyObject::new(&changed.key, call.now.wall), confirmation }))
}

/// The key of the path, if it is one of the organization of the path, and a reason.
async fn read(call: &Call<Operator>, query: Query, mut fields: Fields) -> Result<(TenantScope, KeyId), Refusal> {
    query.finish()?;
    let scope = TenantScope(found(call).await?.id);
    let id: KeyId = call.id("key")?;
    call.control.store().find_key(scope, id).await?.ok_or_else(Refusal::not_found)?;
    reason(&mut fields)?;
    fields.finish(&[])?;
    Ok((scope, id))
}
