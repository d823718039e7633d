//! Make a person an operator or not, switch them off or on, make them an owner, end their sessions: the operator.

use super::{UserObject, find};
use crate::authorize::Operator;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::person::UserState;
use claviger_domain::person::session::SessionEnd;
use claviger_domain::tenancy::TenantScope;
use claviger_storage::UserChange;

/// `{operator?, state?}`.
pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<UserObject>, Refusal> {
    query.finish()?;
    let operator = if fields.has("operator") { Some(fields.flag("operator")?) } else { None };
    let state = fields
        .text("state")?
        .map(|text| UserState::from_name(&text).ok_or_else(|| Refusal::invalid("state", "'active' or 'disabled'")));
    let state = state.transpose()?;
    fields.finish(&["id", "email"])?;
    if operator == Some(true) {
        call.actor.require_fresh()?;
    }
    let mut user = find(&call).await?;
    let changes = operator.map(UserChange::Operator).into_iter().chain(state.map(UserChange::State));
    for change in changes {
        let changed = call.control.store().change_user(user.id, change, call.actor.attribution()).await;
        user = changed.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    }
    Ok(Json(UserObject::new(&user)))
}

/// `{organization}`: by slug.
pub(crate) async fn make_owner(
    State(call): State<Call<Operator>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<UserObject>, Refusal> {
    query.finish()?;
    call.actor.require_here("claviger users make-owner")?;
    let slug = fields.required_text("organization")?;
    fields.finish(&[])?;
    let user = find(&call).await?;
    let store = call.control.store();
    let organization = match slug.parse() {
        Ok(id) => store.find_organization(id).await?,
        Err(_) => store.find_organization_by_slug(&slug).await?,
    };
    let scope = TenantScope(organization.ok_or_else(Refusal::not_found)?.id);
    store.make_owner(scope, user.id, call.actor.attribution()).await.map_err(Refusal::of_write)?;
    Ok(Json(UserObject::new(&user)))
}

/// Ends every session of a person.
pub(crate) async fn end_sessions(
    State(call): State<Call<Operator>>,
    query: Query,
) -> Result<Json<UserObject>, Refusal> {
    query.finish()?;
    let user = find(&call).await?;
    let ended = call.control.store().end_sessions(user.id, None, SessionEnd::Ended, call.actor.attribution());
    ended.await.map_err(Refusal::of_write)?;
    Ok(Json(UserObject::new(&user)))
}
