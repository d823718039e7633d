//! What the operator writes, one struct per topic. What it means is `resolve.rs`.
//!
//! Only keys that do something exist: a key of a later release is refused like a misspelt one, because a setting that
//! is read and ignored is a lie.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A whole `claviger.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) server: Server,
    pub(super) storage: Storage,
    pub(super) keys: Keys,
    pub(super) signup: Signup,
    pub(super) email: Email,
    pub(super) limits: Limits,
    pub(super) providers: Providers,
    pub(super) routes: Routes,
    pub(super) prices: Prices,
    pub(super) telemetry: Telemetry,
    pub(super) billing: Billing,
    pub(super) console: Console,
    pub(super) oidc: Vec<Oidc>,
    pub(super) provider: Vec<Provider>,
    pub(super) model: Vec<Model>,
    pub(super) price: Vec<Price>,
}

/// `[server]`: where the program listens and lies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    /// Directory of database, pepper, socket. Default `./claviger-data`.
    pub(super) data_dir: String,
    /// Address of the API. Default `127.0.0.1:8080`.
    pub(super) listen: String,
    /// Address of health and metrics. Default `127.0.0.1:8081`.
    pub(super) private_listen: String,
    /// What clients use as base, `https://host/path`; the first is printed.
    pub(super) public_urls: Vec<String>,
    /// `loopback`: plain HTTP elsewhere is refused; `warn`; `allow`: something in front ends TLS.
    pub(super) plain_http: String,
    /// Networks whose forwarding header is believed; default none.
    pub(super) trusted_proxies: Vec<String>,
    /// The header they write the client into: `x-forwarded-for` or `forwarded`.
    pub(super) forwarded: String,
    /// How long running answers may go on after SIGTERM. Default `30s`.
    pub(super) drain: String,
    /// 429 or 402. Default 429.
    pub(super) out_of_credit_status: u16,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data_dir: "./claviger-data".to_owned(),
            listen: "127.0.0.1:8080".to_owned(),
            private_listen: "127.0.0.1:8081".to_owned(),
            public_urls: Vec::new(),
            plain_http: "loopback".to_owned(),
            trusted_proxies: Vec::new(),
            forwarded: "x-forwarded-for".to_owned(),
            drain: "30s".to_owned(),
            out_of_credit_status: 429,
        }
    }
}

/// `[storage]`: which engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storage {
    /// `postgres://user@host/database`; empty = SQLite in the data directory. Never with a password.
    pub(super) database_url: String,
    /// A 0600 file with the database's password.
    pub(super) database_password_file: String,
    /// How long a node may admit without news, 1 to 60 s. Default `10s`.
    pub(super) validity_lease: String,
    /// Where charges become durable on Postgres; only `database` exists yet.
    pub(super) journal: String,
    /// Whether the schema is brought level at start; only `true` exists yet.
    pub(super) auto_migrate: bool,
    /// Places besides the file in the data directory that get signed audit checkpoints: `file:/path`,
    /// `syslog+tcp://host:601`, `syslog+udp://host:514`, `syslog+unix:/dev/log`, `https://host/path`.
    pub(super) audit_sinks: Vec<String>,
    /// File with the secret that requests to `https://` sinks are signed with.
    pub(super) audit_webhook_secret_file: String,
    /// Whether changes are refused while a sink has missed checkpoints for five minutes. Default false.
    pub(super) audit_strict: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            database_url: String::new(),
            database_password_file: String::new(),
            validity_lease: "10s".to_owned(),
            journal: "database".to_owned(),
            auto_migrate: true,
            audit_sinks: Vec::new(),
            audit_webhook_secret_file: String::new(),
            audit_strict: false,
        }
    }
}

