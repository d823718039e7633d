//! Stores for tests: SQLite in a directory of its own, Postgres in a database made from a template.
//!
//! Postgres is never skipped. The cluster is shared by all test processes and named by `CLAVIGER_TEST_POSTGRES`; without
//! it every Postgres test fails and says what starts it. SQLite lies in a real directory, never in memory: durability is
//! what is tested.

use claviger_domain::time::{Clock as _, Now};
use claviger_storage::{DatabaseUrl, Engine, OpenError, Store, schema_fingerprint};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The URL of a Postgres cluster where tests may make databases, without a database name.
pub const POSTGRES_VARIABLE: &str = "CLAVIGER_TEST_POSTGRES";

/// The engines that every storage test runs on.
pub const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// The audit key of test stores.
pub const AUDIT_KEY: [u8; 32] = [7; 32];

/// A place for one database, removed when dropped.
pub struct TestDatabase {
    url: DatabaseUrl,
    directory: TempDir,
}

/// An open store in a place of its own.
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// Where it lies; dropped after the store.
    pub database: TestDatabase,
}

impl TestDatabase {
    /// A fresh, empty place: a directory, or a database copied from the migrated template.
    ///
    /// # Panics
    /// When it cannot be made, above all when no Postgres is running.
    pub async fn new(engine: Engine) -> Self {
        let directory = tempfile::Builder::new().prefix("claviger-").tempdir().expect("a temporary directory");
        let url = match engine {
            Engine::Sqlite => DatabaseUrl::Sqlite(directory.path().join("claviger.db")),
            Engine::Postgres => {
                let template = template().await;
                let name = database_name(directory.path());
                create_from(&name, &template);
                DatabaseUrl::Postgres(format!("{}/{name}", postgres_url()))
            }
        };
        Self { url, directory }
    }

    /// Where it lies.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// A directory that belongs to this test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Opens it.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(&self) -> Result<Store, OpenError> {
        Store::open(&self.url, AUDIT_KEY, now()).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if matches!(self.url, DatabaseUrl::Postgres(_)) {
            // The cluster is temporary too: what cannot be dropped now goes with it.
            let _ = psql(&format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", database_name(self.directory.path())));
        }
    }
}

impl TestStore {
    /// A fresh store.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn new(engine: Engine) -> Self {
        let database = TestDatabase::new(engine).await;
        let store = database.open().await.expect("a fresh store opens");
        Self { store, database }
    }

    /// Closes and opens it again, as a restart does.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn reopen(self) -> Self {
        self.store.close().await;
        let store = self.database.open().await.expect("a closed store opens again");
        Self { store, database: self.database }
    }
}

/// The time at which test stores are opened.
pub fn now() -> Now {
    crate::clock::SteppedClock::new().now()
}

/// The cluster's URL.
///
/// # Panics
/// When the variable is not set: Postgres is never skipped.
pub fn postgres_url() -> String {
    #[expect(clippy::disallowed_methods, reason = "the one variable by which the test runner names its cluster")]
    let url = std::env::var(POSTGRES_VARIABLE);
    match url {
        Ok(url) if !url.is_empty() => url.trim_end_matches('/').to_owned(),
        _ => panic!(
            "{POSTGRES_VARIABLE} is not set, and tests on Postgres are never skipped: `cargo xtask test` starts a \
             private cluster and sets it; by hand, name any cluster where databases may be made, such as \
             {POSTGRES_VARIABLE}=postgres://postgres@127.0.0.1:5432"
        ),
    }
}

/// The migrated template of this schema, made once a cluster, whichever process comes first.
async fn template() -> String {
    let name = format!("claviger_template_{}", &schema_fingerprint()[..16]);
    let port = postgres_url().rsplit(':').next().unwrap_or_default().to_owned();
    let lock = std::env::temp_dir().join(format!("claviger-test-template-{port}.lock"));
    let lock = OpenOptions::new().create(true).append(true).open(lock).expect("a lock file");
    lock.lock().expect("the template's lock");
    let is_made = psql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}' AND datistemplate"));
    if is_made.expect("the cluster answers").trim() != "1" {
        let _ = psql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        psql(&format!("CREATE DATABASE {name}")).expect("the template is made");
        let url = DatabaseUrl::Postgres(format!("{}/{name}", postgres_url()));
        Store::open(&url, AUDIT_KEY, now()).await.expect("the template migrates").close().await;
        psql(&format!("ALTER DATABASE {name} WITH IS_TEMPLATE true")).expect("the template is marked");
    }
    name
}

/// Sessions of the template end a moment after their sockets, so it may be in use for an instant.
fn create_from(name: &str, template: &str) {
    for pause_ms in [0, 50, 200, 500, 1000, 2000] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        if psql(&format!("CREATE DATABASE \"{name}\" TEMPLATE {template}")).is_ok() {
            return;
        }
    }
    psql(&format!("CREATE DATABASE \"{name}\" TEMPLATE {template}")).expect("a database for this test");
}

/// The directory's name is unique on this machine; so is the database's.
fn database_name(directory: &Path) -> String {
    directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Runs one statement as the cluster's superuser, with Debian's own client: `sqlx` stays in the storage crate.
fn psql(sql: &str) -> Result<String, String> {
    let output = Command::new(psql_path())
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .arg(format!("{}/postgres", postgres_url()))
        .output()
        .map_err(|error| format!("psql does not start: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn psql_path() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin/psql")).filter(|path| path.exists());
    installed.max().unwrap_or_else(|| PathBuf::from("psql"))
}
