//! Where each setting came from: files, then variables, then flags, the later over the earlier.
//!
//! Each layer is checked by itself, so that an error names its own file and line or its own variable.

use super::Invalid;
use super::nearest::suggestion;
use super::typed::Document;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What flags said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--database-url`.
    pub(crate) database_url: Option<String>,
    /// `--listen`.
    pub(crate) listen: Option<String>,
    /// `--private-listen`.
    pub(crate) private_listen: Option<String>,
    /// `--public-url`.
    pub(crate) public_url: Option<String>,
    /// `--plain-http`.
    pub(crate) plain_http: bool,
    /// `--quickstart`.
    pub(crate) quickstart: bool,
}

/// The process's environment, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads the environment: the one place that does.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads variables")]
    pub(crate) fn of_process() -> Self {
        Self::new(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// An environment of these variables.
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// One variable.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// All layers as one document.
pub(super) struct Layered {
    pub(super) document: Document,
    /// The files that were read, the strongest last.
    pub(super) files: Vec<PathBuf>,
    /// The text of the strongest file, to find lines in.
    pub(super) text: String,
}

impl Layered {
    /// The strongest file and the line on which `needle` stands there, for errors about what a table says.
    pub(super) fn place_of(&self, needle: &str) -> String {
        let Some(file) = self.files.last() else { return "configuration".to_owned() };
        place(file, &self.text, needle)
    }

    /// The directory that relative `…_file` names start from: the strongest file's.
    pub(super) fn base(&self) -> PathBuf {
        self.files.last().and_then(|file| file.parent()).map(Path::to_path_buf).unwrap_or_default()
    }
}

/// `file:line` of the first line that holds `"needle"`; the file alone if none does.
pub(super) fn place(file: &Path, text: &str, needle: &str) -> String {
    let quoted = [format!("\"{needle}\""), format!("'{needle}'")];
    let line = text.lines().position(|line| quoted.iter().any(|quoted| line.contains(quoted)));
    line.map_or_else(|| file.display().to_string(), |line| format!("{}:{}", file.display(), line + 1))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Flag,
    List,
}

/// Every scalar, so that `CLAVIGER_<TOPIC>_<KEY>` sets it.
const SCALARS: &[(&str, &str, Kind)] = &[
    ("server", "data_dir", Kind::Text),
    ("server", "listen", Kind::Text),
    ("server", "private_listen", Kind::Text),
    ("server", "public_urls", Kind::List),
    ("server", "plain_http", Kind::Text),
    ("server", "trusted_proxies", Kind::List),
    ("server", "forwarded", Kind::Text),
    ("server", "drain", Kind::Text),
    ("server", "out_of_credit_status", Kind::Integer),
    ("storage", "database_url", Kind::Text),
    ("storage", "database_password_file", Kind::Text),
    ("storage", "validity_lease", Kind::Text),
    ("storage", "journal", Kind::Text),
    ("storage", "auto_migrate", Kind::Flag),
    ("storage", "audit_sinks", Kind::List),
    ("storage", "audit_webhook_secret_file", Kind::Text),
    ("storage", "audit_strict", Kind::Flag),
    ("keys", "prefix", Kind::Text),
    ("keys", "also_accept", Kind::List),
    ("keys", "pepper_file", Kind::Text),
    ("keys", "github_keys_file", Kind::Text),
    ("keys", "canary_disables", Kind::Flag),
    ("keys", "spend_alert", Kind::Text),
    ("limits", "rpm", Kind::Integer),
    ("limits", "tpm", Kind::Integer),
    ("limits", "concurrency", Kind::Integer),
    ("limits", "self_service_rpm", Kind::Integer),
    ("providers", "autodetect", Kind::Text),
    ("providers", "allow_private", Kind::List),
    ("providers", "own_models", Kind::Text),
    ("routes", "attempts", Kind::Integer),
    ("routes", "keepalive", Kind::Text),
    ("routes", "commit_headers", Kind::Text),
    ("signup", "mode", Kind::Text),
    ("signup", "verify_email", Kind::Flag),
    ("signup", "allowed_domains", Kind::List),
    ("signup", "starting_credit", Kind::Text),
    ("signup", "password_login", Kind::Flag),
    ("signup", "passkeys", Kind::Flag),
    ("signup", "password_min", Kind::Integer),
    ("signup", "session_idle", Kind::Text),
    ("signup", "session_max", Kind::Text),
    ("signup", "invite_ttl", Kind::Text),
    ("signup", "reset_ttl", Kind::Text),
    ("email", "host", Kind::Text),
    ("email", "port", Kind::Integer),
    ("email", "tls", Kind::Text),
    ("email", "username", Kind::Text),
    ("email", "password_file", Kind::Text),
    ("email", "from", Kind::Text),
    ("email", "reply_to", Kind::Text),
    ("prices", "currency", Kind::Text),
    ("prices", "files", Kind::List),
    ("telemetry", "log", Kind::Text),
    ("telemetry", "level", Kind::Text),
    ("telemetry", "access_log", Kind::Flag),
    ("billing", "upstream_cut", Kind::Text),
    ("console", "simulator_for_live_keys", Kind::Flag),
];

const PREFIX: &str = "CLAVIGER_";

/// Reads and joins every layer.
pub(super) fn read(flags: &Flags, variables: &Variables) -> Result<Layered, Invalid> {
    let mut joined = toml::Table::new();
    let mut files = Vec::new();
    let mut text = String::new();
    for file in candidates(flags, variables) {
        let Some(found) = read_file(&file, flags.config.as_ref() == Some(&file))? else { continue };
        overlay(&mut joined, check(&file, &found)?);
        files.push(file);
        text = found;
    }
    for (name, value) in variables.0.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX)) {
        if names_a_topic(name) {
            overlay(&mut joined, of_variable(name, value)?);
        }
    }
    let mut document: Document =
        joined.try_into().map_err(|error: toml::de::Error| Invalid::at("configuration", error.message()))?;
    of_flags(&mut document, flags);
    Ok(Layered { document, files, text })
}

/// Whether a variable is meant for us: the programs around this one, tests and benches, have variables of their own.
fn names_a_topic(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    SCALARS.iter().any(|(topic, _, _)| {
        rest.get(..topic.len()).is_some_and(|start| start.eq_ignore_ascii_case(topic))
            && rest.as_bytes().get(topic.len()) == Some(&b'_')
    })
}

/// Weakest first.
fn candidates(flags: &Flags, variables: &Variables) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("/etc/claviger/claviger.toml")];
    let user = variables
        .find("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variables.find("HOME").map(|home| Path::new(home).join(".config")));
    files.extend(user.map(|directory| directory.join("claviger/claviger.toml")));
    files.push(flags.config.clone().unwrap_or_else(|| PathBuf::from("claviger.toml")));
    files
}

fn read_file(file: &Path, must_exist: bool) -> Result<Option<String>, Invalid> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(error) => Err(Invalid::at(file.display(), format_args!("cannot be read: {error}"))),
    }
}

/// A file that reads on its own, as a table.
fn check(file: &Path, text: &str) -> Result<toml::Table, Invalid> {
    let invalid = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        Invalid::at(format_args!("{}:{line}", file.display()), explained(error.message()))
    };
    toml::from_str::<Document>(text).map_err(invalid)?;
    text.parse::<toml::Table>().map_err(invalid)
}

/// serde's words for an unknown key, with the nearest known one instead of the whole list.
pub(super) fn explained(message: &str) -> String {
    let message = message.trim_end();
    let Some(rest) = message.strip_prefix("unknown field `") else { return message.to_owned() };
    let Some((typed, list)) = rest.split_once('`') else { return message.to_owned() };
    let known = list.split('`').skip(1).step_by(2);
    format!("unknown key `{typed}`{}", suggestion(typed, known))
}