/// `[keys]`: how keys look.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    /// Prefix of new keys. Default `clv_`.
    pub(super) prefix: String,
    /// Further prefixes that are read.
    pub(super) also_accept: Vec<String>,
    /// GitHub's list of public keys for secret scanning, as its API gives it; empty = no such endpoint.
    pub(super) github_keys_file: String,
    /// Whether a canary that was presented disables the keys that are kept in the same place. Default false.
    pub(super) canary_disables: bool,
    /// What an hour of a key costs at least before its owners are told that it is far more than usual. Default 1; empty =
    /// never.
    pub(super) spend_alert: String,
    /// The pepper's file; empty = `pepper` in the data directory.
    pub(super) pepper_file: String,
    /// Keys that a new organization may have, neither revoked nor expired. Default 100.
    pub(super) max_per_organization: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            prefix: "clv_".to_owned(),
            also_accept: Vec::new(),
            github_keys_file: String::new(),
            canary_disables: false,
            spend_alert: "1".to_owned(),
            pepper_file: String::new(),
            max_per_organization: claviger_domain::limits::KEYS_PER_ORGANIZATION,
        }
    }
}

/// `[limits]`: the most that any one key may, whatever it says itself; 0 = none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Requests a minute.
    pub(super) rpm: u32,
    /// Tokens a minute.
    pub(super) tpm: u32,
    /// Requests in flight.
    pub(super) concurrency: u32,
    /// Requests a minute to what answers about the key itself: models, key, credits, verify. Default 600.
    pub(super) self_service_rpm: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rpm: 0, tpm: 0, concurrency: 0, self_service_rpm: claviger_domain::limits::SELF_SERVICE_RPM }
    }
}

/// `[signup]`: who may come, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Signup {
    /// `invite`, `open` or `closed`. Default `invite`.
    pub(super) mode: String,
    /// Whether live keys need a verified address, where mail goes out. Default true.
    pub(super) verify_email: bool,
    /// Domains of addresses that may sign up; empty = all.
    pub(super) allowed_domains: Vec<String>,
    /// Credit of an organization that somebody brings along, a decimal text. Default `0`.
    pub(super) starting_credit: String,
    /// Whether passwords sign in. Default true.
    pub(super) password_login: bool,
    /// Whether passkeys sign in, where the console has a host name. Default true.
    pub(super) passkeys: bool,
    /// Characters of a password, at least 12. Default 12.
    pub(super) password_min: u32,
    /// A session between two requests. Default `30m`.
    pub(super) session_idle: String,
    /// A session from sign-in to its end. Default `12h`.
    pub(super) session_max: String,
    /// How long an invite may be accepted. Default `7d`.
    pub(super) invite_ttl: String,
    /// How long a link to a new password works. Default `1h`.
    pub(super) reset_ttl: String,
}

impl Default for Signup {
    fn default() -> Self {
        Self {
            mode: "invite".to_owned(),
            verify_email: true,
            allowed_domains: Vec::new(),
            starting_credit: "0".to_owned(),
            password_login: true,
            passkeys: true,
            password_min: 12,
            session_idle: "30m".to_owned(),
            session_max: "12h".to_owned(),
            invite_ttl: "7d".to_owned(),
            reset_ttl: "1h".to_owned(),
        }
    }
}

/// `[email]`: the mail server; without a host, links are shown to be copied.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Email {
    /// The server; empty = no mail.
    pub(super) host: String,
    /// Its port. Default 587.
    pub(super) port: u16,
    /// `starttls`, `tls`, or `none` on this machine only. Default `starttls`.
    pub(super) tls: String,
    /// Whom we are there; empty = nobody.
    pub(super) username: String,
    /// A 0600 file with the password.
    pub(super) password_file: String,
    /// The sender, such as `Claviger <keys@acme.io>`.
    pub(super) from: String,
    /// Where answers go; empty = to the sender.
    pub(super) reply_to: String,
}

impl Default for Email {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            tls: "starttls".to_owned(),
            username: String::new(),
            password_file: String::new(),
            from: String::new(),
            reply_to: String::new(),
        }
    }
}

