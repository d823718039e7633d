//! One Postgres cluster for the run: on a free port, in a directory of its own, gone afterwards.
//!
//! Postgres refuses to run as root, so there it runs as the user `postgres` that Debian's package makes.

use super::debian::is_root;
use crate::workspace::{self, Outcome, program, succeed};
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a new cluster may take until it answers.
const START: Duration = Duration::from_secs(30);

/// The running cluster; ends with this value.
pub(crate) struct Postgres {
    server: Child,
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// Where the newest installed Postgres has its programs.
pub(super) fn programs() -> Outcome<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map_err(|_| "Postgres is not installed".to_owned())?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .max_by_key(|folder| version(folder))
        .ok_or_else(|| "Postgres is not installed".to_owned())
}

fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

impl Postgres {
    /// Makes and starts a cluster that trusts every local connection.
    pub(crate) fn start() -> Outcome<Self> {
        let programs = programs()?;
        let folder = std::env::temp_dir().join(format!("claviger-postgres-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let data = folder.join("data");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        if is_root() {
            succeed(program("chown").arg("postgres").arg(&folder))?;
        }
        let mut initdb = as_postgres(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "claviger", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        succeed(initdb.stdout(Stdio::null()))?;
        let port = free_port()?;
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", "max_connections=400", "-c"]).arg(format!("unix_socket_directories={}", folder.display()));
        server.args(["-c", "log_min_messages=fatal"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().map_err(|error| format!("Postgres did not start: {error}"))?;
        let postgres = Self { server, programs, folder, port };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// The cluster, without a database: tests make their own.
    pub(crate) fn url(&self) -> String {
        format!("postgres://claviger@127.0.0.1:{}", self.port)
    }

    /// The folders that hold what the databases of the end-to-end tests have written, and the log of every write.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(super) fn written(&self) -> Outcome<Vec<PathBuf>> {
        let sql = "SELECT oid FROM pg_database WHERE datname LIKE 'e2e%'";
        let mut ask = program(self.programs.join("psql"));
        ask.args(["-XAtq", "-d", &format!("{}/postgres", self.url()), "-c", "CHECKPOINT", "-c", sql]);
        let data = self.folder.join("data");
        let listed = workspace::output(&mut ask)?;
        let databases = listed.lines().map(|oid| data.join("base").join(oid.trim()));
        Ok(databases.chain([data.join("pg_wal")]).collect())
    }

    fn wait_until_ready(&self) -> Outcome<()> {
        let begun = super::now();
        while begun.elapsed() < START {
            let mut ask = program(self.programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ask.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("Postgres did not answer within {} s", START.as_secs()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = as_postgres(&self.programs.join("pg_ctl"));
        stop.arg("-D").arg(self.folder.join("data")).args(["stop", "-m", "immediate", "-s"]);
        let _ = stop.status();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn as_postgres(name: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = workspace::program("runuser");
        command.args(["-u", "postgres", "--"]).arg(name);
        command
    } else {
        workspace::program(name)
    };
    command.current_dir("/");
    command
}

fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
