//! Read what the organization asks of its keys: every role.

use super::PolicyObject;
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<PolicyObject>, Refusal> {
    query.finish()?;
    let organization = call.actor.organization();
    Ok(Json(PolicyObject::new(&organization.policy, organization.version)))
}
