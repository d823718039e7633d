//! The environment as every reply shows it.

use claviger_domain::tenancy::Environment;
use serde::Serialize;

/// `organization.project`.
#[derive(Serialize)]
pub(crate) struct EnvironmentObject {
    object: &'static str,
    id: String,
    name: String,
    created_at: i64,
    archived_at: Option<i64>,
    status: &'static str,
    version: i64,
}

impl EnvironmentObject {
    /// The object of an environment.
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            object: "organization.project",
            id: environment.id.to_string(),
            name: environment.name.clone(),
            created_at: environment.created_at.seconds(),
            archived_at: environment.archived_at.map(|at| at.seconds()),
            status: if environment.archived_at.is_some() { "archived" } else { "active" },
            version: environment.version,
        }
    }
}
