//! Change an agent's name or role: owners and admins. Nobody gives a role beyond their own.

use super::{AgentObject, READ_ONLY, found, role};
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

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<AgentObject>, Refusal> {
    query.finish()?;
    let agent = found(&call).await?;
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?.map(|name| name.as_str().to_owned());
    let role = role(&mut fields, &call.actor)?;
    fields.finish(READ_ONLY)?;
    let (store, by) = (call.control.store(), call.actor.attribution());
    let edited = store.update_agent(call.actor.scope(), agent.id, name, role, version, by).await;
    let (agent, _epoch) = settle(edited.map_err(Refusal::of_write)?, Code::AgentEnded)?;
    Ok(Json(AgentObject::new(&agent)))
}
