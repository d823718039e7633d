//! Opening SQLite: the directory's lock, the library's version, damage after an unclean stop, migrations, readers.

use crate::cells::Cells as _;
use crate::door::Link;
use crate::error::{Error, OpenError};
use crate::migrate::{self, Bare};
use crate::store::{Engine, Readers};
use claviger_domain::limits;
use claviger_domain::time::Now;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The floor: 3.7.0 to 3.51.2 may corrupt a database in WAL mode (the WAL-reset bug), and 3.52.0 was withdrawn.
const VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
const WITHDRAWN: (u32, u32, u32) = (3, 52, 0);

/// The pages of a new database.
const PAGE_BYTES: u32 = 16 * 1024;

/// The name of the lock file beside the database.
const LOCK_FILE: &str = "claviger.lock";

/// The writable connection, how to make another, and the lock of the directory.
pub(crate) struct Open {
    pub(crate) connection: SqliteConnection,
    pub(crate) options: SqliteConnectOptions,
    pub(crate) lock: File,
}

pub(crate) async fn open(path: &Path, now: Now) -> Result<(Open, Readers), OpenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(directory)?;
    let lock = lock(directory)?;
    let was_unclean = std::fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let options = writing(path);
    let mut connection = options.connect().await?;
    check_version(&mut connection).await?;
    if was_unclean {
        check_damage(&mut connection).await?;
    }
    let plan = migrate::plan(&mut Bare(Link::Sqlite(&mut connection))).await?;
    if !plan.is_level() {
        if !plan.is_fresh {
            back_up(&mut connection, path, now).await?;
        }
        migrate::apply(&mut Bare(Link::Sqlite(&mut connection)), Engine::Sqlite, &plan, now).await?;
    }
    let readers = SqlitePoolOptions::new()
        .max_connections(limits::SQLITE_READERS)
        .acquire_timeout(limits::STATEMENT)
        .connect_with(reading(path))
        .await?;
    Ok((Open { connection, options, lock }, Readers::Sqlite(readers)))
}

fn basic(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("trusted_schema", "OFF")
        .pragma("mmap_size", "0")
        .disable_statement_logging()
}

fn writing(path: &Path) -> SqliteConnectOptions {
    basic(path)
        .create_if_missing(true)
        // Only a database that is made now takes it. Each page costs two writes to the WAL, one read and one write of a
        // checkpoint, and records come in hundreds: fewer, larger ones.
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        // 16 MiB of pages; a checkpoint costs two more fsyncs, so it comes every 1,000 pages (16 MiB of WAL).
        .pragma("cache_size", "-16384")
        .pragma("wal_autocheckpoint", "1000")
        .statement_cache_capacity(256)
}

fn reading(path: &Path) -> SqliteConnectOptions {
    // Reports stream many rows: a larger buffer saves a hop between threads for each few of them.
    basic(path).create_if_missing(false).pragma("query_only", "ON").row_buffer_size(512)
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|source| refused(directory, source))
}

/// Locks the directory for this process; the kernel gives the lock back when the process ends, however it ends.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|source| refused(&path, source))?;
    match file.try_lock() {
        Ok(()) => {
            // The number only helps the message of a second process; that it cannot be written is no reason to stop.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
            let holder = match holder.trim() {
                "" => String::new(),
                number => format!(" (process {number})"),
            };
            Err(OpenError::DirectoryInUse { directory: directory.display().to_string(), holder })
        }
        Err(TryLockError::Error(source)) => Err(refused(&path, source)),
    }
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let row = sqlx::query("SELECT sqlite_version() AS version").fetch_one(connection).await?;
    let version = row.text("version")?;
    if is_good(&version) { Ok(()) } else { Err(OpenError::SqliteTooOld(version)) }
}

fn is_good(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    version >= VERSION_MIN && version != WITHDRAWN
}

async fn check_damage(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await?;
    let result = row.text("quick_check")?;
    if result == "ok" { Ok(()) } else { Err(OpenError::Damaged(result)) }
}

/// One read snapshot into a file of its own, checked, before the schema changes; the last three are kept.
async fn back_up(connection: &mut SqliteConnection, path: &Path, now: Now) -> Result<(), OpenError> {
    let backup = beside(path, &format!(".before-migration-{}.bak", now.wall.0));
    let quoted = backup.display().to_string().replace('\'', "''");
    sqlx::raw_sql(AssertSqlSafe(format!("VACUUM INTO '{quoted}'"))).execute(&mut *connection).await?;
    let mut copy = basic(&backup).create_if_missing(false).read_only(true).connect().await?;
    check_damage(&mut copy).await?;
    copy.close().await?;
    forget_old_backups(path);
    Ok(())
}

fn forget_old_backups(path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
    let beginning = format!("{}.before-migration-", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut backups: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|entry| entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&beginning)))
        .collect();
    backups.sort();
    while backups.len() > 3 {
        // A backup too many harms nobody.
        let _ = std::fs::remove_file(backups.remove(0));
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn refused(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Directory { path: path.display().to_string(), source }
}

impl Open {
    /// Replaces the connection: after a failed group nothing of the old one is trusted.
    pub(crate) async fn reopen(&mut self) -> Result<(), Error> {
        let fresh = self.options.connect().await?;
        let old = std::mem::replace(&mut self.connection, fresh);
        // Closing rolls back whatever the failed group left open; an error of it tells nothing new.
        let _ = old.close().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_the_wal_reset_bug_are_refused() {
        for bad in ["3.7.0", "3.51.2", "3.52.0", "", "x"] {
            assert!(!is_good(bad), "{bad}");
        }
        for good in ["3.51.3", "3.51.10", "3.53.0", "4.0.0"] {
            assert!(is_good(good), "{good}");
        }
    }
}
