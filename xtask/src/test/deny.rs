//! `cargo deny`: licences, banned crates, sources. Advisories want the network and a dated database, so they are not here.

use crate::workspace::{self, Outcome, program, succeed, target};

const VERSION: &str = "0.20.2";

/// Checks `deny.toml`; installs the tool below `target/` when the machine has none.
pub(super) fn check() -> Outcome<()> {
    let own = target().join("tools/bin/cargo-deny");
    let has_own_copy = own.exists();
    if !has_own_copy && !workspace::exists("cargo-deny") {
        eprintln!("installing cargo-deny {VERSION}: once, some minutes");
        let mut install = workspace::cargo();
        install.args(["install", "--quiet", "--locked", "--version", VERSION, "--root"]).arg(target().join("tools"));
        succeed(install.arg("cargo-deny"))?;
    }
    let mut deny = if own.exists() { program(&own) } else { program("cargo-deny") };
    succeed(deny.args(["--log-level", "error", "check", "bans", "licenses", "sources"]))
}
