//! Frames in a ring of segments: what continues the history is read back, what was cut by a crash is left out, and what
//! was damaged stops the start.
//!
//! A crash may leave any part of what was not synced. A frame says which number was synced when it was written, so what
//! was cut can be told from what was damaged: if anything readable proves that the frame behind the last good one had
//! been synced, it is damage. A segment is begun only when the former one is synced, so its head proves the same.

use super::Position;
use super::disk::Disk;
use super::frame::{self, ALIGNMENT, Chain, Frame, SEGMENT_HEAD, SegmentHead};
use std::collections::VecDeque;
use std::io;

/// How many segments of how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) segments: usize,
    pub(crate) bytes: usize,
}

/// The journal's end, where frames are appended.
pub(crate) struct Log<D> {
    disk: D,
    shape: Shape,
    /// The segment that is written to; 0 = none yet.
    generation: u64,
    offset: usize,
    last: u64,
    chain: Chain,
    synced: u64,
    /// The last number of each former segment that the ring still has, oldest first.
    ends: VecDeque<u64>,
    buffer: Vec<u8>,
}

/// A frame that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unflushed {
    pub(crate) position: Position,
    pub(crate) payload: Vec<u8>,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{file} is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: usize, what: &'static str },
    #[error("it begins behind what the database has: frames {from} to {to} are missing")]
    Gap { from: u64, to: u64 },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Why a frame was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAppended {
    #[error("every segment holds what the database does not have yet")]
    Full,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Where reading is.
struct Walk {
    segment: usize,
    generation: u64,
    offset: usize,
    last: u64,
    chain: Chain,
}

impl<D: Disk> Log<D> {
    /// Reads what is there: everything the database does not have, whole or not at all.
    pub(crate) fn open(mut disk: D, shape: Shape, known: Position) -> Result<(Self, Vec<Unflushed>), Unreadable> {
        let mut segments = Vec::with_capacity(shape.segments);
        for segment in 0..shape.segments {
            let bytes = disk.read(segment)?;
            segments.push((frame::read_segment_head(&bytes), bytes));
        }
        let mut heads: Vec<(usize, SegmentHead)> =
            segments.iter().enumerate().filter_map(|(index, (head, _))| Some((index, (*head)?))).collect();
        heads.sort_by_key(|(_, head)| head.generation);
        let next = known.number.saturating_add(1);
        let Some((segment, head)) = heads.iter().rev().find(|(_, head)| head.first <= next).copied() else {
            if let Some((_, first)) = heads.first() {
                return Err(Unreadable::Gap { from: next, to: first.first.saturating_sub(1) });
            }
            look_for_proof(&disk, &segments, &heads, &Walk::nowhere(known))?;
            return Ok((Self::begin(disk, shape, known), Vec::new()));
        };
        let mut walk = Walk {
            segment,
            generation: head.generation,
            offset: SEGMENT_HEAD,
            last: head.first.saturating_sub(1),
            chain: head.chain,
        };
        let (mut unflushed, mut ends, mut needed) = (Vec::new(), VecDeque::new(), Vec::new());
        check_history(&disk, &walk, known)?;
        loop {
            let bytes = segments.get(walk.segment).map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
            let begin = walk.read_segment(&disk, bytes, known, &mut unflushed)?;
            needed.push((walk.segment, begin, walk.offset));
            let follows = |(_, head): &&(usize, SegmentHead)| {
                head.generation == walk.generation.saturating_add(1)
                    && head.first == walk.last.saturating_add(1)
                    && head.chain == walk.chain
            };
            let Some((segment, head)) = heads.iter().find(follows).copied() else { break };
            ends.push_back(walk.last);
            (walk.segment, walk.generation, walk.offset) = (segment, head.generation, SEGMENT_HEAD);
        }
        look_for_proof(&disk, &segments, &heads, &walk)?;
        if walk.last < known.number {
            return Err(walk.damaged(&disk, "the database has charges that it no longer shows"));
        }
        // What a failed sync left in memory reads like what is on the disk: it is written again before it is believed.
        // Where the database has everything, it had been synced before the database took it.
        for (segment, begin, end) in needed {
            if begin < end || end == SEGMENT_HEAD {
                let bytes = segments.get(segment).and_then(|(_, bytes)| bytes.get(..end)).unwrap_or_default();
                disk.write(segment, 0, bytes)?;
                disk.sync(segment)?;
            }
        }
        let log = Self {
            disk,
            shape,
            generation: walk.generation,
            offset: walk.offset,
            last: walk.last,
            chain: walk.chain,
            synced: walk.last,
            ends,
            buffer: Vec::new(),
        };
        Ok((log, unflushed))
    }

    /// A journal without a segment yet, behind what the database has.
    fn begin(disk: D, shape: Shape, known: Position) -> Self {
        Self {
            disk,
            shape,
            generation: 0,
            offset: shape.bytes,
            last: known.number,
            chain: known.chain,
            synced: known.number,
            ends: VecDeque::new(),
            buffer: Vec::new(),
        }
    }

    /// Writes a frame, not yet synced; nothing may be appended any more after an error of the disk. `flushed` is how far
    /// the database has come: segments up to there may be written over.
    pub(crate) fn append(&mut self, payload: &[u8], flushed: u64) -> Result<Position, NotAppended> {
        if self.offset.saturating_add(frame::length(payload.len())) > self.shape.bytes {
            self.next_segment(flushed)?;
        }
        let number = self.last.saturating_add(1);
        let chain = frame::chain(&self.chain, number, payload);
        self.buffer.clear();
        frame::write(&mut self.buffer, number, self.synced, &chain, payload);
        self.disk.write(self.place(self.generation), offset_of(self.offset), &self.buffer)?;
        self.offset = self.offset.saturating_add(self.buffer.len());
        (self.last, self.chain) = (number, chain);
        Ok(Position { number, chain })
    }

    /// Makes every frame appended so far survive the end of this process, if not that of the machine.
    pub(crate) fn hand_over(&mut self) -> io::Result<()> {
        self.disk.hand_over(self.place(self.generation))
    }

    /// Makes every frame appended so far survive.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.synced < self.last {
            self.disk.sync(self.place(self.generation))?;
            self.synced = self.last;
        }
        Ok(())
    }

    /// The last number behind which new requests are refused until the database has it: that of the newest segment but
    /// two, so that half of a ring of four is free for those that run.
    pub(crate) fn tight_above(&self) -> u64 {
        let spare = self.shape.segments.checked_div(2).unwrap_or(0);
        let place = self.ends.len().checked_sub(spare);
        place.and_then(|place| self.ends.get(place)).copied().unwrap_or(0)
    }

    fn next_segment(&mut self, flushed: u64) -> Result<(), NotAppended> {
        if self.ends.len().saturating_add(1) >= self.shape.segments {
            if self.ends.front().is_some_and(|end| *end > flushed) {
                return Err(NotAppended::Full);
            }
            self.ends.pop_front();
        }
        self.sync()?;
        if self.generation > 0 {
            self.ends.push_back(self.last);
        }
        self.generation = self.generation.saturating_add(1);
        let head = SegmentHead { generation: self.generation, first: self.last.saturating_add(1), chain: self.chain };
        self.disk.write(self.place(self.generation), 0, &frame::segment_head(&head))?;
        self.offset = SEGMENT_HEAD;
        Ok(())
    }

    fn place(&self, generation: u64) -> usize {
        let segments = u64::try_from(self.shape.segments).unwrap_or(1);
        let place = generation.saturating_sub(1).checked_rem(segments).unwrap_or(0);
        usize::try_from(place).unwrap_or(0)
    }
}

