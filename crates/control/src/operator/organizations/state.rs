//! Suspend, resume, close an organization: the operator, who says why.

use super::{found, reason};
use crate::authorize::Operator;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::edited::settle;
use crate::organization::OrganizationObject;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::revocation::Confirmation;
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_storage::OrganizationEdit;
use serde::Serialize;

/// An organization after a change of its state, and the proof that it is in force.
#[derive(Serialize)]
pub(crate) struct Moved {
    #[serde(flatten)]
    organization: OrganizationObject,
    confirmation: Confirmation,
}

pub(crate) async fn suspend(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Moved>, Refusal> {
    run(call, query, fields, OrganizationState::Suspended).await
}

pub(crate) async fn resume(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Moved>, Refusal> {
    run(call, query, fields, OrganizationState::Active).await
}

pub(crate) async fn close(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Moved>, Refusal> {
    run(call, query, fields, OrganizationState::Closed).await
}

async fn run(
    call: Call<Operator>,
    query: Query,
    mut fields: Fields,
    next: OrganizationState,
) -> Result<Json<Moved>, Refusal> {
    query.finish()?;
    if next == OrganizationState::Closed {
        // For ever, so whoever found a browser open does not do it.
        call.actor.require_fresh()?;
    }
    let id = found(&call).await?.id;
    let reason = reason(&mut fields)?;
    fields.finish(&[])?;
    let edit = OrganizationEdit { state: Some((next, Some(reason))), ..OrganizationEdit::default() };
    let store = call.control.store();
    let edited = store.update_organization(id, edit, None, call.actor.attribution()).await;
    let (organization, epoch) = settle(edited.map_err(Refusal::of_write)?, Code::OrganizationClosed)?;
    let confirmation = narrowed(&call, epoch, None).await?;
    let live = store.count_live_keys(TenantScope(id), call.now.wall).await?;
    Ok(Json(Moved { organization: OrganizationObject::new(&organization, live), confirmation }))
}
