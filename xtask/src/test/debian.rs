//! Debian packages the tests need: Postgres, Python's venv, curl. Installed only when missing.

use crate::workspace::{self, Outcome, exists, program, succeed};

/// Installs what is missing; does nothing, and asks for nothing, when all is there.
pub(super) fn install_missing() -> Outcome<()> {
    let mut missing = Vec::new();
    if super::postgres::programs().is_err() {
        missing.push("postgresql");
    }
    if !has_venv() {
        missing.extend(["python3", "python3-venv"]);
    }
    if !exists("curl") {
        missing.push("curl");
    }
    if !exists("sqlite3") {
        missing.push("sqlite3");
    }
    if !exists("npm") {
        return Err("npm was not found: install Node.js 20 or newer, which brings it".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(", "));
    succeed(as_root("apt-get").args(["update", "--quiet"]))?;
    let mut install = as_root("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    succeed(install.args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(&missing))
}

fn has_venv() -> bool {
    program("python3").args(["-c", "import venv, ensurepip"]).output().is_ok_and(|output| output.status.success())
}

/// Whether this process may do anything on the machine.
pub(super) fn is_root() -> bool {
    workspace::output(program("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn as_root(name: &str) -> std::process::Command {
    if is_root() {
        return program(name);
    }
    let mut command = program("sudo");
    command.arg("--preserve-env=DEBIAN_FRONTEND").arg(name);
    command
}
