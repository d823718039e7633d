//! Secrets are named by file, never written into configuration or flags; such a file is its owner's alone.

use super::Invalid;
use claviger_domain::secret::Secret;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The most a secret file may hold; real ones have one line.
const BYTES_MAX: u64 = 64 * 1024;

/// The first line of a file that nobody else can read.
pub(crate) fn read_secret(path: &Path) -> Result<Secret<String>, Invalid> {
    let place = path.display();
    let mut file = fs::File::open(path).map_err(|error| Invalid::at(place, format_args!("cannot be read: {error}")))?;
    let metadata = file.metadata().map_err(|error| Invalid::at(path.display(), error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Invalid::at(
            path.display(),
            format_args!("holds a secret but has mode {mode:04o}: run `chmod 600 {}`", path.display()),
        ));
    }
    let mut text = String::new();
    let read = file.by_ref().take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Invalid::at(path.display(), format_args!("cannot be read: {error}")))?;
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    if line.is_empty() {
        return Err(Invalid::at(path.display(), "is empty"));
    }
    Ok(Secret::new(line))
}
