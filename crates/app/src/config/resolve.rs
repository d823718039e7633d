//! What the configuration means: types that cannot hold nonsense.

use super::catalog;
use super::layers::{Flags, Layered};
use super::nearest::suggestion;
use super::prices::{self, Book};
use super::quantity::duration;
use super::sinks::AuditSink;
use super::typed::{Document, Server};
use super::{Invalid, read_secret};
use claviger_control::{IssuerSettings, PeopleSettings, ReporterKey};
use claviger_domain::address::{Cidr, ForwardingHeader};
use claviger_domain::catalog::Catalog;
use claviger_domain::egress::Reach;
use claviger_domain::key::{Limits, Prefixes};
use claviger_domain::money::Nano;
use claviger_domain::price::PriceSheet;
use claviger_domain::settlement::UpstreamCut;
use claviger_gateway::RouteSettings;
use claviger_storage::DatabaseUrl;
use std::net::SocketAddr;
use std::path::{Component, PathBuf};
use std::time::Duration;

/// What becomes of what is found on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Autodetect {
    /// A fresh start names it.
    Offer,
    /// It serves the platform, from every start on.
    Enable,
    /// Nobody looks unasked.
    Off,
}

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The database.
    pub(crate) database: DatabaseUrl,
    /// The pepper's file.
    pub(crate) pepper_file: PathBuf,
    /// Keys of GitHub's secret scanning.
    pub(crate) github_keys: Vec<ReporterKey>,
    /// Whether a canary takes along the keys beside it.
    pub(crate) canary_disables: bool,
    /// From which amount an hour owners are told of spikes; `None` = never.
    pub(crate) spend_alert: Option<Nano>,
    /// Further files that keep audit checkpoints.
    pub(crate) audit_sinks: Vec<AuditSink>,
    /// Whether changes are refused while one of them is late.
    pub(crate) is_audit_strict: bool,
    /// How far connections to organizations' own providers may go.
    pub(crate) reach: Reach,
    /// Prefixes of keys.
    pub(crate) prefixes: Prefixes,
    /// Keys that a new organization may have.
    pub(crate) keys_max: u32,
    /// How people come and stay.
    pub(crate) people: PeopleSettings,
    /// Issuers of tokens that are believed.
    pub(crate) issuers: IssuerSettings,
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

impl Config {
    /// Whether nobody named another data directory than `./claviger-data`.
    pub(crate) fn has_default_data(&self) -> bool {
        self.data
            .components()
            .filter(|part| *part != Component::CurDir)
            .eq([Component::Normal("claviger-data".as_ref())])
    }
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
    pub(crate) trusted_proxies: Vec<Cidr>,
    pub(crate) forwarded: ForwardingHeader,
    /// The most that any one key may.
    pub(crate) key_limits: Limits,
    /// Requests a minute to what answers about the key itself; 0 = no limit.
    pub(crate) self_service_rpm: u32,
    /// How requests are put to targets.
    pub(crate) routes: RouteSettings,
    /// What becomes of model servers and credentials that are found on this machine.
    pub(crate) autodetect: Autodetect,
    /// Whether models of organizations' own providers cost nothing where the price book is silent.
    pub(crate) are_own_models_free: bool,
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
        github_keys: super::reporters::read(layered, &document.keys.github_keys_file)?,
        canary_disables: document.keys.canary_disables,
        spend_alert: spend_alert(&document.keys.spend_alert)?,
        audit_sinks: super::sinks::read(layered)?,
        is_audit_strict: document.storage.audit_strict,
        reach: reach(document)?,
        prefixes,
        keys_max: document.keys.max_per_organization,
        people: super::people::read(document, layered)?,
        issuers: super::issuers::read(layered)?,
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
    let catalog = catalog::read(&layered, &books)?;
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
        trusted_proxies: trusted_proxies(server)?,
        forwarded: ForwardingHeader::named(&server.forwarded)
            .ok_or_else(|| one_of("server.forwarded", &server.forwarded, &["x-forwarded-for", "forwarded"]))?,
        key_limits: key_limits(&document.limits),
        self_service_rpm: document.limits.self_service_rpm,
        routes: routes(document)?,
        autodetect: autodetect(&document.providers.autodetect)?,
        are_own_models_free: is_first("providers.own_models", &document.providers.own_models, ["free", "priced"])?,
        catalog,
        sheets: sheets.collect(),
        config,
    })
}

fn autodetect(typed: &str) -> Result<Autodetect, Invalid> {
    match typed {
        "offer" => Ok(Autodetect::Offer),
        "enable" => Ok(Autodetect::Enable),
        "off" => Ok(Autodetect::Off),
        other => Err(one_of("providers.autodetect", other, &["offer", "enable", "off"])),
    }
}

fn spend_alert(text: &str) -> Result<Option<Nano>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text.parse::<Nano>().ok().filter(|amount| *amount >= Nano::ZERO);
    let invalid =
        || Invalid::at("keys.spend_alert", format_args!("`{text}` is no amount such as 1.00; empty is never"));
    amount.map(Some).ok_or_else(invalid)
}

fn reach(document: &Document) -> Result<Reach, Invalid> {
    let network = |text: &String| {
        text.parse().map_err(|error| Invalid::at("providers.allow_private", format_args!("`{text}` is {error}")))
    };
    let listed: Vec<Cidr> = document.providers.allow_private.iter().map(network).collect::<Result<_, _>>()?;
    Ok(Reach::Guarded(listed.into()))
}

fn trusted_proxies(server: &Server) -> Result<Vec<Cidr>, Invalid> {
    let network = |text: &String| {
        text.parse().map_err(|error| Invalid::at("server.trusted_proxies", format_args!("`{text}` is {error}")))
    };
    server.trusted_proxies.iter().map(network).collect()
}

fn routes(document: &Document) -> Result<RouteSettings, Invalid> {
    let typed = &document.routes;
    let time = |name: &str, text: &str| {
        let read = duration(text).filter(|time| !time.is_zero());
        read.ok_or_else(|| {
            Invalid::at(format!("routes.{name}"), format_args!("`{text}` is not a duration such as 15s"))
        })
    };
    let attempts = usize::try_from(typed.attempts).unwrap_or(usize::MAX);
    if !(1..=claviger_domain::limits::ATTEMPTS_MAX).contains(&attempts) {
        return Err(Invalid::at("routes.attempts", "lies between 1 and 5"));
    }
    Ok(RouteSettings {
        attempts,
        keep_alive: time("keepalive", &typed.keepalive)?,
        commit_headers: time("commit_headers", &typed.commit_headers)?,
    })
}

/// 0 is no limit.
fn key_limits(limits: &super::typed::Limits) -> Limits {
    let limit = |number: u32| (number > 0).then_some(number);
    Limits { rpm: limit(limits.rpm), tpm: limit(limits.tpm), concurrency: limit(limits.concurrency), burst: None }
}

/// Which of two words is written.
fn is_first(place: &str, typed: &str, words: [&str; 2]) -> Result<bool, Invalid> {
    match words.iter().position(|word| *word == typed) {
        Some(place) => Ok(place == 0),
        None => Err(one_of(place, typed, &words)),
    }
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
    Ok(DatabaseUrl::Postgres(format!("{scheme}://{user}:{}@{host}{tail}", crate::percent::encoded(password.expose()))))
}
