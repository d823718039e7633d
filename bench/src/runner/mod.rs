//! The runner: starts upstream and targets, measures them in interleaved rounds, prints one table, judges the floors.
//!
//! The targets share core 0, the generator and the upstream share core 1, so a target's ceiling is one core whatever
//! its threads. Ratios are taken within a round: absolute figures travel badly between machines and minutes.

mod children;
mod figures;
mod floors;
mod gateway;
mod http;
pub(crate) mod keys;
mod measure;
mod nginx;
pub(crate) mod nodes;
pub(crate) mod postgres;
mod process;
mod syncs;
mod table;
pub(crate) mod wire;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, bail, ensure};
use children::{Children, LOAD_CORE, TARGET_CORE};
use figures::{Figures, Target};
use gateway::{Gateway, Place};

use crate::arguments::Arguments;
use crate::call::chat_body;
use crate::clock;

/// Keys of the comparison; nginx gets the same ones in its map.
const KEYS: usize = 1000;
/// The credential the upstream sees in place of a caller's key.
const UPSTREAM_CREDENTIAL: &str = "provider-credential-of-the-bench";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    rounds: usize,
    seconds: f64,
    streams: Vec<usize>,
    targets: Vec<Target>,
    claviger: PathBuf,
    dir: PathBuf,
    markdown: Option<PathBuf>,
    keep: bool,
}

impl Options {
    fn from_arguments(mut arguments: Arguments) -> anyhow::Result<Self> {
        let quick = arguments.switch("quick")?;
        let own = env::current_exe()?;
        let beside = own.parent().context("the bench's own directory")?.to_owned();
        let targets = match arguments.optional::<String>("only")? {
            None => Target::ALL.to_vec(),
            Some(names) => names.split(',').map(Target::from_name).collect::<anyhow::Result<_>>()?,
        };
        let options = Self {
            rounds: arguments.optional("rounds")?.unwrap_or(if quick { 2 } else { 5 }),
            seconds: arguments.optional("seconds")?.unwrap_or(if quick { 1.0 } else { 3.0 }),
            streams: match arguments.optional::<String>("streams")? {
                None if quick => vec![1000],
                None => vec![1000, 5000],
                Some(none) if none == "none" => Vec::new(),
                Some(counts) => counts.split(',').map(str::parse).collect::<Result<_, _>>().context("--streams")?,
            },
            targets,
            claviger: arguments.optional("claviger")?.unwrap_or_else(|| beside.join("claviger")),
            // Not the system's temporary directory: where that is memory, an fsync costs nothing and proves nothing.
            dir: arguments.optional("dir")?.unwrap_or_else(|| beside.join(format!("bench-{}", std::process::id()))),
            markdown: arguments.optional("markdown")?,
            keep: arguments.switch("keep")?,
        };
        arguments.finish()?;
        ensure!((1..=50).contains(&options.rounds), "--rounds is 1 to 50");
        ensure!((0.5..=60.0).contains(&options.seconds), "--seconds is 0.5 to 60");
        ensure!(options.claviger.exists(), "{} is missing: build the release first", options.claviger.display());
        Ok(options)
    }

    fn has_gateway(&self) -> bool {
        self.targets.iter().any(|target| target.is_gateway())
    }
}

/// Everything that runs.
pub(crate) struct Bench {
    options: Options,
    children: Children,
    own: PathBuf,
    keys_file: PathBuf,
    upstream: SocketAddrV4,
    nginx: Option<(u32, SocketAddrV4)>,
    gateway: Option<(u32, Gateway)>,
}

/// Runs the whole comparison.
///
/// # Errors
/// When something does not start or a generator fails; a missed floor is exit code 1, not an error.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = Options::from_arguments(arguments)?;
    fs::create_dir_all(&options.dir).with_context(|| format!("the directory {}", options.dir.display()))?;
    let dir = fs::canonicalize(&options.dir)?;
    let options = Options { dir, ..options };
    let outcome = compare(&options.dir.clone(), options);
    match outcome {
        Ok((code, keep, dir)) => {
            if keep {
                eprintln!("logs and data stay in {}", dir.display());
            } else {
                fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
            }
            Ok(code)
        }
        Err(error) => Err(error),
    }
}

fn compare(dir: &Path, options: Options) -> anyhow::Result<(ExitCode, bool, PathBuf)> {
    let began = clock::now();
    let mut bench = Bench::start(options).with_context(|| format!("logs are in {}", dir.display()))?;
    let figures = bench.measure().with_context(|| format!("logs are in {}", dir.display()))?;
    bench.children.stop();
    let text = table::render(&figures, &bench.machine(), clock::now().duration_since(began));
    let floors = floors::judge(&figures);
    let text = format!("{text}\n{}", floors::render(&floors));
    println!("{text}");
    if let Some(file) = &bench.options.markdown {
        fs::write(file, &text).with_context(|| format!("writing {}", file.display()))?;
    }
    let code = if floors.iter().all(|floor| floor.is_met()) { ExitCode::SUCCESS } else { ExitCode::from(1) };
    Ok((code, bench.options.keep, bench.options.dir.clone()))
}

