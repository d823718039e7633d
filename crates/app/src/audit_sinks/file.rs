//! A file outside the database that keeps signed checkpoints, one a line, appended and synced; it is its own cursor.

use super::numbers;
use claviger_control::{CheckpointSink, Sent};
use claviger_domain::audit::read_checkpoint;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The last line is within this; a checkpoint has a thousand heads at most.
const TAIL_BYTES: u64 = 1024 * 1024;

pub(super) struct FileSink {
    path: PathBuf,
    /// The last number, once it was read.
    last: Mutex<Option<i64>>,
}

impl FileSink {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, last: Mutex::new(None) }
    }

    fn append(&self, line: &str) -> io::Result<()> {
        let mut known = self.last.lock();
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&self.path)?;
        // What is half written is unknown until it is read again.
        *known = None;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        *known = Some(numbers(line)?);
        Ok(())
    }
}

impl CheckpointSink for FileSink {
    fn name(&self) -> String {
        format!("file:{}", self.path.display())
    }

    fn last(&self) -> io::Result<i64> {
        let mut known = self.last.lock();
        // A file that was taken away is begun anew, and gets everything again.
        if let Some(last) = *known
            && (last == 0 || self.path.exists())
        {
            return Ok(last);
        }
        let last = last_of(&self.path)?;
        *known = Some(last);
        Ok(last)
    }

    fn append<'a>(&'a self, lines: &'a [String]) -> Sent<'a> {
        Box::pin(async move { lines.iter().try_for_each(|line| Self::append(self, line)) })
    }

    fn lines(&self) -> io::Result<Vec<String>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The number of the last whole line. A line that a crash cut short is taken off: it was never kept.
fn last_of(path: &Path) -> io::Result<i64> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    let start = size.saturating_sub(TAIL_BYTES);
    let tail = read_from(&mut file, start)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        file.set_len(start)?;
        return Ok(0);
    };
    if end + 1 < tail.len() {
        file.set_len(start + u64::try_from(end + 1).unwrap_or(0))?;
    }
    let line = tail[..end].rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let last = std::str::from_utf8(line).ok().and_then(read_checkpoint).and_then(|checkpoint| checkpoint.number());
    last.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: the last line is no checkpoint", path.display()))
    })
}

fn read_from(file: &mut File, start: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::checkpoints;
    use super::*;

    #[test]
    fn a_sink_knows_its_last_checkpoint_again_and_drops_half_a_line() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let path = folder.path().join("sink");
        let open = || FileSink::at(path.clone());
        assert_eq!(open().last().expect("readable"), 0);
        let lines = checkpoints(3);
        for line in &lines[..2] {
            FileSink::append(&open(), line).expect("written");
        }
        assert_eq!(open().last().expect("readable"), 2);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(&lines[2].as_bytes()[..40]).expect("written");
        let sink = open();
        assert_eq!(sink.last().expect("readable"), 2);
        FileSink::append(&sink, &lines[2]).expect("written");
        assert_eq!((sink.last().expect("readable"), sink.lines().expect("readable")), (3, lines));
    }
}
