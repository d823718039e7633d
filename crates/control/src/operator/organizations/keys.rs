//! Disable or revoke any key of any organization: the operator, who says why. Reading or making keys is not theirs.

use super::{found, reason};
use crate::authorize::Operator;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::keys::outcome::{Denied, changed};
use crate::keys::rotate::who;
use crate::keys::{Confirmed, KeyObject};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Action;
use claviger_domain::id::KeyId;
use claviger_domain::key::{self, Key, RevocationReason};
use claviger_domain::tenancy::TenantScope;
use claviger_storage::KeyAct;

pub(crate) async fn disable(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    let (by, now) = (who(call.actor.attribution()), call.now.wall);
    let decide = move |key: &Key| key::disable(key, None, &by, now).map_err(Denied::from);
    run(&call, query, fields, Action::KeyDisabled, decide).await
}

pub(crate) async fn revoke(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    let (by, now) = (who(call.actor.attribution()), call.now.wall);
    let decide = move |key: &Key| Ok(key::revoke(key, RevocationReason::Other, &by, now));
    run(&call, query, fields, Action::KeyDeleted, decide).await
}

/// Acts on the key of the path, if it is one of the organization of the path; the reason stands in that organization's
/// record.
async fn run(
    call: &Call<Operator>,
    query: Query,
    mut fields: Fields,
    action: Action,
    decide: impl Fn(&Key) -> Result<Option<Key>, Denied> + Send + 'static,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    let organization = found(call).await?;
    let scope = TenantScope(organization.id);
    let id: KeyId = call.id("key")?;
    call.control.store().find_key(scope, id).await?.ok_or_else(Refusal::not_found)?;
    let note = Some(reason(&mut fields)?);
    fields.finish(&[])?;
    let act = KeyAct { note, ..KeyAct::from(action) };
    let outcome = call.control.store().change_key(scope, id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let confirmation = narrowed(call, changed.epoch, Some(id)).await?;
    Ok(Json(Confirmed {
        key: KeyObject::new(&changed.key, &organization.policy.lifetimes, call.now.wall),
        confirmation,
    }))
}
