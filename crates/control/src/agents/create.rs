//! Make an agent: owners and admins; with its first key, if the caller may make keys.

use super::{AgentObject, READ_ONLY, environment, role};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::keys::create::{Ask, mint};
use crate::keys::outcome::limit_reached;
use crate::keys::writable::expiry;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::{AgentId, EnvironmentId};
use claviger_domain::key::{Class, Key, MintedKey, Name, NewKey, Owner};
use claviger_domain::right::Permission;
use claviger_domain::rights::Rights;
use claviger_domain::time::Timestamp;
use claviger_storage::{CreateAgentOutcome, CreateKeyOutcome, NewAgent};
use serde::Serialize;

/// An agent, and its first key.
#[derive(Serialize)]
pub(crate) struct Reply {
    #[serde(flatten)]
    agent: AgentObject,
    api_key: Option<AgentKeyObject>,
}

/// `organization.project.service_account.api_key`: the only reply that holds its text.
#[derive(Serialize)]
pub(crate) struct AgentKeyObject {
    object: &'static str,
    id: String,
    name: String,
    value: String,
    created_at: i64,
    expires_at: Option<i64>,
}

impl AgentKeyObject {
    /// The object of a key just made.
    pub(super) fn new(key: &Key, minted: &MintedKey) -> Self {
        Self {
            object: "organization.project.service_account.api_key",
            id: key.id.to_string(),
            name: key.name.clone(),
            value: minted.text.expose().clone(),
            created_at: key.created_at.seconds(),
            expires_at: key.expires_at.map(|at| at.seconds()),
        }
    }
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Reply>, Refusal> {
    query.finish()?;
    let environment = environment(&call).await?.id;
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    let role = role(&mut fields, &call.actor)?.flatten();
    let is_alone = fields.flag("create_service_account_only")?;
    let expires_at = expiry(&mut fields, call.now)?.or_none();
    fields.finish(READ_ONLY)?;
    if is_alone && expires_at.is_some() {
        return Err(Refusal::invalid("expires_in_seconds", "nothing where no key is made"));
    }
    let id = call.control.draw(|random| AgentId::generate(call.now.wall, random));
    let first = if is_alone {
        None
    } else {
        // The key is the agent's, not the caller's own.
        call.actor.require_own(Permission::KeysCreate, false)?;
        Some(owned(&call, Owner::Agent(id), environment, name.clone(), expires_at)?)
    };
    let (minted, key) = first.unzip();
    let new = NewAgent { id, environment, name: name.as_str().to_owned(), role, key };
    let outcome = call.control.store().create_agent(call.actor.scope(), new, call.actor.attribution()).await;
    match outcome.map_err(Refusal::of_write)? {
        CreateAgentOutcome::Created(agent, key, epoch) => {
            widened(&call, epoch).await;
            let api_key = key.zip(minted).map(|(key, minted)| AgentKeyObject::new(&key, &minted));
            Ok(Json(Reply { agent: AgentObject::new(&agent), api_key }))
        }
        CreateAgentOutcome::NoKey(refused) => Err(unmade(&refused)),
        CreateAgentOutcome::UnknownEnvironment => Err(Code::EnvironmentArchived.into()),
    }
}

/// A key of an owner, to be stored: an inference key without restrictions, if the caller has none. This door gives no
/// source tag, so where the organization asks for one the key is made like any other, with its owner named.
pub(super) fn owned(
    call: &Call<Member>,
    owner: Owner,
    environment: EnvironmentId,
    name: Name,
    expires_at: Option<Timestamp>,
) -> Result<(MintedKey, NewKey), Refusal> {
    call.actor.require_verified()?;
    let new = Ask::new(name, Class::Inference);
    let ask = Ask { owner: Some(owner), environment: Some(environment), expires_at, ..new };
    let (minted, mut new) = mint(&call.control, &ask, call.now)?;
    // A caller with restrictions of its own hands them on: what it makes is never more than itself.
    let rights = call.actor.rights();
    new.policy.enforced = rights.restrictions.clone();
    new.policy.reach = rights.reach;
    // In another environment than theirs it would be more all the same.
    let key = new.made(call.actor.scope().0, environment, call.now.wall, "");
    call.actor.require_within(&Rights::of_key(&key))?;
    if call.actor.organization().policy.require_source_tag {
        return Err(Refusal::from(Code::SourceTagRequired).about("source_tag"));
    }
    Ok((minted, new))
}

/// Why a key was not made.
pub(super) fn unmade(refused: &CreateKeyOutcome) -> Refusal {
    match refused {
        CreateKeyOutcome::LimitReached { limit, unused } => limit_reached(*limit, *unused),
        CreateKeyOutcome::UnknownEnvironment => Code::EnvironmentArchived.into(),
        CreateKeyOutcome::IdTaken
        | CreateKeyOutcome::Created { .. }
        | CreateKeyOutcome::Repeated { .. }
        | CreateKeyOutcome::OtherBody => Code::InternalError.into(),
    }
}
