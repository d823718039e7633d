//! The official SDKs: each script in a process of its own, with its own home and only the environment it is given.

use crate::program::{Ran, workspace_root};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long one script may run.
const PATIENCE: Duration = Duration::from_secs(60);

/// A script about to run.
pub struct Script {
    command: Command,
    name: String,
    home: tempfile::TempDir,
}

/// A program that the packages of a venv brought along: `target/e2e/<venv>/bin/<name>`.
///
/// # Errors
/// When the venv has not been installed.
pub fn venv_program(venv: &str, name: &str) -> Result<Script> {
    Script::of_program(fetched()?.join(venv).join("bin").join(name))
}

/// A program that a package for Node brought along, by its path below `node_modules`.
///
/// # Errors
/// When the packages have not been installed.
pub fn node_program(path: &str) -> Result<Script> {
    Script::of_program(workspace_root().join("tests/e2e/node/node_modules").join(path))
}

/// The program in `tests/e2e/rust`, built with its own lock.
///
/// # Errors
/// When it has not been built.
pub fn rust_client() -> Result<Script> {
    Script::of_program(fetched()?.join("async-openai/debug/claviger-e2e-rust"))
}

/// Where fetched clients lie.
fn fetched() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test lies in no target directory")?;
    Ok(target.join("e2e"))
}

/// `tests/e2e/python/<name>` under the venv `target/e2e/<venv>`.
///
/// # Errors
/// When the venv has not been installed.
pub fn python(venv: &str, name: &str) -> Result<Script> {
    let interpreter = fetched()?.join(venv).join("bin/python");
    ensure!(interpreter.exists(), "{} is missing: `cargo xtask test` installs it", interpreter.display());
    Script::new(&interpreter, workspace_root().join("tests/e2e/python").join(name))
}

/// `tests/e2e/node/<name>` with the packages installed beside it.
///
/// # Errors
/// When they have not been installed.
pub fn node(name: &str) -> Result<Script> {
    let folder = workspace_root().join("tests/e2e/node");
    let stamp = folder.join("node_modules/.installed-lock.json");
    ensure!(stamp.exists(), "the packages for Node are missing: `cargo xtask test` installs them");
    Script::new(Path::new("node"), folder.join(name))
}

impl Script {
    fn new(interpreter: &Path, script: PathBuf) -> Result<Self> {
        let mut made = Self::of(interpreter, script.display().to_string())?;
        made.command.arg(&script).env("NO_PROXY", "*");
        Ok(made)
    }

    /// A program of others, which may call home: beside this machine it reaches a proxy that is none.
    fn of_program(program: PathBuf) -> Result<Self> {
        ensure!(program.exists(), "{} is missing: `cargo xtask test` installs it", program.display());
        let mut made = Self::of(&program, program.display().to_string())?;
        for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
            made.command.env(name, "http://127.0.0.1:9");
        }
        made.command.env("NO_PROXY", "127.0.0.1,localhost");
        Ok(made)
    }

    fn of(program: &Path, name: String) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", home.path()).current_dir(home.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(Self { command, name, home })
    }

    /// Writes a file below its home, where it looks for its settings.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(self, path: &str, text: &str) -> Result<Self> {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        std::fs::write(path, text)?;
        Ok(self)
    }

    /// Where its home is.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs it, however it ends.
    ///
    /// # Errors
    /// When it cannot be started or runs for more than a minute.
    pub async fn ran(self) -> Result<Ran> {
        let ran = tokio::time::timeout(PATIENCE, Ran::of(self.command, "")).await;
        drop(self.home);
        ran.with_context(|| format!("{} ran for more than a minute", self.name))?
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, value: &str) -> Self {
        self.command.arg(value);
        self
    }

    /// Runs it and gives what it printed, without the last line end.
    ///
    /// # Errors
    /// When it fails or runs for more than a minute; with everything it wrote.
    pub async fn text(mut self) -> Result<String> {
        let output = tokio::time::timeout(PATIENCE, self.command.output()).await;
        let output = output.with_context(|| format!("{} ran for more than a minute", self.name))??;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("{} ended with {}:\n{printed}\n{errors}", self.name, output.status);
        }
        drop(self.home);
        Ok(printed.trim_end_matches('\n').to_owned())
    }

    /// Runs it and reads the JSON it printed.
    ///
    /// # Errors
    /// As [`Script::text`], or when it printed something else.
    pub async fn json(self) -> Result<Value> {
        let name = self.name.clone();
        let text = self.text().await?;
        serde_json::from_str(&text).with_context(|| format!("{name} printed {text:?}"))
    }
}
