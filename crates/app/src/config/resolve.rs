//! What the configuration means: types that cannot hold nonsense.

use super::layers::{Flags, Layered};
use super::nearest::suggestion;
use super::prices::{self, Book, Books};
use super::quantity::duration;
use super::typed::{Document, Model as TypedModel, Provider as TypedProvider};
use super::{Invalid, read_secret};
use claviger_domain::catalog::{Catalog, Dialect, Model, Pricing, Provider, Target, Timeouts};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::key::Prefixes;
use claviger_domain::price::PriceSheet;
use claviger_domain::settlement::UpstreamCut;
use claviger_storage::DatabaseUrl;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The built-in provider, and its models with it.
const SIMULATOR: &str = "simulator";
/// Models of `wire.md` §8 whose endpoints exist.
const SIMULATED: &[&str] = &[
    "sim-echo",
    "sim-stream",
    "sim-tools",
    "sim-json",
    "sim-reasoning",
    "sim-error-429",
    "sim-error-500",
    "sim-error-timeout",
    "sim-error-midstream",
    "sim-error-truncate",
];
/// 2026-01-01: shown by the models endpoint for everything that a file declares without a date of its own.
const OFFERED_SINCE: i64 = 1_767_225_600;
/// The longest a dead client's answer may be read (`money.md` §7).
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The database.
    pub(crate) database: DatabaseUrl,
    /// The pepper's file.
    pub(crate) pepper_file: PathBuf,
    /// Prefixes of keys.
    pub(crate) prefixes: Prefixes,
    /// Keys that a new organization may have.
    pub(crate) keys_max: u32,
    /// ISO 4217.
    pub(crate) currency: String,
    /// What clients use, without a trailing slash, if the operator says so.
    pub(crate) public_url: Option<String>,
    /// The address that `serve` will listen on, as typed.
    pub(crate) listen: String,
    /// Files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// Text or JSON; `None` = by what standard error is.
    pub(crate) log_json: Option<bool>,
    /// Log level.
    pub(crate) log_level: String,
}

/// What serving needs besides.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    pub(crate) config: Config,
    pub(crate) listen: SocketAddr,
    pub(crate) private_listen: SocketAddr,
    /// Plain HTTP on other than loopback addresses: said, or meant.
    pub(crate) plain_http: PlainHttp,
    pub(crate) is_quickstart: bool,
    pub(crate) drain: Duration,
    pub(crate) out_of_credit_status: u16,
    pub(crate) validity_lease: Duration,
    pub(crate) simulator_for_live_keys: bool,
    pub(crate) access_log: bool,
    pub(crate) upstream_cut: UpstreamCut,
    pub(crate) catalog: Catalog,
    pub(crate) sheets: Vec<PriceSheet>,
}

/// Whether plain HTTP may leave the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    Loopback,
    Warn,
    Allow,
}

/// Resolves what every command needs.
pub(super) fn config(layered: &Layered, _flags: &Flags) -> Result<Config, Invalid> {
    let document = &layered.document;
    let data = PathBuf::from(&document.server.data_dir);
    let prefixes = Prefixes::new(&document.keys.prefix, &document.keys.also_accept)
        .map_err(|error| Invalid::at("keys.prefix", error))?;
    let currency = document.prices.currency.clone();
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Invalid::at("prices.currency", format_args!("`{currency}` is not an ISO 4217 code such as USD")));
    }
    let pepper_file = match document.keys.pepper_file.as_str() {
        "" => data.join("pepper"),
        named => layered.base().join(named),
    };
    let log_json = match document.telemetry.log.as_str() {
        "auto" => None,
        "text" => Some(false),
        "json" => Some(true),
        other => return Err(one_of("telemetry.log", other, &["auto", "text", "json"])),
    };
    let level = &document.telemetry.level;
    let levels = ["error", "warn", "info", "debug", "trace"];
    if !levels.contains(&level.as_str()) {
        return Err(one_of("telemetry.level", level, &levels));
    }
    Ok(Config {
        database: database(document, layered, &data)?,
        data,
        pepper_file,
        prefixes,
        keys_max: document.keys.max_per_organization,
        currency,
        public_url: document.server.public_urls.first().map(|url| url.trim_end_matches('/').to_owned()),
        listen: document.server.listen.clone(),
        files: layered.files.clone(),
        log_json,
        log_level: level.clone(),
    })
}

