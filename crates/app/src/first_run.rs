//! What a start prints to people (`console.md` §1), on standard output and never in the log.

use crate::config::{Autodetect, Config, ServeConfig};
use claviger_control::Found;
use claviger_domain::secret::Secret;
use claviger_storage::Engine;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Everything the block tells.
pub(crate) struct Start<'a> {
    pub(crate) serve: &'a ServeConfig,
    pub(crate) engine: Engine,
    /// Whether this start made the data.
    pub(crate) is_fresh: bool,
    pub(crate) api: SocketAddr,
    pub(crate) private: SocketAddr,
    /// Where clients reach the API, without `/v1`.
    pub(crate) public_url: &'a str,
    pub(crate) took: Duration,
    /// Where the first owner comes in; `None` where one exists.
    pub(crate) set_up_link: Option<&'a str>,
    /// What this machine has already.
    pub(crate) found: &'a [Found],
    /// The simulator-only key of a first start.
    pub(crate) test_key: Option<&'a Secret<String>>,
}

/// The block as text.
pub(crate) fn block(start: &Start<'_>) -> String {
    let config = &start.serve.config;
    let engine = match start.engine {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "Postgres",
    };
    let fresh = if start.is_fresh { "new, " } else { "" };
    let files = match config.files.last() {
        None => "none (defaults)".to_owned(),
        Some(file) => file.display().to_string(),
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "claviger {}    data {} ({fresh}{engine})    config {files}    ready in {}.{} s",
        env!("CARGO_PKG_VERSION"),
        config.data.display(),
        start.took.as_secs(),
        start.took.subsec_millis() / 100,
    );
    let _ = writeln!(text, "  API      {}/v1          Private  http://{}", start.public_url, start.private);
    if start.is_fresh {
        let data = data_option(config);
        let _ = writeln!(text, "  Set up   claviger setup{data} --organization NAME --email E --password-file F");
    }
    if let Some(link) = start.set_up_link {
        let data = data_option(config);
        let _ = writeln!(text, "      or   {link}");
        let _ = writeln!(text, "           once, within 15 minutes; a new one: claviger setup-link{data}");
    }
    if !start.found.is_empty() {
        let _ = writeln!(text, "  Found    {}", found(start.found));
        let data = data_option(config);
        let _ = match start.serve.autodetect {
            Autodetect::Enable => writeln!(text, "           in use, since providers.autodetect = \"enable\""),
            Autodetect::Offer | Autodetect::Off => {
                writeln!(text, "           nothing of it is used until you say so: claviger providers detect{data}")
            }
        };
    }
    if !start.api.ip().is_loopback() {
        let _ = writeln!(text, "  Plain HTTP on {}: something in front must end TLS", start.api);
    }
    if let Some(key) = start.test_key {
        let _ = write!(
            text,
            "  Try now  with a test key (24 hours, simulator only):\n    export OPENAI_BASE_URL={}/v1 OPENAI_API_KEY={}\n    curl \"$OPENAI_BASE_URL/chat/completions\" -H \"Authorization: Bearer $OPENAI_API_KEY\" \\\n      -H 'Content-Type: application/json' -d '{{\"model\":\"sim-echo\",\"messages\":[{{\"role\":\"user\",\"content\":\"Say hello\"}}]}}'\n",
            start.public_url,
            key.expose(),
        );
    }
    text
}

/// Names of variables, and servers with the number of their models.
fn found(all: &[Found]) -> String {
    let one = |found: &Found| match &found.models {
        Some(models) if models.len() == 1 => format!("{} (1 model)", found.label),
        Some(models) => format!("{} ({} models)", found.label, models.len()),
        None => found.label.clone(),
    };
    all.iter().map(one).collect::<Vec<_>>().join(" · ")
}

/// ` --data DIR` with the whole path, unless a command finds the directory by itself where the server was started.
fn data_option(config: &Config) -> String {
    if config.has_default_data() {
        return String::new();
    }
    let path = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    format!(" --data {}", quoted(&path.display().to_string()))
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,".contains(&byte);
    if text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags, Variables};

    #[test]
    fn what_was_found_is_named_and_no_value_of_it() {
        let one = |label: &str, models: Option<Vec<String>>| Found {
            name: "x",
            label: label.to_owned(),
            dialect: claviger_domain::catalog::Dialect::Ollama,
            base_url: "http://127.0.0.1:11434".to_owned(),
            variable: None,
            models,
        };
        let models = (1..=3).map(|number| number.to_string()).collect();
        let all = [one("OPENAI_API_KEY", None), one("Ollama on 127.0.0.1:11434", Some(models))];
        assert_eq!(found(&all), "OPENAI_API_KEY · Ollama on 127.0.0.1:11434 (3 models)");
    }

    fn option(data: Option<&str>) -> String {
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let file = folder.path().join("claviger.toml");
        std::fs::write(&file, "").expect("written");
        let flags = Flags { config: Some(file), data: data.map(Into::into), ..Flags::default() };
        data_option(&config::load(&flags, &Variables::default()).expect("a configuration"))
    }

    #[test]
    fn the_set_up_line_finds_the_directory_that_is_served() {
        assert_eq!(option(None), "");
        assert_eq!(option(Some("claviger-data")), "");
        assert_eq!(option(Some("/var/lib/claviger-data")), " --data /var/lib/claviger-data");
        assert_eq!(option(Some("/srv/it's here")), r" --data '/srv/it'\''s here'");
        let relative = option(Some("data"));
        assert!(relative.starts_with(" --data /") && relative.ends_with("/data"), "{relative}");
    }
}
