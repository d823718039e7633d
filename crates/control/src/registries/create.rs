//! Make a registry: owners and admins.

use super::{READ_ONLY, RegistryObject, require_within_reach};
use crate::authorize::Member;
use crate::body::Fields;
use crate::edited::of_naming;
use crate::organization::update::slug;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::RegistryId;
use claviger_domain::key::Name;
use claviger_domain::tenancy::slug_of;
use claviger_storage::NewRegistry;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<RegistryObject>, Refusal> {
    query.finish()?;
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    let slug = slug(&mut fields)?.unwrap_or_else(|| slug_of(name.as_str()));
    let environment = match fields.text("environment_id")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::not_found())?),
    };
    fields.finish(READ_ONLY)?;
    require_within_reach(&call, environment)?;
    if call.control.rights().catalog().is_some_and(|catalog| catalog.has_segment(&slug)) {
        let message = format!("Model ids of this service begin with `{slug}`: it cannot be a slug.");
        return Err(Refusal::because(Code::NameTaken, message).about("slug"));
    }
    let id = call.control.draw(|random| RegistryId::generate(call.now.wall, random));
    let new = NewRegistry { id, environment, name: name.as_str().to_owned(), slug };
    let made = call.control.store().create_registry(call.actor.scope(), new, call.actor.attribution()).await;
    let made = made.map_err(|cause| of_naming(cause, "slug"))?;
    let (registry, _epoch) = made.ok_or_else(Refusal::not_found)?;
    Ok(Json(RegistryObject::new(&registry)))
}
