//! The files that a journal lies in: segments of one size, reserved on the disk before they are needed.
//!
//! Space is reserved when the journal is made, so a full disk is noticed then and not by a charge. Zeros are written a
//! step ahead of the frames: a sync then has no metadata of the file to write, but for one in each step.
//!
//! What is written gathers in memory until it is synced or handed over, and goes to the device in one call that returns
//! when it is durable, as whole blocks past the page cache: a lone charge then waits for the device and not for the
//! kernel's copies and their write-back. A file system that takes no such writes gets ordinary ones and a sync.

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Zeros are written ahead in steps of this.
const AHEAD: u64 = 512 * 1024;

/// What is written past the page cache begins and ends at multiples of this, in the file and in memory: the largest
/// block of the devices in use.
const BLOCK: usize = 4096;

/// More than this is not gathered.
const GATHERED: usize = 256 * 1024;

/// What a journal asks of a disk. Segments are numbered from 0.
pub(crate) trait Disk {
    /// Everything a segment has.
    fn read(&mut self, segment: usize) -> io::Result<Vec<u8>>;
    /// Writes, and nothing that counts may lie behind it; it may survive a crash or not, whole or in part, before the
    /// segment is synced.
    fn write(&mut self, segment: usize, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// What was written survives the end of this process, if not that of the machine.
    fn hand_over(&mut self, _segment: usize) -> io::Result<()> {
        Ok(())
    }
    /// Makes everything written to a segment survive. After an error nothing is known of it ever again.
    fn sync(&mut self, segment: usize) -> io::Result<()>;
    /// What a message calls a segment.
    fn name(&self, segment: usize) -> String;
}

/// Files in a directory of their own.
pub(crate) struct Files {
    directory: PathBuf,
    segments: Vec<Segment>,
    bytes: u64,
}

/// One file.
struct Segment {
    /// Reads; and writes, where there are no direct writes.
    file: File,
    /// Writes past the page cache; `None` = the file system takes none.
    direct: Option<File>,
    /// How far the file reaches, zeros included.
    length: u64,
    gathered: Gathered,
    /// Whether something was handed over since the last sync.
    is_unsynced: bool,
    /// What direct writes are made from; kept, since memory that is taken anew costs a fault a page.
    memory: Vec<u8>,
}

/// What is to be written next, behind what its first block has already.
#[derive(Default)]
struct Gathered {
    /// Where in the file the bytes begin: at a block.
    begin: u64,
    bytes: Vec<u8>,
    /// How many of them the file has.
    written: usize,
}

impl Gathered {
    fn end(&self) -> u64 {
        self.begin.saturating_add(size(self.bytes.len()))
    }

    fn is_written(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Keeps only the last block, which the next write begins in.
    fn advance(&mut self) {
        let whole = self.bytes.len().saturating_sub(behind_block(self.bytes.len()));
        self.bytes.drain(..whole);
        self.begin = self.begin.saturating_add(size(whole));
        self.written = self.bytes.len();
    }
}

impl Files {
    /// Opens the segments, or makes and reserves them.
    pub(crate) fn open(directory: &Path, count: usize, bytes: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut segments = Vec::with_capacity(count);
        for segment in 0..count {
            segments.push(Segment::open(&directory.join(file_name(segment)), bytes)?);
        }
        // The names too must survive, and that of the directory.
        File::open(directory)?.sync_all()?;
        if let Some(parent) = directory.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { directory: directory.to_owned(), segments, bytes })
    }

    fn segment(&mut self, segment: usize) -> io::Result<&mut Segment> {
        self.segments.get_mut(segment).ok_or_else(|| io::Error::other("no such segment"))
    }
}

fn file_name(segment: usize) -> String {
    format!("segment-{}", segment.saturating_add(1))
}

/// How far behind the beginning of its block a place is.
fn behind_block(at: usize) -> usize {
    at.checked_rem(BLOCK).unwrap_or(0)
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Takes the room on the disk. File systems that cannot reserve give it when it is written.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Segment {
    fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        reserve(&file, bytes)?;
        let length = file.metadata()?.len();
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        // Refused where the file system has no such writes; ordinary ones do the same, only slower.
        let direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        Ok(Self { file, direct, length, gathered: Gathered::default(), is_unsynced: false, memory: Vec::new() })
    }

    fn gather(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if at != self.gathered.end() {
            self.send(Durability::Later)?;
            self.begin_at(at)?;
        }
        for part in bytes.chunks(GATHERED) {
            self.gathered.bytes.extend_from_slice(part);
            if self.gathered.bytes.len() > GATHERED {
                self.send(Durability::Later)?;
            }
        }
        Ok(())
    }

    /// Begins to gather elsewhere, with what the block there has before.
    fn begin_at(&mut self, at: u64) -> io::Result<()> {
        let before = behind_block(usize::try_from(at).unwrap_or(0));
        let begin = at.saturating_sub(size(before));
        let mut bytes = vec![0; before];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            match self.file.read_at(rest, begin.saturating_add(size(filled)))? {
                0 => break,
                count => filled = filled.saturating_add(count),
            }
        }
        self.gathered = Gathered { begin, written: bytes.len(), bytes };
        Ok(())
    }

