//! Rename an environment: owners and admins.

use super::EnvironmentObject;
use super::create::READ_ONLY;
use crate::authorize::Member;
use crate::body::Fields;
use crate::edited::{IfMatch, of_naming, settle};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::key::Name;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<EnvironmentObject>, Refusal> {
    query.finish()?;
    let id = call.id("project")?;
    let store = call.control.store();
    // Found first: what is wrong with the body is told to those only who may know the object.
    store.find_environment(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)?;
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    fields.finish(READ_ONLY)?;
    let by = call.actor.attribution();
    let edited = store.rename_environment(call.actor.scope(), id, name.as_str(), version, by).await;
    let edited = edited.map_err(|cause| of_naming(cause, "name"))?;
    let (environment, _epoch) = settle(edited, Code::EnvironmentArchived)?;
    Ok(Json(EnvironmentObject::new(&environment)))
}
