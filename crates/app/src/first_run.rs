//! What a start prints to people (`console.md` §1), on standard output and never in the log.

use crate::config::ServeConfig;
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
        let _ = writeln!(text, "  Set up   claviger setup --organization NAME --email E --password-file F");
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
