//! What can go wrong below a storage method, and what a caller may do about it.
//!
//! Not found is not an error (`Ok(None)`), nor is a refusal by a rule (a value of the method's own outcome). Engine types
//! never leave the crate: causes are kept as opaque sources.

use std::fmt;

/// Why an act did not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was changed; the same call may be repeated later.
    #[error("the database is not available: {0}")]
    Unavailable(Cause),
    /// The same id or unique name exists with other content, or an amount would leave its range. Nothing was changed; a
    /// repetition is useless.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The answer to COMMIT did not arrive: it may or may not be in force. Repeat the same call with the same ids; it
    /// counts once.
    #[error("the outcome is unknown; repeat with the same ids: {0}")]
    OutcomeUnknown(Cause),
    /// Whoever acts may not, or not any more, as it turned out under the lock. Nothing was changed.
    #[error("this goes beyond who asks")]
    Beyond,
    /// An organization would be left without an active owner. Nothing was changed.
    #[error("the last owner stays")]
    LastOwner,
    /// A stored row does not read.
    #[error("corrupt row in {table}: {row}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// Which row, and of it which part.
        row: String,
    },
}

/// An opaque cause, for logs.
#[derive(Debug)]
pub struct Cause {
    text: String,
    /// SQLSTATE 40001 or 40P01: the same act may be run again at once.
    pub(crate) is_transient: bool,
    /// A lock or a statement took too long, or the server had no room: it may pass a little later.
    pub(crate) is_busy: bool,
    /// A constraint said no: the statement is at fault, not the connection.
    pub(crate) is_constraint: bool,
    /// The server answered; without an answer the fate of a COMMIT is unknown.
    pub(crate) is_answered: bool,
    /// Reading or writing the disk failed: nothing may be trusted to a later fsync.
    pub(crate) is_disk: bool,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cause {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_transient: false,
            is_busy: false,
            is_constraint: false,
            is_answered: false,
            is_disk: false,
        }
    }
}

impl Error {
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self::Unavailable(Cause::text(text))
    }

    /// The database did not answer in time.
    pub fn unanswered() -> Self {
        Self::unavailable("the database does not answer in time")
    }

    /// The same failure, seen at COMMIT.
    pub(crate) fn at_commit(self) -> Self {
        match self {
            // A disk that failed may still have what was written: it is in force if the next process finds it.
            Self::Unavailable(cause) if !cause.is_answered || cause.is_disk => Self::OutcomeUnknown(cause),
            other => other,
        }
    }

    /// Whether the engine itself said what became of it; without that the session is not to be used again.
    pub(crate) fn is_answered(&self) -> bool {
        match self {
            Self::Unavailable(cause) | Self::OutcomeUnknown(cause) => cause.is_answered,
            Self::Conflict(_) | Self::Beyond | Self::LastOwner | Self::Corrupt { .. } => true,
        }
    }

    /// Whether the server could not be reached at all, as when it is just starting: it may be reached a little later.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if !cause.is_answered && !cause.is_disk)
    }

    /// A second copy for another waiter of the same group.
    pub(crate) fn again(&self) -> Self {
        let copy = |cause: &Cause| Cause { text: cause.text.clone(), ..*cause };
        match self {
            Self::Unavailable(cause) => Self::Unavailable(copy(cause)),
            Self::OutcomeUnknown(cause) => Self::OutcomeUnknown(copy(cause)),
            Self::Conflict(what) => Self::Conflict(what),
            Self::Beyond => Self::Beyond,
            Self::LastOwner => Self::LastOwner,
            Self::Corrupt { table, row } => Self::Corrupt { table, row: row.clone() },
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        let mut cause = Cause::text(error.to_string());
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                // Class 08 is a broken connection and 57P01 to 57P05 end the session: the server spoke, but not about the
                // fate of what ran. 25006 is a standby: not the server that the session is for.
                cause.is_answered = !code.starts_with("08") && !code.starts_with("57P") && code != "25006";
                cause.is_transient = matches!(code.as_str(), "40001" | "40P01");
                cause.is_busy = matches!(code.as_str(), "55P03" | "57014") || code.starts_with("53");
                cause.is_constraint = !matches!(database.kind(), ErrorKind::Other);
                // SQLite's result codes are decimal; the low byte 10 is SQLITE_IOERR.
                let is_sqlite = database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
                cause.is_disk = is_sqlite && code.parse::<i32>().is_ok_and(|code| code & 0xFF == 10);
                if matches!(database.kind(), ErrorKind::UniqueViolation) {
                    return Self::Conflict("an object with this id or name exists");
                }
            }
            sqlx::Error::ColumnDecode { index, source } => {
                return Self::Corrupt { table: "result", row: format!("column {index}: {source}") };
            }
            sqlx::Error::ColumnNotFound(name) => {
                return Self::Corrupt { table: "result", row: format!("column {name} is missing") };
            }
            _ => {}
        }
        Self::Unavailable(cause)
    }
}

/// Why a store could not be opened. Each is final: the process should say it and exit.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the data directory.
    #[error(
        "the data directory {directory} is in use by another process{holder}: stop it, or choose another directory"
    )]
    DirectoryInUse {
        /// The directory.
        directory: String,
        /// ` (process 123)`, if it is known.
        holder: String,
    },
    /// Another process serves as this node.
    #[error(
        "another process uses this database as the same node: nodes of one database need a data directory each, with a `seat` file of its own"
    )]
    DatabaseInUse,
    /// The SQLite library is older than 3.51.3 and may corrupt a database in WAL mode.
    #[error("SQLite {0} is linked, but 3.51.3 or later is needed (the WAL-reset bug of older ones corrupts databases)")]
    SqliteTooOld(String),
    /// The Postgres server is older than 15.
    #[error("the Postgres server has version {0}, but 15 or later is needed")]
    PostgresTooOld(String),
    /// The schema was made by a newer program.
    #[error("the database has schema {found}, this program knows up to {known}: start the newer program again")]
    SchemaTooNew {
        /// What the database has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// A migration that ran is not the one this program has.
    #[error("migration {0} of the database differs from this program's: nothing was touched")]
    SchemaDiffers(i64),
    /// `quick_check` after an unclean stop found damage.
    #[error("the database is damaged: {0}; restore a backup")]
    Damaged(String),
    /// The URL cannot be read.
    #[error("the database URL is not usable: {0}")]
    InvalidUrl(String),
    /// The file system refused.
    #[error("cannot use {path}: {source}")]
    Directory {
        /// What was touched.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The journal before the database does not read, or is another database's.
    #[error("the journal in {directory} cannot be used: {what}; nothing was touched")]
    Journal {
        /// Where it lies.
        directory: String,
        /// What is wrong, with the place.
        what: String,
    },
    /// Anything below.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
