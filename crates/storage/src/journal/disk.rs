//! The files that a journal lies in: segments of one size, reserved on the disk before they are needed.
//!
//! Space is reserved when the journal is made, so a full disk is noticed then and not by a charge. Zeros are written a
//! step ahead of the frames: a sync then has no metadata of the file to write, but for one in each step.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Zeros are written ahead in steps of this.
const AHEAD: u64 = 1024 * 1024;

/// What a journal asks of a disk. Segments are numbered from 0.
pub(crate) trait Disk {
    /// Everything a segment has.
    fn read(&mut self, segment: usize) -> io::Result<Vec<u8>>;
    /// Writes; it may survive a crash or not, whole or in part, before the segment is synced.
    fn write(&mut self, segment: usize, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written to a segment survive. After an error nothing is known of it ever again.
    fn sync(&mut self, segment: usize) -> io::Result<()>;
    /// What a message calls a segment.
    fn name(&self, segment: usize) -> String;
}

/// Files in a directory of their own.
pub(crate) struct Files {
    directory: PathBuf,
    files: Vec<(File, u64)>,
    bytes: u64,
}

impl Files {
    /// Opens the segments, or makes and reserves them.
    pub(crate) fn open(directory: &Path, count: usize, bytes: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut files = Vec::with_capacity(count);
        for segment in 0..count {
            let path = directory.join(file_name(segment));
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            reserve(&file, bytes)?;
            let length = file.metadata()?.len();
            files.push((file, length));
        }
        // The names too must survive, and that of the directory.
        File::open(directory)?.sync_all()?;
        if let Some(parent) = directory.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { directory: directory.to_owned(), files, bytes })
    }

    fn file(&mut self, segment: usize) -> io::Result<&mut (File, u64)> {
        self.files.get_mut(segment).ok_or_else(|| io::Error::other("no such segment"))
    }
}

fn file_name(segment: usize) -> String {
    format!("segment-{}", segment.saturating_add(1))
}

/// Takes the room on the disk. File systems that cannot reserve give it when it is written.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Disk for Files {
    fn read(&mut self, segment: usize) -> io::Result<Vec<u8>> {
        let (file, length) = self.file(segment)?;
        let mut bytes = Vec::with_capacity(usize::try_from(*length).unwrap_or(0));
        let mut from_start = io::BufReader::new(&*file);
        io::Seek::rewind(&mut from_start)?;
        from_start.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, segment: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let limit = self.bytes;
        let (file, length) = self.file(segment)?;
        file.write_all_at(bytes, at)?;
        let end = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end > *length {
            let ahead = end.saturating_add(AHEAD).min(limit).max(end);
            let zeros = vec![0; usize::try_from(ahead.saturating_sub(end)).unwrap_or(0)];
            file.write_all_at(&zeros, end)?;
            *length = ahead;
        }
        Ok(())
    }

    fn sync(&mut self, segment: usize) -> io::Result<()> {
        self.file(segment)?.0.sync_data()
    }

    fn name(&self, segment: usize) -> String {
        self.directory.join(file_name(segment)).display().to_string()
    }
}
