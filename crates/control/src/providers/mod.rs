//! Providers that the organization brings along: one file per operation, and the object they show.
//!
//! A credential comes in by create and update, is sealed before it is stored, and leaves to its provider alone: replies,
//! audit and log have its hint.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod test;
pub(crate) mod update;
mod writable;

use crate::authorize::Member;
use crate::confirmation::widened;
use crate::ports::{ProbeProviders, Told};
use crate::registries::seen;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::egress::Reach;
use claviger_domain::error::Code;
use claviger_domain::own_provider::{OwnModel, OwnProvider};
use claviger_domain::tenancy::Registry;
use claviger_storage::{Error, ProviderOutcome};
use serde::Serialize;
use std::sync::Arc;

/// What the operator decided of providers.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// How far connections to organizations' own providers may go.
    pub reach: Reach,
    /// The way to providers; without it none is tested.
    pub probe: Option<Arc<dyn ProbeProviders>>,
}

/// The models that an answer to `GET models` lists; `None` if it lists none.
pub fn models_of(told: &Told) -> Option<Vec<String>> {
    test::read(told, None).models
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self { reach: Reach::Guarded([].into()), probe: None }
    }
}

/// `organization.provider`.
#[derive(Serialize)]
pub(crate) struct ProviderObject {
    object: &'static str,
    id: String,
    name: String,
    registry_id: String,
    dialect: &'static str,
    base_url: String,
    enabled: bool,
    max_concurrency: u32,
    models: Vec<ModelObject>,
    credential: Option<CredentialObject>,
    created_at: i64,
    version: i64,
}

#[derive(Serialize)]
struct ModelObject {
    name: String,
    upstream_model: String,
    endpoints: Vec<&'static str>,
    context: Option<u64>,
    max_output: Option<u64>,
}

#[derive(Serialize)]
struct CredentialObject {
    hint: String,
}

impl ProviderObject {
    /// The object of a provider.
    fn new(row: &OwnProvider) -> Self {
        let model = |model: &OwnModel| ModelObject {
            name: model.name.clone(),
            upstream_model: model.upstream_model.clone(),
            endpoints: model.endpoints.iter().map(|endpoint| endpoint.name()).collect(),
            context: model.context_tokens,
            max_output: model.output_tokens_max,
        };
        let hint = row.credential.as_ref().map(|credential| credential.hint.clone());
        Self {
            object: "organization.provider",
            id: row.id.to_string(),
            name: row.name.clone(),
            registry_id: row.registry.to_string(),
            dialect: row.dialect.name(),
            base_url: row.base_url.clone(),
            enabled: row.is_enabled,
            max_concurrency: row.concurrency_max,
            models: row.models.iter().map(model).collect(),
            credential: hint.map(|hint| CredentialObject { hint }),
            created_at: row.created_at.seconds(),
            version: row.version,
        }
    }
}

/// Members of the object that a body must not set.
const READ_ONLY: &[&str] = &["id", "object", "created_at", "version"];

/// The provider of the path, and the registry that shows it.
async fn find(call: &Call<Member>) -> Result<(OwnProvider, Registry), Refusal> {
    let id = call.id("provider")?;
    let found = call.control.store().find_provider(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)?;
    let registry = seen(call, found.registry).await?;
    Ok((found, registry))
}

/// What came of writing, once every node knows it, or a second has passed.
async fn settle(call: &Call<Member>, written: Result<ProviderOutcome, Error>) -> Result<OwnProvider, Refusal> {
    match written.map_err(|cause| crate::edited::of_naming(cause, "name"))? {
        ProviderOutcome::Done(provider, epoch) => {
            widened(call, epoch).await;
            Ok(*provider)
        }
        ProviderOutcome::Unknown | ProviderOutcome::UnknownRegistry => Err(Refusal::not_found()),
        ProviderOutcome::Stale => Err(Code::VersionConflict.into()),
        ProviderOutcome::TooMany => {
            let most = claviger_domain::limits::PROVIDERS_PER_ORGANIZATION;
            Err(Refusal::because(Code::InvalidValue, format!("An organization has at most {most} providers.")))
        }
        ProviderOutcome::Served(name) => {
            let message = format!("Another provider of this registry serves a model named `{name}`.");
            Err(Refusal::because(Code::NameTaken, message).about("models"))
        }
    }
}
