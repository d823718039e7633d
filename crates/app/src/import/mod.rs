//! `claviger import`: keys of other systems, taken over by digest so that clients keep theirs (`keys.md` §4).
//!
//! The source is read here and never leaves this machine: what is sent is the SHA-256 of each text with its name and
//! limits. Which system calls a column what is in [`systems`]; where rows come from in [`rows`].

pub(crate) mod rows;
pub(crate) mod systems;

use serde_json::Value;

/// A key as it was found, in the words of `POST /v1/organization/api_keys/import`, and what is lost on the way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// The row to send.
    pub(crate) row: Value,
    /// What the source said that has no place here, or only nearly one.
    pub(crate) notes: Vec<String>,
}

/// Systems that keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum System {
    /// LiteLLM: database or JSON export
    Litellm,
    /// Unkey: database or JSON export
    Unkey,
    /// OpenRouter: the reply of its keys API
    Openrouter,
    /// new-api: database, JSON or CSV export
    NewApi,
    /// one-api: database, JSON or CSV export
    OneApi,
    /// A CSV file with the columns sha256, name, …
    Csv,
}

impl System {
    /// Its name in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Litellm => "litellm",
            Self::Unkey => "unkey",
            Self::Openrouter => "openrouter",
            Self::NewApi => "new-api",
            Self::OneApi => "one-api",
            Self::Csv => "csv",
        }
    }
}
