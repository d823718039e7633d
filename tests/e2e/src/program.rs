//! Child processes: where the binary lies, starting it, ending it by its process id.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// The root of the workspace: scripts and fetched clients lie below it.
pub fn workspace_root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}

/// A program of this build: `target/<profile>/<name>`, beside the folder of the test's own executable.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("the test lies in no target directory")?;
    let path = folder.join(name);
    ensure!(path.is_file(), "{} is missing: `cargo xtask test` builds it", path.display());
    Ok(path)
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it said beside.
    pub err: String,
}

impl Ran {
    /// Runs `command` to its end with `input` as its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn of(mut command: Command, input: &str) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who needs no input may be gone already.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        crate::evidence::note_text(&output.stdout);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// Standard output as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out.trim()).unwrap_or_default()
    }
}

/// A running child whose output goes to a file. Dropping it kills it.
pub struct Program {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Program {
    /// Starts `command` with its output in `output`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, output: &Path) -> Result<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(output)?;
        let errors = file.try_clone()?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{name} did not start"))?;
        Ok(Self { child, name, output: output.to_path_buf() })
    }

    /// The process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Fails, with what it wrote, when it has ended.
    ///
    /// # Errors
    /// When the process is no longer there.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended with {status}:\n{}", self.name, self.output()),
        }
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    /// When it was gone already.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM, and waits for the orderly end.
    ///
    /// # Errors
    /// When the signal could not be sent.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let id = self.id().context("the process has ended already")?;
        let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        ensure!(sent.success(), "the signal was not sent");
        Ok(self.child.wait().await?)
    }
}
