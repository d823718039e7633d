//! How far a place is that cannot be asked what it has: a number in a file of the data directory.
//!
//! It moves only behind what was accepted. Losing it costs repetition, never a gap.

use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(super) struct Cursor(PathBuf);

impl Cursor {
    /// The cursor of the place of this name, which may hold what belongs into no file name.
    pub(super) fn of(data: &Path, name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self(data.join(format!("audit-sink-{short}")))
    }

    /// The last checkpoint that was accepted; 0 = none.
    pub(super) fn read(&self) -> io::Result<i64> {
        match std::fs::read_to_string(&self.0) {
            // What does not read is begun anew: twice is better than not at all.
            Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Everything up to this one was accepted. The former number stays until the new one is on disk.
    pub(super) fn write(&self, number: i64) -> io::Result<()> {
        let fresh = self.0.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(format!("{number}\n").as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.0)?;
        self.0.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_again_and_each_place_has_its_own() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let cursor = Cursor::of(folder.path(), "syslog+tcp://a:1");
        assert_eq!(cursor.read().expect("readable"), 0);
        cursor.write(7).expect("written");
        cursor.write(41).expect("written");
        assert_eq!(Cursor::of(folder.path(), "syslog+tcp://a:1").read().expect("readable"), 41);
        assert_eq!(Cursor::of(folder.path(), "syslog+tcp://b:1").read().expect("readable"), 0);
    }
}