/// Resolves everything that serving needs.
pub(super) fn serve_config(layered: Layered, flags: &Flags) -> Result<ServeConfig, Invalid> {
    let config = config(&layered, flags)?;
    let books = prices::read(&layered)?;
    let catalog = catalog(&layered, &books)?;
    let sheets = books.into_values().filter_map(|book| match book {
        Book::Sheet(sheet) => Some(sheet),
        Book::Free => None,
    });
    let document = &layered.document;
    let server = &document.server;
    let address = |place: &str, text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_| Invalid::at(place, format_args!("`{text}` is not an address such as 127.0.0.1:8080")))
    };
    let time = |place: &str, text: &str| {
        duration(text).ok_or_else(|| Invalid::at(place, format_args!("`{text}` is not a duration such as 30s")))
    };
    let plain_http = match server.plain_http.as_str() {
        "loopback" => PlainHttp::Loopback,
        "warn" => PlainHttp::Warn,
        "allow" => PlainHttp::Allow,
        other => return Err(one_of("server.plain_http", other, &["loopback", "warn", "allow"])),
    };
    let out_of_credit_status = server.out_of_credit_status;
    if !matches!(out_of_credit_status, 429 | 402) {
        return Err(Invalid::at("server.out_of_credit_status", "is 429 or 402"));
    }
    let validity_lease = time("storage.validity_lease", &document.storage.validity_lease)?;
    if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&validity_lease) {
        return Err(Invalid::at("storage.validity_lease", "lies between 1s and 60s"));
    }
    if document.storage.journal != "database" {
        return Err(Invalid::at("storage.journal", "is `database`; the node's own journal does not exist yet"));
    }
    if !document.storage.auto_migrate {
        return Err(Invalid::at("storage.auto_migrate", "is `true`; migrating by hand does not exist yet"));
    }
    let listen = address("server.listen", &server.listen)?;
    Ok(ServeConfig {
        listen,
        private_listen: address("server.private_listen", &server.private_listen)?,
        plain_http,
        is_quickstart: flags.quickstart,
        drain: time("server.drain", &server.drain)?,
        out_of_credit_status,
        validity_lease,
        simulator_for_live_keys: document.console.simulator_for_live_keys,
        access_log: document.telemetry.access_log,
        upstream_cut: match document.billing.upstream_cut.as_str() {
            "reported" => UpstreamCut::Reported,
            "counted" => UpstreamCut::Counted,
            "zero" => UpstreamCut::Zero,
            other => return Err(one_of("billing.upstream_cut", other, &["reported", "counted", "zero"])),
        },
        catalog,
        sheets: sheets.collect(),
        config,
    })
}

fn one_of(place: &str, typed: &str, known: &[&str]) -> Invalid {
    let hint = suggestion(typed, known.iter().copied());
    Invalid::at(place, format_args!("`{typed}` is none of {}{hint}", known.join(", ")))
}

