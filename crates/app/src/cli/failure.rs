//! How a command fails: what, why, the next command, and the exit code of `cli.md` §5.

use serde_json::Value;
use std::fmt;
use std::process::ExitCode;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Failed for a reason that no other code names.
    Failed = 1,
    /// Wrong use or configuration.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// Not signed in or not allowed.
    NotAllowed = 4,
    /// Conflict or stale.
    Conflict = 5,
    /// Refused by a limit, a budget or credit.
    Limit = 6,
    /// Network or upstream.
    Network = 7,
}

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    what: String,
    code: Option<String>,
    request: Option<String>,
    next: Option<String>,
}

impl Failure {
    /// A failure in our own words.
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), code: None, request: None, next: None }
    }

    /// Adds the command to try next.
    #[must_use]
    pub(crate) fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// The failure that an error reply tells.
    pub(crate) fn of_reply(status: u16, body: &Value, request: Option<&str>) -> Self {
        let error = &body["error"];
        let code = error["code"].as_str().unwrap_or_default().to_owned();
        let kind = match (status, code.as_str()) {
            (_, "key_limit_reached") | (402 | 429, _) => Kind::Limit,
            (_, "key_is_revoked" | "already_set_up" | "event_conflict") | (409 | 412, _) => Kind::Conflict,
            (401 | 403, _) => Kind::NotAllowed,
            (404, _) => Kind::NotFound,
            (400..=499, _) => Kind::Usage,
            (500, _) => Kind::Failed,
            _ => Kind::Network,
        };
        let what = error["message"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
        let next = (!code.is_empty()).then(|| format!("claviger help error {code}"));
        Self { kind, what, code: Some(code).filter(|code| !code.is_empty()), request: request.map(str::to_owned), next }
    }

    /// For the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        let details: Vec<&str> = [self.code.as_deref(), self.request.as_deref()].into_iter().flatten().collect();
        if !details.is_empty() {
            write!(f, "\n  {}", details.join("  "))?;
        }
        if let Some(next) = &self.next {
            write!(f, "\n  next  {next}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Kind::Usage, format!("{error:#}"))
    }
}

impl From<crate::config::Invalid> for Failure {
    fn from(invalid: crate::config::Invalid) -> Self {
        Self::new(Kind::Usage, invalid.to_string())
    }
}
