//! Registries of the organization: one file per operation, and the object they show.

pub(crate) mod ask;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use crate::authorize::Member;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, RegistryId};
use claviger_domain::tenancy::Registry;
use serde::Serialize;

/// `organization.registry`.
#[derive(Serialize)]
pub(crate) struct RegistryObject {
    object: &'static str,
    id: String,
    name: String,
    slug: String,
    prefix: String,
    environment_id: Option<String>,
    state: &'static str,
    created_at: i64,
    version: i64,
}

impl RegistryObject {
    /// The object of a registry.
    fn new(registry: &Registry) -> Self {
        Self {
            object: "organization.registry",
            id: registry.id.to_string(),
            name: registry.name.clone(),
            slug: registry.slug.clone(),
            prefix: format!("{}/", registry.slug),
            environment_id: registry.environment.map(|id| id.to_string()),
            state: registry.state.name(),
            created_at: registry.created_at.seconds(),
            version: registry.version,
        }
    }
}

/// Members of the object that a body must not set.
const READ_ONLY: &[&str] = &["id", "object", "prefix", "created_at", "version"];

/// The registry, if the organization has it and the caller sees it.
pub(crate) async fn seen(call: &Call<Member>, id: RegistryId) -> Result<Registry, Refusal> {
    let found = call.control.store().find_registry(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)?;
    if let (Some(own), Some(shown_in)) = (call.actor.seen_from(), found.environment)
        && own != shown_in
    {
        return Err(Refusal::not_found());
    }
    Ok(found)
}

/// Refuses who reaches one environment only what all of them see: its models would change for the others too.
pub(crate) fn require_within_reach(call: &Call<Member>, environment: Option<EnvironmentId>) -> Result<(), Refusal> {
    match (call.actor.seen_from(), environment) {
        (Some(_), None) => {
            let message = "Every environment sees this registry, and you reach only one of them.";
            Err(Refusal::because(Code::PermissionDenied, message))
        }
        (Some(own), Some(shown_in)) if own != shown_in => Err(Refusal::not_found()),
        _ => Ok(()),
    }
}
