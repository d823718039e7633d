//! The official SDKs, each version in a place of its own below `target/e2e`, from the files committed beside the tests.

use crate::workspace::{self, Outcome, program, root, succeed, target};
use std::path::Path;

/// One list of pinned packages a venv; the tests name the venv by the list.
const PYTHON: &[&str] =
    &["openai-3", "openai-2", "openai-1", "cohere", "anthropic-2", "anthropic-0", "langchain", "litellm", "llm"];

/// Installs every client whose list has changed since it was installed.
pub(super) fn install() -> Outcome<()> {
    for name in PYTHON {
        let list = root().join(format!("tests/e2e/python/{name}.txt"));
        venv(&target().join("e2e").join(name), &list)?;
    }
    node()?;
    rust()
}

/// The Rust client, built outside the workspace: cargo itself knows whether there is anything to do.
fn rust() -> Outcome<()> {
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--locked", "--manifest-path", "tests/e2e/rust/Cargo.toml", "--target-dir"]);
    succeed(build.arg(target().join("e2e/async-openai")))
}

/// A venv in `folder` with the packages of `list`; kept while the list is unchanged.
pub(super) fn venv(folder: &Path, list: &Path) -> Outcome<()> {
    let wanted = std::fs::read_to_string(list).map_err(|error| format!("{}: {error}", list.display()))?;
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing {}", list.display());
    succeed(program("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut install = program(folder.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"]);
    succeed(install.arg(list))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn node() -> Outcome<()> {
    let folder = "tests/e2e/node";
    let wanted = workspace::read(&format!("{folder}/package-lock.json"))?;
    let stamp = root().join(folder).join("node_modules/.installed-lock.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing {folder}");
    let mut install = program("npm");
    install.current_dir(root().join(folder));
    succeed(install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}
