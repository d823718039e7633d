//! End an agent, for ever: owners and admins. Its keys are revoked with it.

use super::found;
use crate::authorize::Member;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::revocation::Confirmation;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
    confirmation: Confirmation,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    let agent = found(&call).await?;
    let ended = call.control.store().end_agent(call.actor.scope(), agent.id, call.actor.attribution()).await;
    let epoch = ended.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    let confirmation = narrowed(&call, epoch, None).await?;
    Ok(Json(Deleted {
        object: "organization.project.service_account.deleted",
        id: agent.id.to_string(),
        deleted: true,
        confirmation,
    }))
}
