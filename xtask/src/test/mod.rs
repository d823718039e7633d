//! `cargo xtask test [--long] [filter]`: installs and starts what the tests need, runs everything, counts.
//!
//! Without a filter all gates run: format, lints, tidy, tests, licences. With one only the matching tests do, which is
//! the loop to work in. Nothing is skipped in silence: what cannot run counts as failed.

mod clients;
mod debian;
mod deny;
mod evidence;
mod long;
pub(crate) mod postgres;
mod tally;

use crate::tidy;
use crate::workspace::{self, Outcome};
use evidence::Evidence;
use postgres::Postgres;
use std::process::Command;
use std::time::Instant;
use tally::Tally;

struct Wishes {
    is_long: bool,
    filter: Vec<String>,
}

/// Runs the gates and the tests; the last line is `N passed, N failed`.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let wishes = Wishes {
        is_long: arguments.iter().any(|argument| argument == "--long"),
        filter: arguments.iter().filter(|argument| *argument != "--long").cloned().collect(),
    };
    let mut tally = Tally::default();
    if wishes.filter.is_empty() {
        tally.gate("format", check_format);
        tally.gate("lints", check_lints);
        tally.gate("tidy", tidy::run);
    }
    match prepare(&wishes) {
        Ok((postgres, evidence)) => {
            if let Err(message) = tests(&wishes, &postgres, &evidence, &mut tally) {
                tally.failed("tests", &message);
            }
            if wishes.filter.is_empty() {
                tally.gate("what must not compile", check_refused_code);
            }
            let is_whole = wishes.filter.is_empty();
            tally.gate("no secret was left anywhere", || evidence.check(&postgres, is_whole));
        }
        Err(message) => tally.failed("preparation", &message),
    }
    if wishes.filter.is_empty() {
        tally.gate("licences and sources", deny::check);
    }
    tally.finish()
}

fn check_format() -> Outcome<()> {
    workspace::succeed(workspace::cargo().args(["fmt", "--all", "--check"]))
}

fn check_lints() -> Outcome<()> {
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--features", "claviger-e2e/long"]);
    workspace::succeed(clippy.args(["--", "-D", "warnings"]))
}

/// Examples in the documentation of `wire` that the compiler must refuse, each beside one that it must take.
fn check_refused_code() -> Outcome<()> {
    workspace::succeed(workspace::cargo().args(["test", "--quiet", "--doc", "--package", "claviger-wire"]))
}

fn prepare(wishes: &Wishes) -> Outcome<(Postgres, Evidence)> {
    debian::install_missing()?;
    clients::install()?;
    if wishes.is_long {
        long::install()?;
    }
    build_binaries()?;
    Ok((Postgres::start()?, Evidence::begin()?))
}

/// The binary with seeded bugs first, under another name; then the one that ships, where the tests look for it.
fn build_binaries() -> Outcome<()> {
    let built = workspace::target().join("debug/claviger");
    let bugs = workspace::target().join("debug/claviger-bugs");
    workspace::succeed(workspace::cargo().args(["build", "--quiet", "--package", "claviger", "--features", "bugs"]))?;
    match std::fs::remove_file(&bugs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", bugs.display()));
        }
        _ => {}
    }
    std::fs::copy(&built, &bugs).map_err(|error| format!("{}: {error}", bugs.display()))?;
    workspace::succeed(workspace::cargo().args([
        "build",
        "--quiet",
        "--package",
        "claviger",
        "--package",
        "claviger-canary",
    ]))
}

fn tests(wishes: &Wishes, postgres: &Postgres, evidence: &Evidence, tally: &mut Tally) -> Outcome<()> {
    let has_nextest = workspace::cargo().args(["nextest", "--version"]).output().is_ok_and(|out| out.status.success());
    let mut command = if has_nextest { nextest() } else { plain() };
    command.args(["--workspace"]);
    if wishes.is_long && has_nextest {
        command.args(["--profile", "long"]);
    }
    if wishes.is_long {
        command.args(["--features", "claviger-e2e/long"]).env("CLAVIGER_TEST_LONG", "1");
    }
    command.env("CLAVIGER_TEST_POSTGRES", postgres.url()).env("CLAVIGER_EVIDENCE", evidence.folder());
    if !has_nextest {
        command.arg("--no-fail-fast");
    }
    command.args(&wishes.filter);
    let begun = now();
    tally.tests(&mut command, has_nextest, wishes.filter.is_empty())?;
    eprintln!("tests ran for {} s", begun.elapsed().as_secs());
    Ok(())
}

fn nextest() -> Command {
    let mut command = workspace::cargo();
    command.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass", "--test-threads", &places().to_string()]);
    command
}

/// For a test on each core, and some for tests that only wait; `.config/nextest.toml` says how many a test takes.
fn places() -> usize {
    8 * std::thread::available_parallelism().map_or(1, usize::from) + 4
}

fn plain() -> Command {
    let mut command = workspace::cargo();
    command.args(["test", "--lib", "--bins", "--tests"]);
    command
}

/// Only for telling how long something took.
#[expect(clippy::disallowed_methods, reason = "a stop watch for the person at the terminal")]
pub(super) fn now() -> Instant {
    Instant::now()
}
