//! Where a secret that is shown once goes: to standard output, into a new file that nobody else can read, or to the
//! clipboard.
//!
//! The place is opened before the key is made, so that a key is never made whose text has nowhere to go.

use super::{Failure, Kind};
use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Programs that take the clipboard's content from standard input, those of the desktop that runs first.
const CLIPBOARDS: &[(&str, &[&str])] = &[
    ("pbcopy", &[]),
    ("wl-copy", &[]),
    ("xclip", &["-selection", "clipboard"]),
    ("xsel", &["--clipboard", "--input"]),
    ("clip.exe", &[]),
];

/// A program without its desktop gives up within this.
const GIVES_UP: Duration = Duration::from_millis(50);

/// A place that is ready to take a secret.
pub(super) struct Place {
    kind: PlaceKind,
    is_used: bool,
}

enum PlaceKind {
    Stdout,
    File { file: std::fs::File, path: PathBuf, is_environment: bool },
    Clipboard { program: &'static str, child: Child },
}

impl Place {
    /// Standard output, unless a file is named.
    pub(super) fn open(to_file: Option<&Path>, to_env: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = to_file.or(to_env) else { return Ok(Self { kind: PlaceKind::Stdout, is_used: false }) };
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file =
            made.map_err(|error| Failure::new(Kind::Usage, format!("{} cannot be made: {error}", path.display())))?;
        let kind = PlaceKind::File { file, path: path.to_path_buf(), is_environment: to_env.is_some() };
        Ok(Self { kind, is_used: false })
    }

    /// The clipboard of whichever desktop answers.
    pub(super) fn clipboard() -> Result<Self, Failure> {
        for (program, arguments) in CLIPBOARDS {
            let mut command = Command::new(program);
            command.args(*arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let Ok(mut child) = command.spawn() else { continue };
            std::thread::sleep(GIVES_UP);
            if matches!(child.try_wait(), Ok(None)) {
                return Ok(Self { kind: PlaceKind::Clipboard { program, child }, is_used: false });
            }
        }
        let names: Vec<&str> = CLIPBOARDS.iter().map(|(name, _)| *name).collect();
        let what = format!("no clipboard answers: none of {} runs here", names.join(", "));
        Err(Failure::new(Kind::Usage, what).next("--to-file FILE"))
    }

    /// Whether the secret is to be printed.
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.kind, PlaceKind::Stdout)
    }

    /// Gives the secret of this key to the place, unless it is to be printed.
    pub(super) fn take(&mut self, secret: &str, id: &str) -> Result<(), Failure> {
        self.is_used = true;
        let taken = match &mut self.kind {
            PlaceKind::Stdout => Ok(()),
            PlaceKind::File { file, is_environment, .. } => {
                let name = if *is_environment { "OPENAI_API_KEY=" } else { "" };
                file.write_all(format!("{name}{secret}\n").as_bytes()).and_then(|()| file.sync_all())
            }
            PlaceKind::Clipboard { child, .. } => hand_over(child, secret),
        };
        taken.map_err(|error| {
            let what = format!("{id} has its new text, but {self} did not take it: {error}");
            Failure::new(Kind::Failed, what).next(format!("claviger keys reissue {id}"))
        })
    }
}

fn hand_over(child: &mut Child, secret: &str) -> std::io::Result<()> {
    let mut stdin = child.stdin.take().ok_or_else(|| std::io::Error::other("it reads nothing"))?;
    stdin.write_all(secret.as_bytes())?;
    drop(stdin);
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PlaceKind::Stdout => f.write_str("standard output"),
            PlaceKind::File { path, .. } => write!(f, "{}", path.display()),
            PlaceKind::Clipboard { program, .. } => write!(f, "the clipboard ({program})"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        // Nothing was made, so an empty file would only puzzle, and an empty clipboard lose what was there.
        match &mut self.kind {
            PlaceKind::Stdout => {}
            PlaceKind::File { path, .. } => {
                let _ = std::fs::remove_file(path);
            }
            PlaceKind::Clipboard { child, .. } => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
