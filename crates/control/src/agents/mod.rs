//! Agents, which the administration API calls service accounts: one file per operation, and the object they show.

pub(crate) mod ask;
pub(crate) mod create;
pub(crate) mod create_key;
pub(crate) mod delete;
pub(crate) mod exchange;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod trusts;
pub(crate) mod update;

use crate::authorize::Member;
use crate::body::Fields;
use crate::members;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::id::{AgentId, EnvironmentId};
use claviger_domain::right::Role;
use claviger_domain::rights::Rights;
use claviger_domain::tenancy::{Agent, Environment};
use serde::Serialize;

/// `organization.project.service_account`.
#[derive(Serialize)]
pub(crate) struct AgentObject {
    object: &'static str,
    id: String,
    name: String,
    role: &'static str,
    environment_id: String,
    created_at: i64,
    ended_at: Option<i64>,
    version: i64,
}

impl AgentObject {
    /// The object of an agent.
    fn new(agent: &Agent) -> Self {
        Self {
            object: "organization.project.service_account",
            id: agent.id.to_string(),
            name: agent.name.clone(),
            role: word(agent.role),
            environment_id: agent.environment.to_string(),
            created_at: agent.created_at.seconds(),
            ended_at: agent.ended_at.map(|at| at.seconds()),
            version: agent.version,
        }
    }
}

/// Members of the object that a body must not set.
const READ_ONLY: &[&str] = &["id", "object", "environment_id", "created_at", "ended_at", "version"];

/// OpenAI's words, and one for an agent whose keys manage nothing.
const fn word(role: Option<Role>) -> &'static str {
    match role {
        None => "none",
        Some(role) => members::word(role),
    }
}

/// The role of a body: absent, none, or one that the caller may give. Its name in either vocabulary.
fn role(fields: &mut Fields, actor: &Member) -> Result<Option<Option<Role>>, Refusal> {
    let Some(text) = fields.text("role")? else { return Ok(None) };
    if text == "none" {
        return Ok(Some(None));
    }
    let wrong = || Refusal::invalid("role", "owner, admin, member, billing, reader or none");
    let role = members::named(&text).ok_or_else(wrong)?;
    actor.require_within(&Rights { standing: Rights::of_member(role).standing, ..actor.rights().clone() })?;
    Ok(Some(Some(role)))
}

/// The environment of the path.
async fn environment(call: &Call<Member>) -> Result<Environment, Refusal> {
    let id: EnvironmentId = call.id("project")?;
    let found = call.control.store().find_environment(call.actor.scope(), id).await?;
    found.ok_or_else(Refusal::not_found)
}

/// The agent of the path, in the environment of the path.
async fn found(call: &Call<Member>) -> Result<Agent, Refusal> {
    let (environment, id): (EnvironmentId, AgentId) = (call.id("project")?, call.id("agent")?);
    let found = call.control.store().find_agent(call.actor.scope(), id).await?;
    found.filter(|agent| agent.environment == environment).ok_or_else(Refusal::not_found)
}
