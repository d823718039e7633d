//! Make a key that an agent owns: whoever may make keys that are not their own.

use super::create::{AgentKeyObject, owned, tag, tag_of, unmade};
use super::found;
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::keys::writable::expiry;
use crate::once::{Idempotency, Running, replayed};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::error::Code;
use claviger_domain::key::{Name, Owner};
use claviger_domain::right::Permission;
use claviger_storage::{CreateKeyOutcome, Demand};

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once = idempotency.of(&call, &fields);
    let agent = found(&call).await?;
    call.actor.require_own(Permission::KeysCreate, false)?;
    // OpenAI's clients need not name it: then it is called like its agent.
    let name = fields.text("name")?.unwrap_or_else(|| agent.name.clone());
    let name = Name::parse(&name).map_err(|code| Refusal::from(code).about("name"))?;
    let expires_at = expiry(&mut fields, call.now)?.or_none();
    let source_tag = tag(&mut fields)?;
    fields.finish(&["id", "object", "value", "created_at"])?;
    if agent.ended_at.is_some() {
        return Err(Code::AgentEnded.into());
    }
    let source_tag = source_tag.or_else(|| tag_of(&call, &agent.name));
    let (minted, new) = owned(&call, (Owner::Agent(agent.id), agent.environment), name, source_tag, expires_at)?;
    let _running = Running::begin(&call.control, once.as_ref())?;
    let demand = Demand::to_make(new.class);
    let made =
        call.control.store().create_key_once(call.actor.scope(), new, once, demand, call.actor.attribution()).await;
    match made.map_err(Refusal::of_write)? {
        CreateKeyOutcome::Created { key, epoch } => {
            widened(&call, epoch).await;
            Ok(Json(AgentKeyObject::new(&key, &minted)).into_response())
        }
        CreateKeyOutcome::Repeated { key } => Ok(replayed(Json(AgentKeyObject::again(&key)))),
        CreateKeyOutcome::OtherBody => Err(Code::IdempotencyKeyReused.into()),
        refused => Err(unmade(&refused)),
    }
}
