//! Close the organization, for ever: owners, who name it once more after a fresh sign-in. Nothing is deleted; no key of it works any more.

use super::OrganizationObject;
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::edited::settle;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::revocation::Confirmation;
use claviger_domain::tenancy::OrganizationState;
use claviger_storage::OrganizationEdit;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Closed {
    #[serde(flatten)]
    organization: OrganizationObject,
    confirmation: Confirmation,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Closed>, Refusal> {
    query.finish()?;
    call.actor.require_fresh()?;
    let named = fields.required_text("slug")?;
    let reason = fields.text("reason")?;
    fields.finish(&[])?;
    if named != call.actor.organization().slug {
        return Err(Refusal::invalid("slug", "the slug of this organization, to show that it is the one meant"));
    }
    let edit = OrganizationEdit { state: Some((OrganizationState::Closed, reason)), ..OrganizationEdit::default() };
    let store = call.control.store();
    let edited = store.update_organization(call.actor.scope().0, edit, None, call.actor.attribution()).await;
    let (organization, epoch) = settle(edited.map_err(Refusal::of_write)?, Code::OrganizationClosed)?;
    let confirmation = narrowed(&call, epoch, None).await?;
    let live = store.count_live_keys(call.actor.scope(), call.now.wall).await?;
    Ok(Json(Closed { organization: OrganizationObject::new(&organization, live), confirmation }))
}
