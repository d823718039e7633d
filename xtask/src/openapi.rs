//! `cargo xtask openapi`: the document that the code makes, written to `docs/openapi.json`.
//!
//! That the committed file is current is a test of the control crate.

use crate::workspace::{self, Outcome};

/// Runs the generator and writes what it prints.
pub(crate) fn run() -> Outcome<()> {
    let mut generator = workspace::cargo();
    generator.args(["run", "--quiet", "--package", "claviger-control", "--example", "openapi"]);
    let made = generator.output().map_err(|error| format!("cargo: {error}"))?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    let path = "docs/openapi.json";
    std::fs::write(path, made.stdout).map_err(|error| format!("{path}: {error}"))
}
