//! Configuration: what the operator typed ([`typed`]), where it came from ([`layers`]), and what it means ([`resolve`]).
//!
//! Precedence: flag › variable › `./claviger.toml` or `--config` › user file › `/etc/claviger/claviger.toml` › default.
//! Unknown keys are refused with file, line and the nearest name.

mod catalog;
mod issuers;
mod layers;
mod nearest;
mod people;
mod prices;
mod quantity;
mod reporters;
mod resolve;
mod secret_file;
mod sinks;
mod typed;

#[cfg(test)]
mod tests;

pub(crate) use catalog::OFFERED_SINCE;
pub(crate) use layers::{Flags, Variables};
pub(crate) use resolve::{Autodetect, Config, PlainHttp, ServeConfig};
pub(crate) use secret_file::read_secret;
pub(crate) use sinks::AuditSink;

/// A configuration that cannot be used: where, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub(crate) struct Invalid {
    place: String,
    what: String,
}

impl Invalid {
    /// At a place that is a file with a line, a variable or a flag.
    pub(crate) fn at(place: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Self { place: place.to_string(), what: what.to_string() }
    }
}

/// Reads every layer and says what they mean together, for commands that need the store but do not serve.
pub(crate) fn load(flags: &Flags, variables: &Variables) -> Result<Config, Invalid> {
    let typed = layers::read(flags, variables)?;
    resolve::config(&typed, flags)
}

/// As [`load`], with catalog and prices, for the server.
pub(crate) fn load_for_serving(flags: &Flags, variables: &Variables) -> Result<ServeConfig, Invalid> {
    let typed = layers::read(flags, variables)?;
    resolve::serve_config(typed, flags)
}
