//! `cargo xtask bench`: builds the release binary and hands over to the bench program, which does the measuring.
//! `cargo xtask bench keys` measures the key table in process as well. What needs Postgres gets a cluster of its own,
//! unless `--postgres URL` names one.

use crate::test::postgres::Postgres;
use crate::workspace::{self, Outcome};

/// Builds both in release mode and runs the bench with the given arguments.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "claviger", "--package", "claviger-bench"]);
    workspace::succeed(&mut build)?;
    let verb = arguments.first().map_or("run", String::as_str);
    let has_server = arguments.iter().any(|word| word.starts_with("--postgres"));
    let postgres = (matches!(verb, "keys" | "nodes") && !has_server).then(Postgres::start).transpose()?;
    let mut bench = workspace::program(workspace::target().join("release/claviger-bench"));
    bench.args(arguments);
    if let Some(postgres) = &postgres {
        bench.args(["--postgres", &postgres.url()]);
    }
    workspace::succeed(&mut bench)?;
    if verb == "keys" {
        let mut lookup = workspace::cargo();
        lookup.args(["run", "--release", "--package", "claviger-gateway", "--features", "measured"]);
        workspace::succeed(lookup.args(["--example", "lookup"]))?;
    }
    Ok(())
}
