//! Providers, models and their routes as written → the catalog of what can be called, the simulator's models included.

use super::layers::Layered;
use super::nearest::suggestion;
use super::prices::{Book, Books};
use super::quantity::duration;
use super::typed::{Model as TypedModel, Provider as TypedProvider, Target as TypedTarget};
use super::{Invalid, read_secret};
use claviger_domain::catalog::{Catalog, Dialect, Model, Pricing, Provider, Target, Timeouts};
use claviger_domain::egress::Reach;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_wire::simulator::{MODELS, serves};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The built-in provider, and its models with it.
const SIMULATOR: &str = "simulator";
/// 2026-01-01: shown by the models endpoint for everything that a file declares without a date of its own.
pub(crate) const OFFERED_SINCE: i64 = 1_767_225_600;
/// The longest a dead client's answer may be read (`money.md` §7).
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// Joins everything; a contradiction names its place.
pub(super) fn read(layered: &Layered, books: &Books) -> Result<Catalog, Invalid> {
    let providers = providers(layered)?;
    let mut models = Vec::new();
    let mut aliases = Vec::new();
    for typed in &layered.document.model {
        models.push(model(layered, typed, &providers, books)?);
        aliases.extend(typed.aliases.iter().map(|alias| (alias.clone(), typed.id.clone())));
    }
    let simulator = providers.get(SIMULATOR).cloned();
    models.extend(simulator.iter().flat_map(|provider| MODELS.iter().map(|id| simulated(id, provider))));
    let catalog = Catalog::new(models, aliases).map_err(|error| Invalid::at(layered.place_of("[[model]]"), error))?;
    let pricing = |book: &Book| match book {
        Book::Free => Pricing::Free,
        Book::Sheet(sheet) => Pricing::Priced(Arc::new(sheet.clone())),
    };
    Ok(catalog.with_prices(books.iter().map(|(id, book)| (id.clone(), pricing(book))).collect()))
}

fn providers(layered: &Layered) -> Result<BTreeMap<String, Arc<Provider>>, Invalid> {
    let mut providers = BTreeMap::new();
    let simulator = Provider {
        name: SIMULATOR.to_owned(),
        row: None,
        reach: Reach::Anywhere,
        dialect: Dialect::Simulator,
        base_url: String::new(),
        credential: None,
        concurrency_max: 0,
        timeouts: Timeouts::default(),
        drain: Duration::from_secs(10),
    };
    providers.insert(SIMULATOR.to_owned(), Arc::new(simulator));
    for typed in &layered.document.provider {
        let at = |what: String| {
            Invalid::at(layered.place_of(&typed.name), format_args!("provider `{}`: {what}", typed.name))
        };
        let provider = provider(layered, typed).map_err(at)?;
        // A disabled provider is checked like any other, so that enabling it holds no surprise.
        if typed.enabled && providers.insert(typed.name.clone(), Arc::new(provider)).is_some() {
            return Err(at("the name is taken".to_owned()));
        }
    }
    Ok(providers)
}

fn provider(layered: &Layered, typed: &TypedProvider) -> Result<Provider, String> {
    let dialects: Vec<&str> =
        Dialect::ALL.iter().filter(|dialect| **dialect != Dialect::Simulator).map(|dialect| dialect.name()).collect();
    let dialect = Dialect::ALL
        .iter()
        .find(|dialect| dialect.name() == typed.dialect && **dialect != Dialect::Simulator)
        .ok_or_else(|| format!("dialect `{}` is none of {}", typed.dialect, dialects.join(", ")))?;
    let defaults = Timeouts::default();
    let drain = time("drain", &typed.drain, Duration::from_secs(10))?;
    if drain > DRAIN_MAX {
        return Err("drain is at most 600s".to_owned());
    }
    let credential = match typed.key_file.as_str() {
        "" => None,
        name => Some(read_secret(&layered.base().join(name)).map_err(|error| error.to_string())?),
    };
    Ok(Provider {
        name: typed.name.clone(),
        row: None,
        reach: Reach::Anywhere,
        dialect: *dialect,
        base_url: base_url(&typed.base_url)?,
        credential,
        concurrency_max: typed.max_concurrency,
        timeouts: Timeouts {
            connect: time("connect", &typed.connect, defaults.connect)?,
            first_byte: time("first_byte", &typed.first_byte, defaults.first_byte)?,
            idle: time("idle", &typed.idle, defaults.idle)?,
            total: time("total", &typed.total, defaults.total)?,
        },
        drain,
    })
}

/// A duration as typed, or what it is when nothing is.
fn time(name: &str, text: &Option<String>, default: Duration) -> Result<Duration, String> {
    match text {
        None => Ok(default),
        Some(text) => duration(text).ok_or_else(|| format!("{name} = `{text}` is not a duration such as 5s")),
    }
}

/// The time limits of a route: what it does not lower is its providers'.
fn lowered(typed: &TypedModel) -> Result<Timeouts, String> {
    let max = Duration::MAX;
    Ok(Timeouts {
        connect: time("connect", &typed.connect, max)?,
        first_byte: time("first_byte", &typed.first_byte, max)?,
        idle: time("idle", &typed.idle, max)?,
        total: time("total", &typed.total, max)?,
    })
}

/// One target of a route.
fn target(provider: &Arc<Provider>, upstream_model: String, weight: u32, within: Timeouts) -> Arc<Target> {
    let timeouts = provider.timeouts.within(within);
    Arc::new(Target { provider: provider.clone(), upstream_model, weight, timeouts })
}

