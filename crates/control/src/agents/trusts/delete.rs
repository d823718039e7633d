//! End a trust: owners and admins. The keys that came from it are revoked with it.

use super::super::found;
use crate::authorize::Member;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::TrustId;
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
    let (agent, id) = (found(&call).await?, call.id::<TrustId>("trust")?);
    let (store, scope) = (call.control.store(), call.actor.scope());
    let trust = store.find_trust(scope, id).await?.filter(|trust| trust.agent == agent.id);
    let trust = trust.ok_or_else(Refusal::not_found)?;
    let ended = store.delete_trust(scope, trust.id, call.actor.attribution()).await;
    let epoch = ended.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    let confirmation = narrowed(&call, epoch, None).await?;
    Ok(Json(Deleted {
        object: "organization.project.service_account.trust.deleted",
        id: trust.id.to_string(),
        deleted: true,
        confirmation,
    }))
}
