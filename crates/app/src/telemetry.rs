//! Logs: text for people, JSON for machines, always on standard error. Secrets have types that do not print.

use crate::config::Config;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging for the server.
pub(crate) fn start(config: &Config) {
    // Drivers are chatty below `warn`; what matters of theirs comes back as our own errors.
    let filter = EnvFilter::new(format!("{},sqlx=warn,hyper=warn,hyper_util=warn,rustls=warn", config.log_level));
    let is_json = config.log_json.unwrap_or_else(|| !std::io::stderr().is_terminal());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    let started = if is_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    if let Err(error) = started {
        eprintln!("logging could not be started: {error}");
    }
}

/// Logging for one command: only what went wrong.
pub(crate) fn start_quiet() {
    let filter = EnvFilter::new("error,sqlx=off");
    // A second start in one process, as tests do, changes nothing.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