/// `[[oidc]]`: an issuer of tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Oidc {
    /// Unique; stands in paths and on the button.
    pub(super) name: String,
    /// Its URL, exactly as it stands in its tokens.
    pub(super) issuer: String,
    /// Whom we are there; needed for people.
    #[serde(default)]
    pub(super) client_id: String,
    /// A 0600 file with the client's secret; empty = a public client.
    #[serde(default)]
    pub(super) client_secret_file: String,
    /// What is asked for. Default `openid email profile`.
    #[serde(default = "scopes")]
    pub(super) scopes: Vec<String>,
    /// Domains of addresses that may come as new people; empty = all.
    #[serde(default)]
    pub(super) allowed_domains: Vec<String>,
    /// The slug of the organization that new people join; empty = none: they need an invite.
    #[serde(default)]
    pub(super) organization: String,
    /// With this role. Default `developer`.
    #[serde(default = "developer")]
    pub(super) role: String,
    /// A claim whose value decides the role instead.
    #[serde(default)]
    pub(super) role_claim: String,
    /// Which values stand for which role.
    #[serde(default)]
    pub(super) roles: BTreeMap<String, String>,
    /// Default `Continue with {name}`.
    #[serde(default = "button")]
    pub(super) button: String,
    /// `people` who sign in, `agents` that exchange tokens for keys. Default people.
    #[serde(default = "people", rename = "for")]
    pub(super) purposes: Vec<String>,
}

/// `[providers]`: what organizations may bring along, and what is looked for at the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Providers {
    /// `offer`: a fresh start names what it finds; `enable`: it is used; `off`: nobody looks. Default `offer`.
    pub(super) autodetect: String,
    /// Networks that organizations' own providers may reach though they are private or loopback; default none.
    pub(super) allow_private: Vec<String>,
    /// `free`: models of organizations' own providers cost nothing unless a price is set; `priced`: without one they are
    /// refused. Default `free`.
    pub(super) own_models: String,
}

impl Default for Providers {
    fn default() -> Self {
        Self { autodetect: "offer".to_owned(), allow_private: Vec::new(), own_models: "free".to_owned() }
    }
}

/// `[routes]`: how requests are put to targets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Routes {
    /// Attempts over all targets of one request, 1 to 5. Default 3.
    pub(super) attempts: u32,
    /// Silence of a stream before a comment keeps it alive. Default `15s`.
    pub(super) keepalive: String,
    /// How long the headers of a stream wait for the model server's first event. Default `30s`.
    pub(super) commit_headers: String,
}

impl Default for Routes {
    fn default() -> Self {
        Self { attempts: 3, keepalive: "15s".to_owned(), commit_headers: "30s".to_owned() }
    }
}

/// `[prices]`: the currency and where price lists lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Prices {
    /// ISO 4217. Default `USD`.
    pub(super) currency: String,
    /// Price files, each taken in whole or not at all.
    pub(super) files: Vec<String>,
}

impl Default for Prices {
    fn default() -> Self {
        Self { currency: "USD".to_owned(), files: Vec::new() }
    }
}

/// `[telemetry]`: the log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Telemetry {
    /// `auto` (text on a terminal, else JSON), `text` or `json`.
    pub(super) log: String,
    /// `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub(super) level: String,
    /// One line per request. Default true.
    pub(super) access_log: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "auto".to_owned(), level: "info".to_owned(), access_log: true }
    }
}

/// `[billing]`: the choices that the cut-off rule leaves to the operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Billing {
    /// What an answer costs that the upstream cut: `reported`, `counted` or `zero`.
    pub(super) upstream_cut: String,
}

impl Default for Billing {
    fn default() -> Self {
        Self { upstream_cut: "reported".to_owned() }
    }
}

/// `[console]`: what does not wait for the console.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Console {
    /// Whether live keys see the simulator's models.
    pub(super) simulator_for_live_keys: bool,
}