impl Walk {
    fn nowhere(known: Position) -> Self {
        Self { segment: 0, generation: 0, offset: 0, last: known.number, chain: known.chain }
    }

    /// Reads the frames of one segment that continue the history; where those begin that the database does not have.
    fn read_segment(
        &mut self,
        disk: &impl Disk,
        bytes: &[u8],
        known: Position,
        unflushed: &mut Vec<Unflushed>,
    ) -> Result<usize, Unreadable> {
        let mut begin = None;
        while let Some(found) = bytes.get(self.offset..).and_then(frame::read)
            && found.number == self.last.saturating_add(1)
            && found.chain == frame::chain(&self.chain, found.number, found.payload)
        {
            (self.last, self.chain) = (found.number, found.chain);
            check_history(disk, self, known)?;
            if found.number > known.number {
                begin = begin.or(Some(self.offset));
                let position = Position { number: found.number, chain: found.chain };
                unflushed.push(Unflushed { position, payload: found.payload.to_vec() });
            }
            self.offset = self.offset.saturating_add(found.length);
        }
        Ok(begin.unwrap_or(self.offset))
    }

    fn damaged(&self, disk: &impl Disk, what: &'static str) -> Unreadable {
        Unreadable::Damaged { file: disk.name(self.segment), offset: self.offset, what }
    }
}

/// Where both have been, journal and database must agree.
fn check_history(disk: &impl Disk, walk: &Walk, known: Position) -> Result<(), Unreadable> {
    if walk.last == known.number && walk.chain != known.chain {
        return Err(walk.damaged(disk, "it is not the journal of this database"));
    }
    Ok(())
}

/// Looks behind the last good frame for anything that could only be there if the next one had been synced.
fn look_for_proof(
    disk: &impl Disk,
    segments: &[(Option<SegmentHead>, Vec<u8>)],
    heads: &[(usize, SegmentHead)],
    walk: &Walk,
) -> Result<(), Unreadable> {
    let what = "a frame that was synced does not read";
    if heads.iter().any(|(_, head)| head.generation > walk.generation) {
        return Err(walk.damaged(disk, what));
    }
    for (_, bytes) in segments {
        let mut rest = bytes.get(SEGMENT_HEAD..).unwrap_or_default();
        while !rest.is_empty() {
            if frame::may_prove(rest, walk.last)
                && frame::read(rest).is_some_and(|found: Frame<'_>| found.synced > walk.last)
            {
                return Err(walk.damaged(disk, what));
            }
            rest = rest.get(ALIGNMENT..).unwrap_or_default();
        }
    }
    Ok(())
}

fn offset_of(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
