//! Cuts the body of a reply out of the bytes that come (RFC 9112 §6, §7.1): told by length, chunked, or until the end.
//!
//! Pieces leave as they come, never put together. Chunk extensions and trailers are read past.

use super::reply::Malformed;
use bytes::{Buf as _, Bytes, BytesMut};

/// A piece up to this is copied out of the buffer it came in, so that the next read finds the same buffer whole: while a
/// slice of it is alive, each would need another.
const COPIED_BYTES: usize = 4 * 1024;

/// The line of a chunk's size with its extensions, and a line of the trailer; servers send a tenth of it.
const LINE_BYTES: usize = 4096;

/// All lines of a trailer.
const TRAILER_BYTES: usize = 16 * 1024;

/// How far a body has been read, and how its end is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes are left.
    Sized(u64),
    /// Chunks, to the empty one.
    Chunked(Chunks),
    /// Whatever comes before the connection ends.
    UntilClose,
}

/// Where in the chunks the reading stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a size.
    Size,
    /// In a chunk, of which this many bytes are left.
    Data(u64),
    /// Behind a chunk, before its line end.
    DataEnd,
    /// Behind the last chunk, this many bytes into the trailer.
    Trailer(usize),
    /// Behind it all.
    Over,
}

/// The next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes of it.
    Piece(Bytes),
    /// Nothing until more is received.
    More,
    /// Its clean end.
    End,
}

impl Framing {
    pub(super) const fn sized(bytes: u64) -> Self {
        Self::Sized(bytes)
    }

    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunks::Size)
    }

    /// Takes the next part of the body out of what was received.
    ///
    /// # Errors
    /// [`Malformed`]: where the body ends cannot be known.
    pub(super) fn next(&mut self, received: &mut BytesMut) -> Result<Part, Malformed> {
        match self {
            Self::Sized(0) => Ok(Part::End),
            Self::Sized(left) => Ok(piece_of(left, received)),
            Self::Chunked(chunks) => chunks.next(received),
            Self::UntilClose if received.is_empty() => Ok(Part::More),
            Self::UntilClose => Ok(Part::Piece(take_piece(received, received.len()))),
        }
    }
}

impl Chunks {
    fn next(&mut self, received: &mut BytesMut) -> Result<Part, Malformed> {
        loop {
            match self {
                Self::Size => {
                    let Some(line) = take_line(received)? else { return Ok(Part::More) };
                    *self = match size_of(&line).ok_or(Malformed)? {
                        0 => Self::Trailer(0),
                        size => Self::Data(size),
                    };
                }
                Self::Data(0) => *self = Self::DataEnd,
                Self::Data(left) => return Ok(piece_of(left, received)),
                Self::DataEnd if received.len() < 2 => return Ok(Part::More),
                Self::DataEnd => {
                    if !received.starts_with(b"\r\n") {
                        return Err(Malformed);
                    }
                    received.advance(2);
                    *self = Self::Size;
                }
                Self::Trailer(bytes) => {
                    let Some(line) = take_line(received)? else { return Ok(Part::More) };
                    *bytes = bytes.saturating_add(line.len());
                    if *bytes > TRAILER_BYTES {
                        return Err(Malformed);
                    }
                    if line.is_empty() {
                        *self = Self::Over;
                    }
                }
                Self::Over => return Ok(Part::End),
            }
        }
    }
}

/// As much of `left` bytes as is there.
fn piece_of(left: &mut u64, received: &mut BytesMut) -> Part {
    if received.is_empty() {
        return Part::More;
    }
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(received.len());
    *left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
    Part::Piece(take_piece(received, length))
}

fn take_piece(received: &mut BytesMut, length: usize) -> Bytes {
    match received.get(..length).filter(|piece| piece.len() <= COPIED_BYTES).map(Bytes::copy_from_slice) {
        Some(piece) => {
            received.advance(length);
            piece
        }
        None => received.split_to(length).freeze(),
    }
}

