//! List the agents of an environment: every role.

use super::{AgentObject, environment};
use crate::authorize::Member;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<List<AgentObject>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let id = environment(&call).await?.id;
    let found = call.control.store().page_agents(call.actor.scope(), Some(id), &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |row| row.id.to_string(), AgentObject::new)))
}
