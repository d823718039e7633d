//! How a command fails: what, why, the next command, and the exit code of `cli.md` §5.

use claviger_storage::OpenError;
use serde_json::Value;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing was done, as was asked.
    Unsent = 0,
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
    is_address_taken: bool,
}

impl Failure {
    /// A failure in our own words.
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), code: None, request: None, next: None, is_address_taken: false }
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
        let code = Some(code).filter(|code| !code.is_empty());
        Self { code, request: request.map(str::to_owned), next, ..Self::new(kind, what) }
    }

    /// Says what was looked up in vain, and what shows the names that there are. The API tells nobody what exists; who
    /// runs the command knows what was typed.
    #[must_use]
    pub(crate) fn looking_for(mut self, wanted: impl fmt::Display, next: &str) -> Self {
        if self.kind == Kind::NotFound {
            self.what = format!("{} {wanted}", self.what);
            self.next = Some(next.to_owned());
        }
        self
    }

    /// Names the option that chooses another address, if somebody listens on this one already.
    #[must_use]
    pub(crate) fn next_if_address_taken(mut self, option: &str) -> Self {
        if self.is_address_taken {
            self.next = Some(format!("stop what listens there, or choose another address with {option} HOST:PORT"));
        }
        self
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// Whether its sentence holds `words`.
    pub(crate) fn tells(&self, words: &str) -> bool {
        self.what.contains(words)
    }

    /// For the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Unsent {
            return f.write_str(&self.what);
        }
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

impl Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            // What has no kind of its own was found while files and addresses were looked at, as they are configured.
            Err(error) => {
                let kind = error.chain().find_map(kind_of).unwrap_or(Kind::Usage);
                let is_address_taken = error
                    .chain()
                    .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
                    .any(|cause| cause.kind() == std::io::ErrorKind::AddrInUse);
                Self { is_address_taken, ..Self::new(kind, format!("{error:#}")) }
            }
        }
    }
}

/// The kind of an error that the database gave.
fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return Some(match error {
            OpenError::DirectoryInUse { .. } | OpenError::DatabaseInUse => Kind::Conflict,
            OpenError::InvalidUrl(_) | OpenError::Directory { .. } => Kind::Usage,
            OpenError::Database(error) => kind_of_database(error),
            OpenError::SqliteTooOld(_)
            | OpenError::PostgresTooOld(_)
            | OpenError::SchemaTooNew { .. }
            | OpenError::SchemaDiffers(_)
            | OpenError::Damaged(_)
            | OpenError::Journal { .. } => Kind::Failed,
        });
    }
    error.downcast_ref().map(kind_of_database)
}

fn kind_of_database(error: &claviger_storage::Error) -> Kind {
    match error {
        error if error.is_unreachable() => Kind::Network,
        claviger_storage::Error::Conflict(_) => Kind::Conflict,
        _ => Kind::Failed,
    }
}

impl From<crate::config::Invalid> for Failure {
    fn from(invalid: crate::config::Invalid) -> Self {
        Self::new(Kind::Usage, invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn kind(error: OpenError) -> Kind {
        let failed: anyhow::Result<()> = Err(error.into());
        Failure::from(failed.context("while opening").unwrap_err()).kind
    }

    #[test]
    fn what_the_database_says_decides_the_exit_code() {
        assert_eq!(kind(OpenError::DatabaseInUse), Kind::Conflict);
        let in_use = OpenError::DirectoryInUse { directory: "/data".to_owned(), holder: String::new() };
        assert_eq!(kind(in_use), Kind::Conflict);
        assert_eq!(kind(OpenError::Damaged("page 3".to_owned())), Kind::Failed);
        assert_eq!(kind(OpenError::SchemaTooNew { found: 9, known: 1 }), Kind::Failed);
        assert_eq!(kind(OpenError::InvalidUrl("nonsense".to_owned())), Kind::Usage);
        assert_eq!(kind(OpenError::Database(claviger_storage::Error::Conflict("slug"))), Kind::Conflict);
    }

    #[test]
    fn a_failure_inside_another_error_keeps_its_kind() {
        let failed = anyhow::Error::new(Failure::new(Kind::Limit, "too much").next("less"));
        let failure = Failure::from(failed);
        assert_eq!(failure.kind, Kind::Limit);
        assert_eq!(failure.to_string(), "error: too much\n  next  less");
    }

    #[test]
    fn a_taken_address_names_the_option_that_chooses_another() {
        let taken = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let failure = Failure::from(anyhow::Error::new(taken).context("cannot listen on 127.0.0.1:8080"));
        assert!(failure.tells("cannot listen on 127.0.0.1:8080:"));
        assert!(
            failure.next_if_address_taken("--listen").to_string().ends_with("another address with --listen HOST:PORT")
        );
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let failure = Failure::from(anyhow::Error::new(denied).context("cannot listen on 127.0.0.1:80"));
        assert!(!failure.next_if_address_taken("--listen").to_string().contains("--listen"));
    }

    #[test]
    fn what_was_not_found_is_named() {
        let body = serde_json::json!({ "error": { "message": "Not found.", "code": "not_found" } });
        let failure = Failure::of_reply(404, &body, None).looking_for("There is no `acmee`.", "claviger credits");
        assert_eq!(
            failure.to_string(),
            "error: Not found. There is no `acmee`.\n  not_found\n  next  claviger credits"
        );
        let failure = Failure::of_reply(403, &body, None).looking_for("There is no `acmee`.", "claviger credits");
        assert!(!failure.to_string().contains("acmee"));
    }

    #[test]
    fn what_has_no_kind_is_wrong_configuration() {
        assert_eq!(Failure::from(anyhow::anyhow!("the file is not there")).kind, Kind::Usage);
    }
}
