//! Read one environment: every role.

use super::EnvironmentObject;
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
) -> Result<Json<EnvironmentObject>, Refusal> {
    query.finish()?;
    let id = call.id("project")?;
    let found = call.control.store().find_environment(call.actor.scope(), id).await?;
    Ok(Json(EnvironmentObject::new(&found.ok_or_else(Refusal::not_found)?)))
}
