//! The processes a bench starts, each on its core, and all of them ended with it.
//!
//! Only processes started here are ever signalled, by their id. Should the runner itself be killed, the kernel ends
//! them (parent-death signal). Pinning, priority and the parent-death signal come from util-linux, because the
//! workspace forbids the system calls' unsafe wrappers.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::process;
use crate::clock;

/// The core of the servers that are compared.
pub(crate) const TARGET_CORE: u32 = 0;
/// The core of the generator and the upstream.
pub(crate) const LOAD_CORE: u32 = 1;
/// Descriptors of each process: 5,000 streams are two sockets each in a proxy.
const OPEN_FILES: u32 = 20_000;
/// Before the kernel's strong hand.
const STOP: Duration = Duration::from_secs(10);

/// Starts and ends processes.
#[derive(Debug)]
pub(crate) struct Children {
    running: Vec<(String, Child)>,
    /// A scheduling priority above the neighbours', when we may ask for one.
    nice: i32,
}

impl Children {
    pub(crate) fn new() -> Self {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        Self { running: Vec::new(), nice: if is_root { -15 } else { 0 } }
    }

    /// A command that will run on `core`, with room for descriptors, and that dies with the runner.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, core: u32, program: &Path, args: &[A]) -> Command {
        let mut command = Command::new("setsid");
        command.args(["setpriv", "--pdeathsig", "TERM", "prlimit"]);
        command.arg(format!("--nofile={}", self.open_files()));
        command.args(["nice", "-n", &self.nice.to_string(), "taskset", "-c", &core.to_string()]);
        command.arg(program).args(args).stdin(Stdio::null());
        command
    }

    /// Starts a server; its words go to `log`. Returns its process id.
    pub(crate) fn start(&mut self, name: &str, mut command: Command, log: &Path) -> anyhow::Result<u32> {
        let log = File::create(log).with_context(|| format!("the log {}", log.display()))?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let pid = child.id();
        self.running.push((name.to_owned(), child));
        self.favour(pid);
        Ok(pid)
    }

    /// Fails when one of the servers has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait()? {
                bail!("{name} has ended with {status}");
            }
        }
        Ok(())
    }

    /// Where the kernel groups processes by session, a priority counts per group only: set it there too.
    pub(crate) fn favour(&self, pid: u32) {
        // `setsid` may not have made the session yet; without the group the plain priority holds.
        std::thread::sleep(Duration::from_millis(20));
        let _ = fs::write(format!("/proc/{pid}/autogroup"), self.nice.to_string());
    }

    /// Ends every server: asked first, forced after ten seconds.
    pub(crate) fn stop(&mut self) {
        for (_, child) in self.running.iter().rev() {
            signal("TERM", &[child.id()]);
        }
        let until = clock::now() + STOP;
        for (name, mut child) in self.running.drain(..).rev() {
            while clock::now() < until && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            if matches!(child.try_wait(), Ok(None)) {
                eprintln!("{name} did not end when asked; killing it");
                signal("KILL", &process::tree(child.id()));
                let _ = child.wait();
            }
        }
    }

    /// Root may raise the hard limit; others get what they have.
    fn open_files(&self) -> String {
        if self.nice < 0 { format!("{OPEN_FILES}:{OPEN_FILES}") } else { ":".to_owned() }
    }
}

impl Drop for Children {
    /// A bench that fails half-way leaves nothing running.
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(signal: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(format!("-{signal}")).args(pids).stderr(Stdio::null()).status();
}
