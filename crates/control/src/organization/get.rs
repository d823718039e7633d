//! Read the organization: every role.

use super::OrganizationObject;
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
) -> Result<Json<OrganizationObject>, Refusal> {
    query.finish()?;
    let live = call.control.store().count_live_keys(call.actor.scope(), call.now.wall).await?;
    Ok(Json(OrganizationObject::new(call.actor.organization(), live)))
}
