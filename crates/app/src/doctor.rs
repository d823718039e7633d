//! `claviger doctor`: each check in one line, each finding with its repair. Changes nothing and calls no model.

use crate::cli::{Failure, Kind};
use crate::clock::MachineClock;
use crate::config::{self, Flags, ServeConfig, Variables};
use crate::data_directory::DataDirectory;
use crate::random::SystemRandom;
use claviger_domain::catalog::{Catalog, Dialect, Pricing};
use claviger_domain::time::Clock as _;
use claviger_storage::Store;
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
        println!("ok      {what:<16} {detail}");
    }

    fn repair(&mut self, what: &str, detail: impl std::fmt::Display, next: &str) {
        self.repairs += 1;
        println!("repair  {what:<16} {detail}");
        println!("        {:<16} {next}", "");
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
    let directory = match DataDirectory::find(data) {
        Ok(Some(directory)) => directory,
        Ok(None) => {
            return findings.repair(
                "data directory",
                format_args!("{} does not exist", data.display()),
                "claviger serve makes it",
            );
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
    let key = match directory.audit_key(&config.config.database, &mut SystemRandom) {
        Ok(key) => key,
        Err(error) => {
            return findings.repair("audit key", format_args!("{error:#}"), "restore the file from its backup");
        }
    };
    match Store::open(&config.config.database, key, MachineClock::new().now()).await {
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
