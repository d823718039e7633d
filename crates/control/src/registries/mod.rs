//! Registries of the organization: one file per operation, and the object they show.

pub(crate) mod ask;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

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
