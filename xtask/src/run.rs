//! `cargo xtask run`: from a clone to a serving process in one command.
//!
//! The server replaces this process: were it a child, ending xtask would leave it running.

use crate::workspace::{self, Outcome};
use std::os::unix::process::CommandExt;

const DATA: &str = "run/claviger-data";

/// Builds the program and becomes `claviger serve` on a fresh data directory; further arguments go to `serve`.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    workspace::succeed(workspace::cargo().args(["build", "--quiet", "--package", "claviger"]))?;
    let data = workspace::target().join(DATA);
    match std::fs::remove_dir_all(&data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{} could not be emptied: {error}", data.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(data.parent().unwrap_or(&data))
        .map_err(|error| format!("{} could not be made: {error}", data.display()))?;
    let binary = workspace::target().join("debug/claviger");
    let mut serve = workspace::program(&binary);
    serve.arg("serve");
    if !arguments.iter().any(|argument| argument == "--data") {
        serve.arg("--data").arg(&data);
    }
    let error = serve.args(arguments).exec();
    Err(format!("{} did not start: {error}", binary.display()))
}
