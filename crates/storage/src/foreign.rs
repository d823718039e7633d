//! Reading the key tables of other systems' databases, for the importers: rows as JSON texts, nothing is ever written.
//!
//! Which column means what is the importers' business. A SQLite file is opened read-only and unlocked; a Postgres server is
//! asked inside a read-only transaction.

use crate::error::Error;
use futures_util::TryStreamExt as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::path::Path;

/// A table that importers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignTable {
    /// LiteLLM's virtual keys.
    LiteLlmKeys,
    /// The tokens of one-api, and of new-api, which grew out of it.
    OneApiTokens,
    /// Unkey's keys.
    UnkeyKeys,
}

impl ForeignTable {
    const fn name(self) -> &'static str {
        match self {
            Self::LiteLlmKeys => "LiteLLM_VerificationToken",
            Self::OneApiTokens => "tokens",
            Self::UnkeyKeys => "keys",
        }
    }
}

/// Where it is.
#[derive(Clone, Debug)]
pub enum ForeignSource<'a> {
    /// A SQLite file.
    Sqlite(&'a Path),
    /// A `postgres://` URL, with its password if it has one.
    Postgres(&'a str),
}

/// Gives every row as one JSON object to `each`; `false` ends the reading.
///
/// # Errors
/// When it cannot be opened, or has no such table.
pub async fn read_foreign(
    source: &ForeignSource<'_>,
    table: ForeignTable,
    each: &mut (dyn FnMut(String) -> bool + Send),
) -> Result<(), Error> {
    match source {
        ForeignSource::Sqlite(path) => read_sqlite(path, table, each).await,
        ForeignSource::Postgres(url) => read_postgres(url, table, each).await,
    }
}

async fn read_sqlite(
    path: &Path,
    table: ForeignTable,
    each: &mut (dyn FnMut(String) -> bool + Send),
) -> Result<(), Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).create_if_missing(false);
    let mut connection = options.disable_statement_logging().connect().await?;
    let columns =
        sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table.name()).fetch_all(&mut connection).await?;
    let mut members = Vec::new();
    for column in &columns {
        let name: String = column.try_get("name")?;
        members.push(format!("'{}', \"{}\"", name.replace('\'', "''"), name.replace('"', "\"\"")));
    }
    if members.is_empty() {
        return Err(Error::Conflict("the database has no such table"));
    }
    let sql = format!("SELECT json_object({}) AS found FROM \"{}\"", members.join(", "), table.name());
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
    while let Some(row) = rows.try_next().await? {
        if !each(row.try_get("found")?) {
            break;
        }
    }
    drop(rows);
    connection.close().await?;
    Ok(())
}

async fn read_postgres(
    url: &str,
    table: ForeignTable,
    each: &mut (dyn FnMut(String) -> bool + Send),
) -> Result<(), Error> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = options.disable_statement_logging().connect().await?;
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let sql = format!("SELECT CAST(row_to_json(t) AS TEXT) AS found FROM \"{}\" t", table.name());
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *tx);
    while let Some(row) = rows.try_next().await? {
        if !each(row.try_get("found")?) {
            break;
        }
    }
    drop(rows);
    tx.rollback().await?;
    connection.close().await?;
    Ok(())
}
