//! A model server that an organization brings along, and the models of it that its registry shows (`wire.md` W50).
//!
//! Seen by its organization alone, under `<slug of the registry>/…`. Where it may lie is `egress`'s to say, how its
//! credential is kept is `seal`'s.

use crate::catalog::{Dialect, Model, Pricing, Provider, Target, Timeouts};
use crate::egress::{Destination, Reach};
use crate::endpoint::EndpointName;
use crate::id::{EnvironmentId, OrganizationId, ProviderId, RegistryId};
use crate::limits;
use crate::seal::{Bound, Sealed};
use crate::secret::{Pepper, Secret};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// A provider of an organization, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnProvider {
    /// Its id.
    pub id: ProviderId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Under whose slug its models are shown.
    pub registry: RegistryId,
    /// Unique in the organization.
    pub name: String,
    /// How it speaks; never the simulator.
    pub dialect: Dialect,
    /// As [`Destination::url`] writes it, without `/v1` at its end.
    pub base_url: String,
    /// Whether requests go to it.
    pub is_enabled: bool,
    /// Requests in flight at once on one node; 0 = no limit of its own.
    pub concurrency_max: u32,
    /// What it serves.
    pub models: Vec<OwnModel>,
    /// What is sent along; none for open servers.
    pub credential: Option<Credential>,
    /// How many credentials it has had.
    pub credentials: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: i64,
}

/// A sealed credential, and what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The box.
    pub sealed: Sealed,
    /// `…` and the last four characters of a long one.
    pub hint: String,
}

/// One model of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnModel {
    /// What follows the slug in the public id.
    pub name: String,
    /// What it is called at the provider.
    pub upstream_model: String,
    /// What it serves.
    pub endpoints: Vec<EndpointName>,
    /// Context length in tokens.
    pub context_tokens: Option<u64>,
    /// The most output tokens of one choice.
    pub output_tokens_max: Option<u64>,
}

/// A provider and the registry that shows it, as a node reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The provider.
    pub provider: OwnProvider,
    /// The slug of its registry.
    pub slug: String,
    /// The one environment that sees the registry.
    pub environment: Option<EnvironmentId>,
    /// Whether the registry is in use.
    pub is_registry_active: bool,
}

/// Whether a text can follow a slug: 1 to 128 of letters, digits and `._:-`, with `/` between such words.
pub fn is_model_name(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word != "."
            && word != ".."
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
    };
    text.len() <= limits::OWN_MODEL_NAME_BYTES && text.split('/').all(is_word)
}

/// What is shown of a credential: `…` and its last four characters if it has at least sixteen, else `…` alone.
pub fn hint(credential: &str) -> String {
    let count = credential.chars().count();
    let tail: String =
        if count >= 16 { credential.chars().skip(count.saturating_sub(4)).collect() } else { String::new() };
    format!("…{tail}")
}

impl OwnProvider {
    /// What its credential is bound to; `None` if the address cannot be read, which no act stores.
    pub fn bound(&self) -> Option<Bound> {
        let origin = Destination::parse(&self.base_url).ok()?.origin();
        Some(Bound { organization: self.organization, provider: self.id, origin, number: self.credentials })
    }
}

/// Why a provider cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The address cannot be read.
    #[error("its address cannot be read")]
    Address,
    /// The credential does not open: another host, another row, or a pepper that this node lacks.
    #[error("its credential does not open: it was sealed for another host, or with a pepper that this node lacks")]
    Credential,
}

/// The provider as requests go to it.
///
/// # Errors
/// [`Unusable`].
pub fn provider(row: &OwnProvider, peppers: &[Pepper], reach: &Reach) -> Result<Provider, Unusable> {
    let credential = match &row.credential {
        None => None,
        Some(credential) => {
            let bound = row.bound().ok_or(Unusable::Address)?;
            Some(credential.sealed.open(peppers, &bound).ok_or(Unusable::Credential)?)
        }
    };
    Ok(Provider {
        name: row.name.clone(),
        row: Some(row.id),
        reach: reach.clone(),
        dialect: row.dialect,
        base_url: row.base_url.clone(),
        credential,
        concurrency_max: row.concurrency_max,
        timeouts: Timeouts::default(),
        drain: Duration::from_secs(10),
    })
}

/// The public id of a model.
pub fn public_id(slug: &str, name: &str) -> String {
    format!("{slug}/{name}")
}

impl Shown {
    /// The models that are to be called, `provider` serving them; none while provider or registry is out of use.
    pub fn models(&self, provider: &Arc<Provider>, pricing: &Pricing) -> Vec<Model> {
        if !self.provider.is_enabled || !self.is_registry_active {
            return Vec::new();
        }
        let model = |own: &OwnModel| Model {
            id: public_id(&self.slug, &own.name),
            created_seconds: self.provider.created_at.seconds(),
            owned_by: self.slug.clone(),
            tiers: vec![vec![Arc::new(Target {
                provider: Arc::clone(provider),
                upstream_model: own.upstream_model.clone(),
                weight: 1,
                timeouts: provider.timeouts,
            })]],
            has_affinity: false,
            endpoints: own.endpoints.clone(),
            context_tokens: own.context_tokens,
            output_tokens_max: own.output_tokens_max,
            pricing: pricing.clone(),
            is_simulated: false,
            environment: self.environment,
        };
        self.provider.models.iter().map(model).collect()
    }
}

/// A credential that was just given, sealed for this row.
pub fn credential(
    row: &OwnProvider,
    plain: &Secret<String>,
    pepper: &Pepper,
    random: &mut dyn crate::time::Random,
) -> Option<Credential> {
    let sealed = Sealed::seal(plain, pepper, &row.bound()?, random)?;
    Some(Credential { sealed, hint: hint(plain.expose()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_plain_paths() {
        for good in ["llama3", "qwen2.5:7b-instruct-q4_K_M", "meta-llama/Llama-3.1-8B", "a/b/c"] {
            assert!(is_model_name(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "a b", "a*", "..", "a/../b", "ä", "a\n", &"x".repeat(129)] {
            assert!(!is_model_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_hint_shows_no_more_than_a_quarter() {
        assert_eq!(hint("sk-proj-0123456789abcdef4f2A"), "…4f2A");
        assert_eq!(hint("0123456789abcdef"), "…cdef");
        assert_eq!(hint("short-password"), "…");
    }
}
