//! Migrations: numbered files, one directory for both engines, each one transaction.
//!
//! A file has sections: `--! both`, `--! sqlite`, `--! postgres`. A shipped file is never edited: its hash is kept, and a
//! database whose hash differs, or that is newer than this program, is refused untouched. On Postgres every text column
//! compares by bytes (`COLLATE "C"`), as on SQLite, so that ids sort by time whatever the database's locale.

use crate::cells::Cells as _;
use crate::door::{Link, Linked, both};
use crate::error::{Error, OpenError};
use crate::store::Engine;
use claviger_domain::time::Now;
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;

const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("migrations/0001_first.sql")),
    (2, include_str!("migrations/0002_keys.sql")),
    (3, include_str!("migrations/0003_limits.sql")),
    (4, include_str!("migrations/0004_people.sql")),
    (5, include_str!("migrations/0005_places.sql")),
    (6, include_str!("migrations/0006_audit.sql")),
    (7, include_str!("migrations/0007_nodes.sql")),
    (8, include_str!("migrations/0008_journal.sql")),
    (11, include_str!("migrations/0011_places.sql")),
    (12, include_str!("migrations/0012_proof.sql")),
    (13, include_str!("migrations/0013_charges.sql")),
    (14, include_str!("migrations/0014_rights.sql")),
    (15, include_str!("migrations/0015_places.sql")),
    (16, include_str!("migrations/0016_replays.sql")),
    (17, include_str!("migrations/0017_tasks.sql")),
    (18, include_str!("migrations/0018_providers.sql")),
    (20, include_str!("migrations/0020_keys.sql")),
    (21, include_str!("migrations/0021_key_spend.sql")),
    (22, include_str!("migrations/0022_usage.sql")),
];

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (\
    version BIGINT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)";
const LIST: &str = "SELECT version, sha256 FROM schema_migration ORDER BY version";
const RECORD: &str = "INSERT INTO schema_migration (version, sha256, applied_at) VALUES ($1, $2, $3)";

/// A bare connection, before there is a store.
pub(crate) struct Bare<'c>(pub(crate) Link<'c>);

impl Linked for Bare<'_> {
    fn link(&mut self) -> Link<'_> {
        match &mut self.0 {
            Link::Sqlite(connection) => Link::Sqlite(connection),
            Link::Postgres(connection) => Link::Postgres(connection),
        }
    }
}

/// The migrations that this database still needs, oldest first; empty = level. `None` of the list's first = a fresh one.
pub(crate) struct Plan {
    pending: Vec<&'static (i64, &'static str)>,
    pub(crate) is_fresh: bool,
}

impl Plan {
    pub(crate) fn is_level(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Compares the database with this program.
///
/// # Errors
/// `SchemaTooNew`, `SchemaDiffers`: nothing was touched but the (empty) table of migrations.
pub(crate) async fn plan(bare: &mut Bare<'_>) -> Result<Plan, OpenError> {
    both!(bare, c => { sqlx::query(CREATE_TABLE).execute(c).await?; });
    let applied: Vec<(i64, String)> = both!(bare, c => {
        let mut list = Vec::new();
        for row in sqlx::query(LIST).fetch_all(c).await? {
            list.push((row.int("version")?, row.text("sha256")?));
        }
        list
    });
    let known = MIGRATIONS.iter().map(|(version, _)| *version).max().unwrap_or(0);
    for (version, hash) in &applied {
        let Some((_, text)) = MIGRATIONS.iter().find(|(known, _)| known == version) else {
            return Err(OpenError::SchemaTooNew { found: *version, known });
        };
        if *hash != hash_of(text) {
            return Err(OpenError::SchemaDiffers(*version));
        }
    }
    let pending = MIGRATIONS.iter().filter(|(version, _)| !applied.iter().any(|(done, _)| done == version)).collect();
    Ok(Plan { pending, is_fresh: applied.is_empty() })
}

/// Brings the database level, each migration in one transaction.
///
/// # Errors
/// The database's; a failed migration leaves no trace.
pub(crate) async fn apply(bare: &mut Bare<'_>, engine: Engine, plan: &Plan, now: Now) -> Result<(), Error> {
    for (version, text) in &plan.pending {
        both!(bare, c => { sqlx::raw_sql("BEGIN").execute(c).await?; });
        let done = run(bare, engine, *version, text, now).await;
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        both!(bare, c => { sqlx::raw_sql(end).execute(c).await?; });
        done?;
    }
    Ok(())
}

async fn run(bare: &mut Bare<'_>, engine: Engine, version: i64, text: &str, now: Now) -> Result<(), Error> {
    let sql = sections(text, engine);
    both!(bare, c => { sqlx::raw_sql(AssertSqlSafe(sql)).execute(c).await?; });
    both!(bare, c => {
        sqlx::query(RECORD).bind(version).bind(hash_of(text)).bind(now.wall.0).execute(c).await?;
    });
    Ok(())
}

fn sections(text: &str, engine: Engine) -> String {
    let mine = match engine {
        Engine::Sqlite => "--! sqlite",
        Engine::Postgres => "--! postgres",
    };
    let mut is_mine = false;
    let mut sql = String::new();
    for line in text.lines() {
        if line.starts_with("--!") {
            is_mine = line == mine || line == "--! both";
        } else if is_mine {
            sql.push_str(line);
            sql.push('\n');
        }
    }
    match engine {
        Engine::Sqlite => sql,
        Engine::Postgres => sql.replace(" TEXT", " TEXT COLLATE \"C\""),
    }
}

/// What the schema of this program is, as one hash: equal programs make equal schemas.
pub fn schema_fingerprint() -> String {
    MIGRATIONS.iter().fold(String::new(), |sum, (_, text)| hash_of(&format!("{sum}{text}")))
}

fn hash_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
