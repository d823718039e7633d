//! Make an environment: owners and admins.

use super::EnvironmentObject;
use crate::authorize::Member;
use crate::body::Fields;
use crate::edited::of_naming;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::Name;

/// Members of the object that a body must not set.
pub(super) const READ_ONLY: &[&str] = &["id", "object", "created_at", "archived_at", "status", "version"];

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<EnvironmentObject>, Refusal> {
    query.finish()?;
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    fields.finish(READ_ONLY)?;
    let id = call.control.draw(|random| EnvironmentId::generate(call.now.wall, random));
    let store = call.control.store();
    let made = store.create_environment(call.actor.scope(), id, name.as_str(), call.actor.attribution()).await;
    let (environment, _epoch) = made.map_err(|cause| of_naming(cause, "name"))?;
    Ok(Json(EnvironmentObject::new(&environment)))
}