/// Scheme, host and path, without a trailing `/` or `/v1`.
fn base_url(text: &str) -> Result<String, String> {
    let bad = |what: &str| Err(format!("base_url `{text}` {what}"));
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        return bad("begins with http:// or https://");
    };
    if rest.contains(['?', '#', '@', ' ']) {
        return bad("holds a query, a fragment or a credential; credentials belong into key_file");
    }
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/v1").unwrap_or(rest).trim_end_matches('/');
    if rest.is_empty() || rest.starts_with('/') {
        return bad("names no host");
    }
    Ok(format!("{scheme}://{rest}"))
}

fn model(
    layered: &Layered,
    typed: &TypedModel,
    providers: &BTreeMap<String, Arc<Provider>>,
    books: &Books,
) -> Result<Model, Invalid> {
    let at = |what: String| Invalid::at(layered.place_of(&typed.id), format_args!("model `{}`: {what}", typed.id));
    if typed.id.is_empty()
        || typed.id.len() > claviger_domain::limits::MODEL_ID_BYTES
        || typed.id.chars().any(char::is_control)
    {
        return Err(at("an id has 1 to 256 bytes and no control characters".to_owned()));
    }
    let pricing = match (typed.free, books.get(&typed.id)) {
        (true, Some(Book::Sheet(_))) => return Err(at("is marked free and priced: choose one".to_owned())),
        (true, _) | (false, Some(Book::Free)) => Pricing::Free,
        (false, Some(Book::Sheet(sheet))) => Pricing::Priced(Arc::new(sheet.clone())),
        (false, None) => Pricing::Unpriced,
    };
    let endpoints = endpoints(&typed.endpoints).map_err(at)?;
    if let Pricing::Priced(sheet) = &pricing
        && let Some(given_away) = endpoints.iter().find(|endpoint| !sheet.measures(**endpoint))
    {
        let prices: Vec<String> = given_away.counted().iter().map(|meter| format!("`{meter}`")).collect();
        let (endpoint, prices) = (given_away.name(), prices.join(" or "));
        return Err(at(format!("its prices do not measure the endpoint `{endpoint}`: price {prices}, or `request`")));
    }
    Ok(Model {
        id: typed.id.clone(),
        created_seconds: OFFERED_SINCE,
        owned_by: typed.id.split_once('/').map_or("claviger", |(owner, _)| owner).to_owned(),
        tiers: tiers(layered, typed, providers).map_err(at)?,
        endpoints,
        context_tokens: typed.context,
        output_tokens_max: typed.max_output,
        pricing,
        is_simulated: false,
        environment: None,
        has_affinity: match typed.affinity.as_str() {
            "" => false,
            "key" => true,
            other => return Err(at(format!("affinity = `{other}` is neither `key` nor empty"))),
        },
    })
}

fn tiers(
    layered: &Layered,
    typed: &TypedModel,
    providers: &BTreeMap<String, Arc<Provider>>,
) -> Result<Vec<Vec<Arc<Target>>>, String> {
    let within = lowered(typed)?;
    if typed.tiers.is_empty() {
        let mut own = layered.document.provider.iter().filter_map(|provider| providers.get(&provider.name));
        let (Some(only), None) = (own.next(), own.next()) else {
            return Err("has no `tiers`, which can only be left out when there is exactly one provider".to_owned());
        };
        return Ok(vec![vec![target(only, typed.id.clone(), 1, within)]]);
    }
    let read = |typed_target: &TypedTarget| {
        let provider = providers.get(&typed_target.provider).ok_or_else(|| {
            let is_disabled = layered.document.provider.iter().any(|known| known.name == typed_target.provider);
            let why = if is_disabled { "is disabled" } else { "does not exist" };
            format!(
                "provider `{}` {why}{}",
                typed_target.provider,
                if is_disabled {
                    String::new()
                } else {
                    suggestion(&typed_target.provider, providers.keys().map(String::as_str))
                }
            )
        })?;
        let upstream_model = typed_target.model.clone().unwrap_or_else(|| typed.id.clone());
        Ok(target(provider, upstream_model, typed_target.weight, within))
    };
    typed.tiers.iter().map(|tier| tier.iter().map(read).collect()).collect()
}

/// What a model can serve at all: the endpoints that a model answers.
fn endpoints(typed: &[String]) -> Result<Vec<EndpointName>, String> {
    if typed.is_empty() {
        return Ok(vec![EndpointName::ChatCompletions]);
    }
    let inference = || Operation::ALL.iter().filter(|operation| operation.is_inference());
    let known: Vec<EndpointName> = inference().filter_map(|operation| operation.endpoint()).collect();
    let find = |name: &String| {
        known.iter().copied().find(|endpoint| endpoint.name() == name).ok_or_else(|| {
            // Several operations share an endpoint, as a message and the count of its tokens do.
            let names: BTreeSet<&str> = known.iter().map(|endpoint| endpoint.name()).collect();
            let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
            format!("endpoint `{name}` does not exist; these do: {}", names.join(", "))
        })
    };
    typed.iter().map(find).collect()
}

fn simulated(id: &str, provider: &Arc<Provider>) -> Model {
    Model {
        id: id.to_owned(),
        created_seconds: OFFERED_SINCE,
        owned_by: SIMULATOR.to_owned(),
        tiers: vec![vec![target(provider, id.to_owned(), 1, provider.timeouts)]],
        endpoints: serves(id).to_vec(),
        context_tokens: Some(131_072),
        output_tokens_max: Some(claviger_domain::limits::SIMULATED_TOKENS),
        pricing: Pricing::Free,
        is_simulated: true,
        environment: None,
        has_affinity: false,
    }
}