fn of_variable(name: &str, value: &str) -> Result<toml::Table, Invalid> {
    let invalid = |what: String| Invalid::at(format_args!("variable {name}"), what);
    let variable = |topic: &str, key: &str| format!("{PREFIX}{}_{}", topic.to_uppercase(), key.to_uppercase());
    let Some((topic, key, kind)) = SCALARS.iter().find(|(topic, key, _)| variable(topic, key) == name) else {
        let names: Vec<String> = SCALARS.iter().map(|(topic, key, _)| variable(topic, key)).collect();
        return Err(invalid(format!("no such setting{}", suggestion(name, names.iter().map(String::as_str)))));
    };
    let value = match kind {
        Kind::Text => toml::Value::String(value.to_owned()),
        Kind::Integer => {
            toml::Value::Integer(value.parse().map_err(|_| invalid(format!("`{value}` is not a whole number")))?)
        }
        Kind::Flag => {
            toml::Value::Boolean(value.parse().map_err(|_| invalid(format!("`{value}` is not true or false")))?)
        }
        Kind::List => toml::Value::Array(
            value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| toml::Value::String(part.to_owned()))
                .collect(),
        ),
    };
    let table =
        toml::Table::from_iter([((*topic).to_owned(), toml::Table::from_iter([((*key).to_owned(), value)]).into())]);
    table.clone().try_into::<Document>().map_err(|error| invalid(explained(error.message())))?;
    Ok(table)
}

fn of_flags(document: &mut Document, flags: &Flags) {
    let server = &mut document.server;
    if let Some(data) = &flags.data {
        server.data_dir = data.to_string_lossy().into_owned();
    }
    if let Some(listen) = &flags.listen {
        server.listen.clone_from(listen);
    }
    if let Some(listen) = &flags.private_listen {
        server.private_listen.clone_from(listen);
    }
    if let Some(url) = &flags.public_url {
        server.public_urls = vec![url.clone()];
    }
    if flags.plain_http {
        server.plain_http = "allow".to_owned();
    }
    if let Some(url) = &flags.database_url {
        document.storage.database_url.clone_from(url);
    }
}

/// Tables join, everything else is replaced.
fn overlay(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(lower)), toml::Value::Table(upper)) => overlay(lower, upper),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scalar_of_the_list_is_a_setting() {
        for (topic, key, kind) in SCALARS {
            let name = format!("{PREFIX}{}_{}", topic.to_uppercase(), key.to_uppercase());
            let value = match kind {
                Kind::Text | Kind::List => "x",
                Kind::Integer => "402",
                Kind::Flag => "true",
            };
            assert!(of_variable(&name, value).is_ok(), "{name}");
        }
    }
}
