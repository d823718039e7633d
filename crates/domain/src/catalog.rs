//! What can be called: providers, models and the ordered, weighted targets that serve them.
//!
//! A catalog is one immutable value; a request keeps the one it was admitted under. Health, sockets and the values of
//! credentials are not known here.

mod difference;

pub use difference::Difference;

use crate::egress::Reach;
use crate::endpoint::EndpointName;
use crate::id::{EnvironmentId, ProviderId};
use crate::price::PriceSheet;
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

macro_rules! dialects {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// How an upstream speaks (`wire.md` §5, W51).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Dialect { $($(#[$doc])* $name,)* }

        impl Dialect {
            /// Every dialect.
            pub const ALL: &'static [Dialect] = &[$(Dialect::$name,)*];

            /// The word in configuration and records.
            pub const fn name(self) -> &'static str {
                match self { $(Dialect::$name => $text,)* }
            }

            /// The dialect of this word.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|dialect| dialect.name() == name)
            }
        }
    };
}

dialects! {
    /// OpenAI itself.
    OpenAi = "openai";
    /// Anthropic itself.
    Anthropic = "anthropic";
    /// vLLM.
    Vllm = "vllm";
    /// SGLang.
    Sglang = "sglang";
    /// llama.cpp's server.
    LlamaCpp = "llamacpp";
    /// Ollama.
    Ollama = "ollama";
    /// Text Embeddings Inference.
    Tei = "tei";
    /// Cohere.
    Cohere = "cohere";
    /// Jina.
    Jina = "jina";
    /// Text Generation Inference.
    Tgi = "tgi";
    /// OpenAI's models at Azure.
    AzureOpenAi = "azure-openai";
    /// Gemini's OpenAI-compatible surface.
    Gemini = "gemini";
    /// Any other OpenAI-like server.
    Compatible = "compatible";
    /// The built-in simulator, in process.
    Simulator = "simulator";
}

/// The four time limits of a provider (W57).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the whole request sent to the first byte of the reply's content.
    pub first_byte: Duration,
    /// Between two bytes of the reply.
    pub idle: Duration,
    /// The whole exchange.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            total: Duration::from_secs(3600),
        }
    }
}

/// An upstream endpoint with its credential and dialect.
#[derive(Debug)]
pub struct Provider {
    /// Shown in receipts; unique among those of the configuration.
    pub name: String,
    /// Which row it is, unless the configuration declares it: what tells apart providers of several organizations.
    pub row: Option<ProviderId>,
    /// How far its connections may go.
    pub reach: Reach,
    /// How it speaks.
    pub dialect: Dialect,
    /// `http://host:port` or `https://host[:port]/path`, without a trailing `/` or `/v1`.
    /// Empty for the simulator in process.
    pub base_url: String,
    /// Sent as `Authorization: Bearer`; none for open servers.
    pub credential: Option<Secret<String>>,
    /// Requests in flight at once on one node; 0 = no limit of its own.
    pub concurrency_max: u32,
    /// Its four time limits.
    pub timeouts: Timeouts,
    /// How long a dead client's answer is still read for its usage (W59).
    pub drain: Duration,
}

impl Timeouts {
    /// The shorter of each.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            connect: self.connect.min(other.connect),
            first_byte: self.first_byte.min(other.first_byte),
            idle: self.idle.min(other.idle),
            total: self.total.min(other.total),
        }
    }
}

/// One place that can serve a model.
#[derive(Debug)]
pub struct Target {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The model's name there.
    pub upstream_model: String,
    /// Share within its tier; 0 = drained.
    pub weight: u32,
    /// The provider's time limits, lowered where the route says so (W57).
    pub timeouts: Timeouts,
}

/// A public model id and the route that serves it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The public id, byte-exact.
    pub id: String,
    /// Seconds since 1970 when it was first offered; shown by the models endpoint.
    pub created_seconds: i64,
    /// Who offers it; shown by the models endpoint.
    pub owned_by: String,
    /// Tiers in order; within one, targets are drawn by weight.
    pub tiers: Vec<Vec<Arc<Target>>>,
    /// Whether a caller's requests stay with one target of a tier, by its key and `prompt_cache_key` (W52).
    pub has_affinity: bool,
    /// Endpoints it serves.
    pub endpoints: Vec<EndpointName>,
    /// Context length in tokens, input and output together; unknown = `None`.
    pub context_tokens: Option<u64>,
    /// The most output tokens of one choice; unknown = `None`.
    pub output_tokens_max: Option<u64>,
    /// The price in force, or free, or unpriced.
    pub pricing: Pricing,
    /// Served by the simulator in process: what test keys may reach.
    pub is_simulated: bool,
    /// The only environment of its organization that sees it; `None` = no such restriction.
    pub environment: Option<EnvironmentId>,
}

