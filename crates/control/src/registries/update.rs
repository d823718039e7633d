//! Rename a registry, take it in and out of use: owners and admins. Its slug is part of model ids and stays.

use super::{RegistryObject, require_within_reach, seen};
use crate::authorize::Member;
use crate::body::Fields;
use crate::edited::{IfMatch, settle};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::key::Name;
use claviger_domain::tenancy::RegistryState;

const READ_ONLY: &[&str] = &["id", "object", "prefix", "slug", "environment_id", "created_at", "version"];

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<RegistryObject>, Refusal> {
    query.finish()?;
    let id = call.id("registry")?;
    let store = call.control.store();
    require_within_reach(&call, seen(&call, id).await?.environment)?;
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?.map(|name| name.as_str().to_owned());
    let state = fields
        .text("state")?
        .map(|text| RegistryState::from_name(&text).ok_or_else(|| Refusal::invalid("state", "'active' or 'disabled'")));
    let state = state.transpose()?;
    fields.finish(READ_ONLY)?;
    let edited = store.update_registry(call.actor.scope(), id, name, state, version, call.actor.attribution()).await;
    let (registry, _epoch) = settle(edited.map_err(Refusal::of_write)?, Code::NotFound)?;
    Ok(Json(RegistryObject::new(&registry)))
}
