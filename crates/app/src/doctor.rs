//! `claviger doctor`: each check in one line, each finding with its repair. Changes nothing and calls no model.

use crate::cli::{Failure, Kind, say};
use crate::clock::MachineClock;
use crate::config::{self, Config, Flags, ServeConfig, Variables};
use crate::data_directory::DataDirectory;
use crate::random::SystemRandom;
use claviger_domain::catalog::{Catalog, Dialect, Pricing};
use claviger_domain::time::Clock as _;
use claviger_storage::{DatabaseUrl, Store};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// How long a provider may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Findings {
    repairs: usize,
}

impl Findings {
    fn ok(&self, what: &str, detail: impl std::fmt::Display) {
        say(format_args!("ok      {what:<16} {detail}"));
    }

    fn repair(&mut self, what: &str, detail: impl std::fmt::Display, next: &str) {
        self.repairs += 1;
        say(format_args!("repair  {what:<16} {detail}"));
        say(format_args!("        {:<16} {next}", ""));
    }
}

/// Runs every check; exit 1 if one wants a repair.
pub(crate) fn run(flags: &Flags, variables: &Variables) -> Result<ExitCode, Failure> {
    crate::telemetry::start_quiet();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Kind::Failed, format!("no runtime: {error}")))?;
    runtime.block_on(check(flags, variables))
}

async fn check(flags: &Flags, variables: &Variables) -> Result<ExitCode, Failure> {
    let mut findings = Findings::default();
    let config = match config::load_for_serving(flags, variables) {
        Ok(config) => config,
        Err(error) => {
            findings.repair("configuration", error, "correct it there");
            return Ok(ExitCode::FAILURE);
        }
    };
    match config.config.files.last() {
        Some(file) => findings.ok("configuration", file.display()),
        None => findings.ok("configuration", "none (defaults)"),
    }
    storage(&mut findings, &config).await;
    models(&mut findings, &config.catalog);
    providers(&mut findings, &config.catalog).await;
    Ok(if findings.repairs == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn storage(findings: &mut Findings, config: &ServeConfig) {
    let data = &config.config.data;
    if !is_started(&config.config) {
        let next = "or name another directory with --data DIR";
        return findings.repair(
            "data directory",
            format_args!("{}: not started yet: `claviger serve` makes it", data.display()),
            next,
        );
    }
    let directory = match DataDirectory::find(data) {
        Ok(Some(directory)) => directory,
        Ok(None) => {
            return findings.repair("data directory", format_args!("{} is gone", data.display()), "claviger serve");
        }
        Err(error) => {
            return findings.repair("data directory", format_args!("{error:#}"), "choose another with --data");
        }
    };
    findings.ok("data directory", format_args!("{}, 0700", data.display()));
    match directory.peppers(&config.config, &mut SystemRandom, false) {
        Ok(peppers) => {
            findings.ok("pepper", format_args!("{}, {} version(s)", config.config.pepper_file.display(), peppers.len()))
        }
        Err(error) => findings.repair("pepper", format_args!("{error:#}"), "restore the file from its backup"),
    }
    if UnixStream::connect(directory.socket()).await.is_ok() {
        // The server holds the database; that it runs means that its version, lock and schema are good.
        return findings.ok("server", "running on this data directory");
    }
    let key = match directory.find_audit_key() {
        Ok(Some(key)) => key,
        Ok(None) => {
            let what = format!("{} is missing", directory.audit_key_file().display());
            return findings.repair("audit key", what, "restore the file from its backup; a fresh start makes one");
        }
        Err(error) => {
            return findings.repair("audit key", format_args!("{error:#}"), "restore the file from its backup");
        }
    };
    let now = MachineClock::new().now();
    let seat = match directory.seat(now.wall, &mut SystemRandom) {
        Ok(seat) => seat,
        Err(error) => return findings.repair("seat", format_args!("{error:#}"), "restore the file from its backup"),
    };
    match Store::open_as(&config.config.database, seat, key, now).await {
        Err(error) => findings.repair("database", error, "claviger help exit-codes; the line above names the reason"),
        Ok(store) => {
            findings.ok("database", format_args!("{}, no server running", store.engine().name()));
            match store.verify_ledger().await {
                Ok(report) if report.faults.is_empty() => {
                    findings.ok("ledger", format_args!("{} transfers add up", report.transfers));
                }
                Ok(report) => {
                    findings.repair("ledger", format_args!("{} faults", report.faults.len()), "claviger ledger verify")
                }
                Err(error) => findings.repair("ledger", error, "claviger ledger verify"),
            }
            store.close().await;
        }
    }
}

/// Whether a server or a set-up has made its files here. Opening would make them, and to look must change nothing.
fn is_started(config: &Config) -> bool {
    match &config.database {
        DatabaseUrl::Sqlite(file) => file.exists(),
        DatabaseUrl::Postgres(_) => config.data.join("audit-key").exists(),
    }
}

fn models(findings: &mut Findings, catalog: &Catalog) {
    let own: Vec<_> = catalog.list().filter(|(_, model)| !model.is_simulated).collect();
    let unpriced: Vec<&str> =
        own.iter().filter(|(_, model)| matches!(model.pricing, Pricing::Unpriced)).map(|(id, _)| *id).collect();
    if own.is_empty() {
        findings.ok("models", "only the simulator's; add [[provider]] and [[model]] for real ones");
    } else if unpriced.is_empty() {
        findings.ok("models", format_args!("{}, all priced or free", own.len()));
    } else {
        findings.repair(
            "models",
            format_args!("without a price: {}", unpriced.join(", ")),
            "add [[price]] rows, or free = true",
        );
    }
}

async fn providers(findings: &mut Findings, catalog: &Catalog) {
    let mut found = BTreeMap::new();
    for (_, model) in catalog.list() {
        for target in model.tiers.iter().flatten().filter(|target| target.provider.dialect != Dialect::Simulator) {
            found.insert(target.provider.name.clone(), target.provider.base_url.clone());
        }
    }
    for (name, url) in found {
        let answered = tokio::time::timeout(CONNECT, TcpStream::connect(authority(&url))).await;
        match answered {
            Ok(Ok(_)) => findings.ok("provider", format_args!("{name} accepts connections at {url}")),
            Ok(Err(error)) => {
                findings.repair("provider", format_args!("{name} at {url}: {error}"), "start it, or correct base_url")
            }
            Err(_) => findings.repair(
                "provider",
                format_args!("{name} at {url} does not answer"),
                "start it, or correct base_url",
            ),
        }
    }
}

/// `host:port` of a base URL.
fn authority(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.split('/').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port { host.to_owned() } else { format!("{host}:{}", if scheme == "https" { 443 } else { 80 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looking_at_a_directory_without_a_database_makes_nothing() {
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let (file, data) = (folder.path().join("claviger.toml"), folder.path().join("data"));
        std::fs::write(&file, "").expect("written");
        for has_directory in [false, true] {
            if has_directory {
                std::fs::create_dir(&data).expect("made");
            }
            let flags = Flags { config: Some(file.clone()), data: Some(data.clone()), ..Flags::default() };
            let done = check(&flags, &Variables::default()).await.expect("it looks");
            assert_eq!(done, ExitCode::FAILURE);
            assert_eq!(data.exists(), has_directory);
            assert!(!has_directory || std::fs::read_dir(&data).expect("a directory").next().is_none());
        }
    }
}