/// The next line without its end, which must be CR LF.
fn take_line(received: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
    match received.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') {
        Some(end) => {
            let mut line = received.split_to(end);
            received.advance(1);
            let length = line.strip_suffix(b"\r").ok_or(Malformed)?.len();
            line.truncate(length);
            Ok(Some(line))
        }
        None if received.len() < LINE_BYTES => Ok(None),
        None => Err(Malformed),
    }
}

/// `chunk-size [BWS] [";" extensions]`.
fn size_of(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let is_plain = (1..=16).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
    let has_cr = line.contains(&b'\r');
    std::str::from_utf8(size).ok().filter(|_| is_plain && !has_cr).and_then(|size| u64::from_str_radix(size, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body, and what is left behind it; `None` when it was cut.
    type Whole = Option<(Vec<u8>, Vec<u8>)>;

    /// Reads a body that arrives in pieces of `step` bytes.
    fn read(mut framing: Framing, bytes: &[u8], step: usize) -> Result<Whole, Malformed> {
        let (mut received, mut body) = (BytesMut::new(), Vec::new());
        let mut arriving = bytes.chunks(step);
        loop {
            match framing.next(&mut received)? {
                Part::Piece(piece) => {
                    assert!(!piece.is_empty());
                    body.extend_from_slice(&piece);
                }
                Part::End => {
                    received.extend(arriving.flatten());
                    return Ok(Some((body, received.to_vec())));
                }
                Part::More => match arriving.next() {
                    Some(more) => received.extend_from_slice(more),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn a_body_is_the_same_however_its_bytes_arrive() {
        let chunked = b"4\r\nabcd\r\n00A ; x=y\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\nHTTP";
        for step in 1..=chunked.len() {
            let whole = Some((b"abcd0123456789".to_vec(), b"HTTP".to_vec()));
            assert_eq!(read(Framing::chunked(), chunked, step), Ok(whole), "{step}");
            let sized = Some((b"4\r\nab".to_vec(), chunked[5..].to_vec()));
            assert_eq!(read(Framing::sized(5), chunked, step), Ok(sized), "{step}");
        }
        assert_eq!(read(Framing::sized(0), b"x", 1), Ok(Some((vec![], b"x".to_vec()))));
    }

    #[test]
    fn a_body_that_is_cut_is_not_at_its_end() {
        let chunked = b"4\r\nabcd\r\n0\r\n\r\n";
        for end in 0..chunked.len() {
            assert_eq!(read(Framing::chunked(), &chunked[..end], 3), Ok(None), "{end}");
        }
        assert_eq!(read(Framing::sized(5), b"abcd", 3), Ok(None));
        assert_eq!(read(Framing::UntilClose, b"abcd", 3), Ok(None), "the connection's end is its end");
    }

    #[test]
    fn chunks_that_readers_could_cut_differently_are_refused() {
        for bytes in [
            &b"4\nabcd\r\n0\r\n\r\n"[..],
            b"4\r\nabcde\r\n",
            b"4\r\nabcd\n0\r\n\r\n",
            b"\r\n\r\n",
            b" 4\r\nabcd\r\n",
            b"0x4\r\nabcd\r\n",
            b"+4\r\nabcd\r\n",
            b"-1\r\nabcd\r\n",
            b"4\r;\r\nabcd\r\n",
            b"11111111111111111\r\n",
            b"g\r\n",
            b"0\r\nx: y\n\r\n",
        ] {
            assert_eq!(read(Framing::chunked(), bytes, 64), Err(Malformed), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(read(Framing::chunked(), &[b'1'; LINE_BYTES], 512), Err(Malformed));
        let long = [&b"0\r\n"[..], &b"x: y\r\n".repeat(TRAILER_BYTES / 3)].concat();
        assert_eq!(read(Framing::chunked(), &long, 512), Err(Malformed));
    }
}