impl Bench {
    /// Starts the upstream and every target, makes the keys, and sees each target answer once.
    fn start(options: Options) -> anyhow::Result<Self> {
        let dir = options.dir.clone();
        let mut children = Children::new();
        let upstream = free_address()?;
        let words = ["simulate", "--listen", &upstream.to_string(), "--shape", "openai", "--no-log"];
        let command = children.command(LOAD_CORE, &options.claviger, &words);
        children.start("the simulator", command, &dir.join("simulator.log"))?;
        let mut bench = Self {
            own: env::current_exe()?,
            keys_file: dir.join("keys.txt"),
            upstream,
            nginx: None,
            gateway: None,
            children,
            options,
        };
        http::wait_until_it_answers(
            "the simulator",
            upstream,
            "any",
            &chat_body(gateway::MODEL, serde_json::Value::Null),
        )?;
        let keys = if bench.options.has_gateway() {
            bench.start_gateway(&dir)?
        } else {
            (0..KEYS)
                .map(|number| format!("clv_bench{number:04}_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"))
                .collect()
        };
        fs::write(&bench.keys_file, keys.join("\n"))?;
        if bench.options.targets.contains(&Target::Nginx) {
            bench.start_nginx(&dir, &keys)?;
        }
        for target in bench.options.targets.clone() {
            let body = chat_body(target.model(), serde_json::json!({ "max_tokens": 16 }));
            http::wait_until_it_answers(target.name(), bench.address(target)?, &keys[0], &body)?;
        }
        bench.children.check()?;
        Ok(bench)
    }

    fn start_gateway(&mut self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let (listen, private) = (free_address()?, free_address()?);
        let program = self.options.claviger.clone();
        let place = Place {
            listen,
            private_listen: private,
            upstream: self.upstream,
            credential: UPSTREAM_CREDENTIAL,
            keys: KEYS,
            database: None,
        };
        let gateway = Gateway::prepare(&program, dir, &place)?;
        let command = self.children.command(TARGET_CORE, &program, &gateway.serve_words());
        let pid = self.children.start("claviger", command, &dir.join("claviger.log"))?;
        let until = clock::now() + Duration::from_secs(30);
        while !gateway.is_up() {
            self.children.check()?;
            ensure!(clock::now() < until, "claviger does not answer at {listen}");
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("creating {KEYS} keys");
        let keys = gateway.create_keys(KEYS).context("creating keys")?;
        self.gateway = Some((pid, gateway));
        Ok(keys)
    }

    fn start_nginx(&mut self, dir: &Path, keys: &[String]) -> anyhow::Result<()> {
        let program = nginx::find_or_install()?;
        let listen = free_address()?;
        let home = dir.join("nginx");
        let words = nginx::configure(&home, listen, self.upstream, keys, UPSTREAM_CREDENTIAL)?;
        let command = self.children.command(TARGET_CORE, &program, &words);
        let pid = self.children.start("nginx", command, &dir.join("nginx.log"))?;
        self.nginx = Some((pid, listen));
        Ok(())
    }

    /// Where a target listens.
    fn address(&self, target: Target) -> anyhow::Result<SocketAddrV4> {
        let address = match target {
            Target::Direct => Some(self.upstream),
            Target::Nginx => self.nginx.map(|(_, address)| address),
            Target::Claviger | Target::ClavigerFree => self.gateway.as_ref().map(|(_, gateway)| gateway.listen),
        };
        address.with_context(|| format!("{} was not started", target.name()))
    }

    /// The process that is compared; the bare upstream is not.
    fn pid(&self, target: Target) -> Option<u32> {
        match target {
            Target::Direct => None,
            Target::Nginx => self.nginx.map(|(pid, _)| pid),
            Target::Claviger | Target::ClavigerFree => self.gateway.as_ref().map(|(pid, _)| *pid),
        }
    }

    fn measure(&mut self) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        for target in self.options.targets.clone() {
            if let Some(pid) = self.pid(target) {
                figures.idle_mib.insert(target, process::memory_mib(pid));
            }
        }
        measure::warm_up(self)?;
        let (own, machine) = (process::own_seconds(), process::machine_seconds());
        for round in 0..self.options.rounds {
            eprintln!("round {} of {}", round + 1, self.options.rounds);
            figures.rounds.push(measure::round(self, round)?);
            self.children.check()?;
        }
        let (worked, existed) = process::machine_seconds();
        let others = (worked - machine.0) - (process::own_seconds() - own);
        figures.neighbours = others / (existed - machine.1);
        for target in self.options.targets.clone() {
            if let Some(pid) = self.pid(target) {
                figures.loaded_mib.insert(target, process::memory_mib(pid));
            }
        }
        for count in self.options.streams.clone() {
            for target in self.options.targets.clone() {
                eprintln!("{count} streams through {}", target.name());
                figures.held.push(measure::hold(self, target, count)?);
                self.children.check()?;
            }
        }
        if let Some((_, gateway)) = &self.gateway {
            figures.ledger = Some(gateway.verify_ledger().context("verifying the ledger behind the load")?);
        }
        Ok(figures)
    }

    /// The machine and the versions, one line each.
    fn machine(&self) -> Vec<String> {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let models: Vec<&str> = cpu.lines().filter_map(|line| line.strip_prefix("model name\t: ")).collect();
        let memory = read("/proc/meminfo");
        let kibibytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
        let gibibytes = kibibytes.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0 / 1024.0;
        let os = read("/etc/os-release");
        let os = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default().trim_matches('"');
        let nginx = nginx::find_or_install().map(|program| nginx::version(&program)).unwrap_or_default();
        vec![
            format!("{} × {}, {gibibytes:.0} GiB", models.len(), models.first().unwrap_or(&"processor")),
            format!("Linux {}, {os}, {nginx}", read("/proc/sys/kernel/osrelease").trim()),
            format!("{} rounds of {} s", self.options.rounds, self.options.seconds),
        ]
    }
}

/// A free port of the loopback interface; nobody else is expected to take it meanwhile.
fn free_address() -> anyhow::Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    match listener.local_addr()? {
        std::net::SocketAddr::V4(address) => Ok(address),
        std::net::SocketAddr::V6(address) => bail!("{address} is no IPv4 address"),
    }
}
