//! Where a secret that is shown once goes: to standard output, or into a new file that nobody else can read.
//!
//! The file is made before the key, so that a key is never made whose text has nowhere to go.

use super::{Failure, Kind};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A place that is ready to take a secret.
pub(super) struct Place {
    file: Option<(std::fs::File, PathBuf)>,
    is_environment: bool,
    is_used: bool,
}

impl Place {
    /// Standard output, unless a file is named.
    pub(super) fn open(to_file: Option<&Path>, to_env: Option<&Path>) -> Result<Self, Failure> {
        let path = to_file.or(to_env);
        let file = path.map(|path| {
            let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            made.map(|file| (file, path.to_path_buf()))
                .map_err(|error| Failure::new(Kind::Usage, format!("{} cannot be made: {error}", path.display())))
        });
        Ok(Self { file: file.transpose()?, is_environment: to_env.is_some(), is_used: false })
    }

    /// Whether it is a file.
    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// The file's name.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(_, path)| path.as_path())
    }

    /// Writes the secret into the file, if it is one.
    pub(super) fn take(&mut self, secret: &str) -> Result<(), Failure> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        let text = if self.is_environment { format!("OPENAI_API_KEY={secret}\n") } else { format!("{secret}\n") };
        self.is_used = true;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
            Failure::new(
                Kind::Failed,
                format!(
                    "the key was made, but {} could not be written: {error}; revoke it and make another",
                    path.display()
                ),
            )
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.file
            && !self.is_used
        {
            // Nothing was made, so an empty file would only puzzle.
            let _ = std::fs::remove_file(path);
        }
    }
}
