//! End a provider: owners and admins. Requests that run finish; one that works on tasks stays until they end.

use super::find;
use crate::authorize::Member;
use crate::confirmation::widened;
use crate::query::Query;
use crate::registries::require_within_reach;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_storage::Error;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    let (provider, shown_by) = find(&call).await?;
    require_within_reach(&call, shown_by.environment)?;
    let deleted = call.control.store().delete_provider(call.actor.scope(), provider.id, call.actor.attribution()).await;
    let deleted = deleted.map_err(|error| match error {
        Error::Conflict(_) => Code::ProviderInUse.into(),
        error => Refusal::of_write(error),
    });
    let epoch = deleted?.ok_or_else(Refusal::not_found)?;
    widened(&call, epoch).await;
    Ok(Json(Deleted { object: "organization.provider.deleted", id: provider.id.to_string(), deleted: true }))
}