    /// Writes what was gathered.
    fn send(&mut self, durability: Durability) -> io::Result<()> {
        if self.gathered.is_written() {
            return Ok(());
        }
        let Gathered { begin, bytes, written } = &self.gathered;
        let length = bytes.len().next_multiple_of(BLOCK);
        let is_synced = if is_written(&mut self.direct, &mut self.memory, (bytes, length), *begin, durability)? {
            durability == Durability::Now
        } else {
            let new = bytes.get(*written..).unwrap_or_default();
            self.file.write_all_at(new, begin.saturating_add(size(*written)))?;
            false
        };
        self.is_unsynced |= !is_synced;
        self.length = self.length.max(self.gathered.end());
        self.gathered.advance();
        Ok(())
    }

    /// Writes zeros a step ahead when the frames have come to the end of the last.
    fn write_ahead(&mut self, limit: u64) -> io::Result<()> {
        let end = self.gathered.end().next_multiple_of(size(BLOCK));
        if end < self.length {
            return Ok(());
        }
        let ahead = end.saturating_add(AHEAD).min(limit).max(end);
        let length = usize::try_from(ahead.saturating_sub(end)).unwrap_or(0);
        if behind_block(length) > 0
            || !is_written(&mut self.direct, &mut self.memory, (&[], length), end, Durability::Later)?
        {
            self.file.write_all_at(&vec![0; length], end)?;
        }
        self.length = ahead;
        self.is_unsynced = true;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // One call makes one write durable; what was handed over before needs the other.
        let durability = if self.is_unsynced { Durability::Later } else { Durability::Now };
        self.send(durability)?;
        if self.is_unsynced {
            self.file.sync_data()?;
            self.is_unsynced = false;
        }
        Ok(())
    }
}

/// Whether a write returns when it is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Now,
    Later,
}

/// Writes directly, if the file system lets us; the first no is its last.
fn is_written(
    direct: &mut Option<File>,
    memory: &mut Vec<u8>,
    what: (&[u8], usize),
    at: u64,
    durability: Durability,
) -> io::Result<bool> {
    let Some(file) = direct else { return Ok(false) };
    match write_direct(file, memory, what, at, durability) {
        Ok(()) => Ok(true),
        // Nothing was written: it wants other bounds than these, or has no such writes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => {
            *direct = None;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes bytes from a block on, filled up with zeros to a length of whole blocks: nothing that counts lies behind them.
fn write_direct(
    file: &File,
    memory: &mut Vec<u8>,
    (bytes, length): (&[u8], usize),
    at: u64,
    durability: Durability,
) -> Result<(), Errno> {
    if memory.len() < length.saturating_add(BLOCK) {
        memory.resize(length.saturating_add(BLOCK), 0);
    }
    let skipped = memory.as_ptr().align_offset(BLOCK);
    let memory = memory.get_mut(skipped..skipped.saturating_add(length)).unwrap_or_default();
    if let Some((place, rest)) = memory.split_at_mut_checked(bytes.len()) {
        place.copy_from_slice(bytes);
        rest.fill(0);
    }
    let flags = match durability {
        Durability::Now => ReadWriteFlags::DSYNC,
        Durability::Later => ReadWriteFlags::empty(),
    };
    let mut written = 0;
    while let Some(rest) = memory.get(written..)
        && !rest.is_empty()
    {
        match rustix::io::pwritev2(file, &[IoSlice::new(rest)], at.saturating_add(size(written)), flags) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => written = written.saturating_add(count),
            Err(Errno::INTR) => {}
            // Once a part is there it is no refusal any more.
            Err(_) if written > 0 => return Err(Errno::IO),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Disk for Files {
    fn read(&mut self, segment: usize) -> io::Result<Vec<u8>> {
        let segment = self.segment(segment)?;
        segment.send(Durability::Later)?;
        let mut bytes = Vec::with_capacity(usize::try_from(segment.length).unwrap_or(0));
        let mut from_start = io::BufReader::new(&segment.file);
        io::Seek::rewind(&mut from_start)?;
        from_start.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, segment: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let limit = self.bytes;
        let segment = self.segment(segment)?;
        segment.gather(at, bytes)?;
        segment.write_ahead(limit)
    }

    fn hand_over(&mut self, segment: usize) -> io::Result<()> {
        self.segment(segment)?.send(Durability::Later)
    }

    fn sync(&mut self, segment: usize) -> io::Result<()> {
        self.segment(segment)?.sync()
    }

    fn name(&self, segment: usize) -> String {
        self.directory.join(file_name(segment)).display().to_string()
    }
}

#[cfg(test)]
mod tests;