/// `[[provider]]`: an upstream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    /// Unique; shown in receipts.
    pub(super) name: String,
    /// How it speaks: `openai`, `vllm`, `sglang`, `llamacpp`, `ollama`, `compatible`.
    pub(super) dialect: String,
    /// `http://host:port` or `https://host/path`, with or without `/v1`.
    pub(super) base_url: String,
    /// A 0600 file with its credential.
    #[serde(default)]
    pub(super) key_file: String,
    /// Requests in flight on one node; 0 = no limit of its own.
    #[serde(default)]
    pub(super) max_concurrency: u32,
    /// Until the connection stands. Default `5s`.
    pub(super) connect: Option<String>,
    /// Until content begins. Default `600s`.
    pub(super) first_byte: Option<String>,
    /// Between two bytes. Default `300s`.
    pub(super) idle: Option<String>,
    /// The whole exchange. Default `3600s`.
    pub(super) total: Option<String>,
    /// How long a dead client's answer is read for its usage, at most 600 s. Default `10s`.
    pub(super) drain: Option<String>,
    /// Default true.
    #[serde(default = "yes")]
    pub(super) enabled: bool,
}

/// `[[model]]`: a public model id and its route.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// The public id.
    pub(super) id: String,
    /// Endpoints; empty = all that exist.
    #[serde(default)]
    pub(super) endpoints: Vec<String>,
    /// Further ids of the same model.
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    /// Tiers in order, each a list of weighted targets. Absent: the only provider there is.
    #[serde(default)]
    pub(super) tiers: Vec<Vec<Target>>,
    /// `key`: a caller's requests with one `prompt_cache_key` stay with one target of a tier. Default: by weight alone.
    #[serde(default)]
    pub(super) affinity: String,
    /// Lowers the providers' limits, so that a slow one is left for the next.
    pub(super) connect: Option<String>,
    /// As above.
    pub(super) first_byte: Option<String>,
    /// As above.
    pub(super) idle: Option<String>,
    /// As above.
    pub(super) total: Option<String>,
    /// Context length in tokens.
    pub(super) context: Option<u64>,
    /// The most output tokens of one choice.
    pub(super) max_output: Option<u64>,
    /// Costs nothing, on purpose.
    #[serde(default)]
    pub(super) free: bool,
}

/// One place that serves a model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) provider: String,
    /// The name there; absent = the public id.
    pub(super) model: Option<String>,
    /// Share within the tier; 0 = drained. Default 1.
    #[serde(default = "one")]
    pub(super) weight: u32,
}

/// `[[price]]`: one price, the short form of a price file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    pub(super) model: String,
    pub(super) meter: String,
    /// A decimal text.
    pub(super) sell: String,
    /// Units; default 1,000,000 for tokens and characters, else 1.
    pub(super) per: Option<u64>,
}

/// A price file (`money.md` §3), TOML or the same tree in JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceFile {
    pub(super) format: String,
    pub(super) currency: String,
    #[serde(default)]
    pub(super) list: Option<String>,
    #[serde(default)]
    pub(super) mode: Option<String>,
    #[serde(default)]
    pub(super) model: Vec<PricedModel>,
}

/// One model of a price file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PricedModel {
    pub(super) id: String,
    #[serde(default)]
    pub(super) free: bool,
    /// Meter → price text, per the default number of units.
    #[serde(default)]
    pub(super) price: BTreeMap<String, String>,
    /// Rows with their own number of units.
    #[serde(default)]
    pub(super) row: Vec<PriceRow>,
    /// `whole` or `marginal`.
    pub(super) tiers: Option<String>,
    #[serde(default)]
    pub(super) tier: Vec<PriceTier>,
}

/// One row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceRow {
    pub(super) meter: String,
    pub(super) price: String,
    pub(super) per: Option<u64>,
    /// Only for pictures of this size.
    pub(super) size: Option<String>,
    /// Only for pictures of this quality.
    pub(super) quality: Option<String>,
    /// Only for videos of this resolution.
    pub(super) resolution: Option<String>,
    /// Only for requests that are served in this tier.
    pub(super) service_tier: Option<String>,
}

/// Prices above a threshold of total input.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceTier {
    pub(super) input_over: u64,
    pub(super) price: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

fn developer() -> String {
    "developer".to_owned()
}

fn button() -> String {
    "Continue with {name}".to_owned()
}

fn people() -> Vec<String> {
    vec!["people".to_owned()]
}
