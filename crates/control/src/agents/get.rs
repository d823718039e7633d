//! Read one agent: every role.

use super::{AgentObject, found};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<AgentObject>, Refusal> {
    query.finish()?;
    Ok(Json(AgentObject::new(&found(&call).await?)))
}