/// What a model costs.
#[derive(Clone, Debug)]
pub enum Pricing {
    /// Marked free: holds and costs nothing.
    Free,
    /// Priced by this immutable version.
    Priced(Arc<PriceSheet>),
    /// Neither: refused with `model_not_priced`.
    Unpriced,
}

/// Everything that can be called, as one immutable value.
#[derive(Debug, Default)]
pub struct Catalog {
    models: BTreeMap<String, Arc<Model>>,
    aliases: BTreeMap<String, String>,
    prices: BTreeMap<String, Pricing>,
}

/// A catalog that contradicts itself; refused whole, the last good one stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCatalog {
    /// Two models with one id.
    #[error("model `{0}` is declared twice")]
    DuplicateModel(String),
    /// An alias that equals a model id or another alias (W52).
    #[error("alias `{0}` is already taken")]
    AliasTaken(String),
    /// An alias of nothing.
    #[error("alias `{0}` names no model")]
    DanglingAlias(String),
}

impl Catalog {
    /// Joins models and instance aliases (alias, model id) after checking them against each other.
    ///
    /// # Errors
    /// [`InvalidCatalog`]: nothing is taken over.
    pub fn new(
        models: impl IntoIterator<Item = Model>,
        aliases: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidCatalog> {
        let mut catalog = Self::default();
        for model in models {
            let id = model.id.clone();
            if catalog.models.insert(id.clone(), Arc::new(model)).is_some() {
                return Err(InvalidCatalog::DuplicateModel(id));
            }
        }
        for (alias, id) in aliases {
            if !catalog.models.contains_key(&id) {
                return Err(InvalidCatalog::DanglingAlias(alias));
            }
            if catalog.models.contains_key(&alias) || catalog.aliases.insert(alias.clone(), id).is_some() {
                return Err(InvalidCatalog::AliasTaken(alias));
            }
        }
        Ok(catalog)
    }

    /// The same, with prices for models that organizations bring along, by public id.
    #[must_use]
    pub fn with_prices(mut self, prices: BTreeMap<String, Pricing>) -> Self {
        self.prices = prices;
        self
    }

    /// The same, with models that were found, each at the price that is set for it. What is declared goes before them.
    #[must_use]
    pub fn with_found(mut self, found: impl IntoIterator<Item = Model>) -> Self {
        for model in found {
            if self.find_model(&model.id).is_none() {
                let model = self.priced(&Arc::new(model));
                self.models.insert(model.id.clone(), model);
            }
        }
        self
    }

    /// The model with the price that the operator set for its id, if one is set: what organizations bring along follows
    /// the price book in force, not the one of its making.
    pub fn priced(&self, own: &Arc<Model>) -> Arc<Model> {
        match self.prices.get(&own.id) {
            None => Arc::clone(own),
            Some(pricing) => Arc::new(Model { pricing: pricing.clone(), ..Model::clone(own) }),
        }
    }

    /// Whether ids or aliases of the platform begin with this segment: then it is no slug of a registry (W52).
    pub fn has_segment(&self, segment: &str) -> bool {
        let is_it = |id: &String| id.split('/').next() == Some(segment);
        self.models.keys().chain(self.aliases.keys()).any(is_it)
    }

    /// The model of an exact public id or, in one hop, of an alias.
    pub fn find_model(&self, id: &str) -> Option<&Arc<Model>> {
        self.models.get(id).or_else(|| self.models.get(self.aliases.get(id)?))
    }

    /// Every id that can be called and the model behind it, aliases included, in byte order of the id.
    pub fn list(&self) -> impl Iterator<Item = (&str, &Arc<Model>)> {
        let mut all: Vec<(&str, &Arc<Model>)> = self.models.iter().map(|(id, model)| (id.as_str(), model)).collect();
        all.extend(self.aliases.iter().filter_map(|(alias, id)| Some((alias.as_str(), self.models.get(id)?))));
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter()
    }
}
