//! End a registry: owners and admins.

use super::{require_within_reach, seen};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::RegistryId;
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
    let id: RegistryId = call.id("registry")?;
    require_within_reach(&call, seen(&call, id).await?.environment)?;
    let deleted = call.control.store().delete_registry(call.actor.scope(), id, call.actor.attribution()).await;
    let deleted = deleted.map_err(|cause| match cause {
        Error::Conflict(_) => Code::RegistryInUse.into(),
        other => Refusal::of_write(other),
    });
    deleted?.ok_or_else(Refusal::not_found)?;
    Ok(Json(Deleted { object: "organization.registry.deleted", id: id.to_string(), deleted: true }))
}