/// The database's place. A password in the URL is refused: process lists and logs show URLs.
fn database(document: &Document, layered: &Layered, data: &std::path::Path) -> Result<DatabaseUrl, Invalid> {
    let url = document.storage.database_url.as_str();
    let password_file = document.storage.database_password_file.as_str();
    if url.is_empty() {
        return Ok(DatabaseUrl::Sqlite(data.join("claviger.db")));
    }
    let place = "storage.database_url";
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
    else {
        return Err(Invalid::at(place, "begins with `postgres://`; leave it empty for SQLite in the data directory"));
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let is_secret = |pair: &str| pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("password"));
    let query = tail.split_once('?').map(|(_, query)| query).unwrap_or_default();
    if user.is_some_and(|user| user.contains(':')) || query.split('&').any(is_secret) {
        return Err(Invalid::at(
            place,
            "holds a password, which process lists and logs would show: put it into a 0600 file and name that in `storage.database_password_file`",
        ));
    }
    if password_file.is_empty() {
        return Ok(DatabaseUrl::Postgres(url.to_owned()));
    }
    let Some(user) = user else {
        return Err(Invalid::at(place, "names no user for the password of `storage.database_password_file`"));
    };
    let password = read_secret(&layered.base().join(password_file))?;
    Ok(DatabaseUrl::Postgres(format!("{scheme}://{user}:{}@{host}{tail}", percent_encoded(password.expose()))))
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn catalog(layered: &Layered, books: &Books) -> Result<Catalog, Invalid> {
    let providers = providers(layered)?;
    let mut models = Vec::new();
    let mut aliases = Vec::new();
    for typed in &layered.document.model {
        models.push(model(layered, typed, &providers, books)?);
        aliases.extend(typed.aliases.iter().map(|alias| (alias.clone(), typed.id.clone())));
    }
    let simulator = providers.get(SIMULATOR).cloned();
    models.extend(simulator.iter().flat_map(|provider| SIMULATED.iter().map(|id| simulated(id, provider))));
    Catalog::new(models, aliases).map_err(|error| Invalid::at(layered.place_of("[[model]]"), error))
}

fn providers(layered: &Layered) -> Result<BTreeMap<String, Arc<Provider>>, Invalid> {
    let mut providers = BTreeMap::new();
    let simulator = Provider {
        name: SIMULATOR.to_owned(),
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
    let time = |name: &str, text: &Option<String>, default: Duration| match text {
        None => Ok(default),
        Some(text) => duration(text).ok_or_else(|| format!("{name} = `{text}` is not a duration such as 5s")),
    };
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
    Ok(Model {
        id: typed.id.clone(),
        created_seconds: OFFERED_SINCE,
        owned_by: typed.id.split_once('/').map_or("claviger", |(owner, _)| owner).to_owned(),
        tiers: tiers(layered, typed, providers).map_err(at)?,
        endpoints: endpoints(&typed.endpoints).map_err(at)?,
        context_tokens: typed.context,
        output_tokens_max: typed.max_output,
        pricing,
        is_simulated: false,
    })
}

fn tiers(
    layered: &Layered,
    typed: &TypedModel,
    providers: &BTreeMap<String, Arc<Provider>>,
) -> Result<Vec<Vec<Target>>, String> {
    if typed.tiers.is_empty() {
        let mut own = layered.document.provider.iter().filter_map(|provider| providers.get(&provider.name));
        let (Some(only), None) = (own.next(), own.next()) else {
            return Err("has no `tiers`, which can only be left out when there is exactly one provider".to_owned());
        };
        return Ok(vec![vec![Target { provider: only.clone(), upstream_model: typed.id.clone(), weight: 1 }]]);
    }
    let target = |target: &super::typed::Target| {
        let provider = providers.get(&target.provider).cloned().ok_or_else(|| {
            let is_disabled = layered.document.provider.iter().any(|known| known.name == target.provider);
            let why = if is_disabled { "is disabled" } else { "does not exist" };
            format!(
                "provider `{}` {why}{}",
                target.provider,
                if is_disabled {
                    String::new()
                } else {
                    suggestion(&target.provider, providers.keys().map(String::as_str))
                }
            )
        })?;
        let upstream_model = target.model.clone().unwrap_or_else(|| typed.id.clone());
        Ok(Target { provider, upstream_model, weight: target.weight })
    };
    typed.tiers.iter().map(|tier| tier.iter().map(target).collect()).collect()
}

fn endpoints(typed: &[String]) -> Result<Vec<EndpointName>, String> {
    let chat = EndpointName::ChatCompletions;
    if typed.is_empty() {
        return Ok(vec![chat]);
    }
    typed
        .iter()
        .map(|name| {
            if name == chat.name() {
                Ok(chat)
            } else {
                Err(format!("endpoint `{name}` does not exist; `{}` does", chat.name()))
            }
        })
        .collect()
}

fn simulated(id: &str, provider: &Arc<Provider>) -> Model {
    Model {
        id: id.to_owned(),
        created_seconds: OFFERED_SINCE,
        owned_by: SIMULATOR.to_owned(),
        tiers: vec![vec![Target { provider: provider.clone(), upstream_model: id.to_owned(), weight: 1 }]],
        endpoints: vec![EndpointName::ChatCompletions],
        context_tokens: Some(131_072),
        output_tokens_max: Some(claviger_domain::limits::SIMULATED_TOKENS),
        pricing: Pricing::Free,
        is_simulated: true,
    }
}
