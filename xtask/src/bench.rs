//! `cargo xtask bench`: builds the release binary and hands over to the bench program, which does the measuring.
//! `cargo xtask bench keys` measures the key table in process as well.

use crate::workspace::{self, Outcome};

/// Builds both in release mode and runs the bench with the given arguments.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "claviger", "--package", "claviger-bench"]);
    workspace::succeed(&mut build)?;
    let binary = workspace::target().join("release/claviger-bench");
    workspace::succeed(workspace::program(binary).args(arguments))?;
    if arguments.first().is_some_and(|verb| verb == "keys") {
        let mut lookup = workspace::cargo();
        lookup.args(["run", "--release", "--package", "claviger-gateway", "--features", "measured"]);
        workspace::succeed(lookup.args(["--example", "lookup"]))?;
    }
    Ok(())
}
