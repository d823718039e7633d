//! The bytes of a frame and of a segment's head, and whether they are whole.
//!
//! A frame is what one write appends: length, CRC32C, number, the last number that was synced before it was written, the
//! running SHA-256, then the payload; padded to eight bytes. The running hash goes over the former hash, the number and
//! the payload, so a frame belongs to exactly one history. Numbers are little-endian.

use sha2::{Digest as _, Sha256};

/// The running hash behind a frame.
pub(crate) type Chain = [u8; 32];

/// Bytes before a frame's payload.
pub(crate) const HEAD: usize = 56;

/// Bytes of a segment's head.
pub(crate) const SEGMENT_HEAD: usize = 64;

/// A frame's payload at most; what is longer is not a frame.
pub(crate) const PAYLOAD_MAX: usize = 8 * 1024 * 1024;

/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

const MAGIC: &[u8; 8] = b"CLVJRNL1";

/// A frame as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) number: u64,
    pub(crate) synced: u64,
    pub(crate) chain: Chain,
    pub(crate) payload: &'a [u8],
    /// With its padding.
    pub(crate) length: usize,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// Counts the segments ever begun, from 1.
    pub(crate) generation: u64,
    /// The number of its first frame.
    pub(crate) first: u64,
    /// The running hash before its first frame.
    pub(crate) chain: Chain,
}

/// The hash behind the next frame.
pub(crate) fn chain(former: &Chain, number: u64, payload: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(former);
    hash.update(number.to_le_bytes());
    hash.update(payload);
    hash.finalize().into()
}

/// A frame's bytes with a payload of this length.
pub(crate) const fn length(payload: usize) -> usize {
    payload.saturating_add(HEAD).next_multiple_of(ALIGNMENT)
}

/// Writes a frame behind what `out` has.
pub(crate) fn write(out: &mut Vec<u8>, number: u64, synced: u64, chain: &Chain, payload: &[u8]) {
    let begin = out.len();
    let end = begin.saturating_add(length(payload.len()));
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(chain);
    out.extend_from_slice(payload);
    out.resize(end, 0);
    seal(out, begin);
}

/// Puts the checksum in: over the length and everything behind the checksum itself.
fn seal(out: &mut [u8], begin: usize) {
    let Some(bytes) = out.get_mut(begin..) else { return };
    let sum = checksum(bytes);
    if let Some(slot) = bytes.get_mut(4..8) {
        slot.copy_from_slice(&sum.to_le_bytes());
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c(bytes.get(..4).unwrap_or_default());
    crc32c::crc32c_append(sum, bytes.get(8..).unwrap_or_default())
}

/// The frame that begins here, if it is whole. Whether it continues a history is the caller's question.
pub(crate) fn read(bytes: &[u8]) -> Option<Frame<'_>> {
    let size = usize::try_from(u32_at(bytes, 0)?).ok()?;
    if size == 0 || size > PAYLOAD_MAX {
        return None;
    }
    let whole = bytes.get(..length(size))?;
    if u32_at(whole, 4)? != checksum(whole) {
        return None;
    }
    Some(Frame {
        number: u64_at(whole, 8)?,
        synced: u64_at(whole, 16)?,
        chain: whole.get(24..HEAD)?.try_into().ok()?,
        payload: whole.get(HEAD..HEAD.checked_add(size)?)?,
        length: whole.len(),
    })
}

/// Whether a frame that begins here could have been written when a frame above `number` was synced, without reading it
/// whole: what lies inside of frames looks like one of megabytes every few bytes, and each would be summed up.
pub(crate) fn may_prove(bytes: &[u8], number: u64) -> bool {
    let (Some(size), Some(found), Some(synced)) = (u32_at(bytes, 0), u64_at(bytes, 8), u64_at(bytes, 16)) else {
        return false;
    };
    // No ring holds as many frames as the difference may be.
    size > 0 && synced > number && synced < found && found.saturating_sub(number) <= u64::from(u32::MAX)
}

/// A segment's head as bytes.
pub(crate) fn segment_head(head: &SegmentHead) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEGMENT_HEAD);
    // The length of a frame is never this, so a head is not taken for one.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&head.generation.to_le_bytes());
    out.extend_from_slice(&head.first.to_le_bytes());
    out.extend_from_slice(&head.chain);
    out.extend_from_slice(MAGIC);
    seal(&mut out, 0);
    out
}

/// The head of a segment, if it is whole.
pub(crate) fn read_segment_head(bytes: &[u8]) -> Option<SegmentHead> {
    let whole = bytes.get(..SEGMENT_HEAD)?;
    if u32_at(whole, 0)? != 0 || u32_at(whole, 4)? != checksum(whole) || whole.get(56..)? != MAGIC {
        return None;
    }
    Some(SegmentHead {
        generation: u64_at(whole, 8)?,
        first: u64_at(whole, 16)?,
        chain: whole.get(24..56)?.try_into().ok()?,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
