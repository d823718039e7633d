//! Make an agent: owners and admins; with its first key, if the caller may make keys.

use super::{AgentObject, READ_ONLY, environment, role};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::keys::create::{Ask, mint};
use crate::keys::outcome::limit_reached;
use crate::keys::writable::expiry;
use crate::once::{Idempotency, Running, replayed};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::error::Code;
use claviger_domain::id::{AgentId, EnvironmentId};
use claviger_domain::key::{Class, Key, MintedKey, Name, NewKey, Owner, SourceTag};
use claviger_domain::limits;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
    /// Of a replay: until when a text that was lost is issued again.
    #[serde(skip_serializing_if = "Option::is_none")]
    reissue_until: Option<i64>,
}

impl AgentKeyObject {
    /// The object of a key just made.
    pub(super) fn new(key: &Key, minted: &MintedKey) -> Self {
        Self {
            object: "organization.project.service_account.api_key",
            id: key.id.to_string(),
            name: key.name.clone(),
            value: Some(minted.text.expose().clone()),
            created_at: key.created_at.seconds(),
            expires_at: key.expires_at.map(|at| at.seconds()),
            reissue_until: None,
        }
    }

    /// The object of a key made before under the same Idempotency-Key.
    pub(super) fn again(key: &Key) -> Self {
        Self {
            object: "organization.project.service_account.api_key",
            id: key.id.to_string(),
            name: key.name.clone(),
            value: None,
            created_at: key.created_at.seconds(),
            expires_at: key.expires_at.map(|at| at.seconds()),
            reissue_until: key.newest().and_then(|secret| secret.reissue_until).map(Timestamp::seconds),
        }
    }
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once = idempotency.of(&call, &fields);
    let environment = environment(&call).await?.id;
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    let role = role(&mut fields, &call.actor)?.flatten();
    let is_alone = fields.flag("create_service_account_only")?;
    let expires_at = expiry(&mut fields, call.now)?.or_none();
    let source_tag = tag(&mut fields)?;
    fields.finish(READ_ONLY)?;
    if is_alone && (expires_at.is_some() || source_tag.is_some()) {
        let param = if expires_at.is_some() { "expires_in_seconds" } else { "source_tag" };
        return Err(Refusal::invalid(param, "nothing where no key is made"));
    }
    let _running = Running::begin(&call.control, once.as_ref())?;
    let id = call.control.draw(|random| AgentId::generate(call.now.wall, random));
    let first = if is_alone {
        None
    } else {
        // The key is the agent's, not the caller's own.
        call.actor.require_own(Permission::KeysCreate, false)?;
        let tag = source_tag.or_else(|| tag_of(&call, name.as_str()));
        Some(owned(&call, (Owner::Agent(id), environment), name.clone(), tag, expires_at)?)
    };
    let (minted, key) = first.unzip();
    let new = NewAgent { id, environment, name: name.as_str().to_owned(), role, key };
    let outcome = call.control.store().create_agent(call.actor.scope(), new, once, call.actor.attribution()).await;
    match outcome.map_err(Refusal::of_write)? {
        CreateAgentOutcome::Created(agent, key, epoch) => {
            widened(&call, epoch).await;
            let api_key = key.zip(minted).map(|(key, minted)| AgentKeyObject::new(&key, &minted));
            Ok(Json(Reply { agent: AgentObject::new(&agent), api_key }).into_response())
        }
        CreateAgentOutcome::Repeated(agent, key) => {
            let api_key = key.as_ref().map(AgentKeyObject::again);
            Ok(replayed(Json(Reply { agent: AgentObject::new(&agent), api_key })))
        }
        CreateAgentOutcome::OtherBody => Err(Code::IdempotencyKeyReused.into()),
        CreateAgentOutcome::NoKey(refused) => Err(unmade(&refused)),
        CreateAgentOutcome::UnknownEnvironment => Err(Code::EnvironmentArchived.into()),
    }
}

/// The tag that the body gives.
pub(super) fn tag(fields: &mut Fields) -> Result<Option<SourceTag>, Refusal> {
    let tag = fields.text("source_tag")?.map(|text| SourceTag::parse(&text)).transpose();
    tag.map_err(|code| Refusal::from(code).about("source_tag"))
}

/// The tag of an agent's key that was given none, where the organization asks for one: OpenAI's clients do not know of
/// tags, and what an agent spends is asked for by its name.
pub(super) fn tag_of(call: &Call<Member>, agent: &str) -> Option<SourceTag> {
    let beginning: String = agent.chars().take(limits::SOURCE_TAG_CHARACTERS).collect();
    SourceTag::parse(beginning.trim()).ok().filter(|_| call.actor.organization().policy.require_source_tag)
}

/// A key of an owner in an environment, to be stored: an inference key without restrictions, if the caller has none.
pub(super) fn owned(
    call: &Call<Member>,
    (owner, environment): (Owner, EnvironmentId),
    name: Name,
    source_tag: Option<SourceTag>,
    expires_at: Option<Timestamp>,
) -> Result<(MintedKey, NewKey), Refusal> {
    call.actor.require_verified()?;
    let new = Ask::new(name, Class::Inference);
    let ask = Ask { owner: Some(owner), environment: Some(environment), source_tag, expires_at, ..new };
    let (minted, mut new) = mint(&call.control, &ask, call.now)?;
    // A caller with restrictions of its own hands them on: what it makes is never more than itself.
    let rights = call.actor.rights();
    new.policy.enforced = rights.restrictions.clone();
    new.policy.reach = rights.reach;
    // In another environment than theirs it would be more all the same.
    let key = new.made(call.actor.scope().0, environment, call.now.wall, "");
    call.actor.require_within(&Rights::of_key(&key))?;
    if call.actor.organization().policy.require_source_tag && ask.source_tag.is_none() {
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
