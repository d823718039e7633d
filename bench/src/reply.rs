//! An HTTP/1.1 reply, read piece by piece, and no more of it than a load generator must know.
//!
//! Fed with whatever the socket gave, it says when the reply is complete, its status, whether a piece of content has
//! arrived and whether a stream ended with `[DONE]`. It follows Content-Length and chunked bodies (RFC 9112, 6.3 and
//! 7.1). It neither decodes JSON nor keeps the body.

use anyhow::{Context, bail, ensure};

/// The head of a reply beyond this length is refused.
const HEAD_BYTES: usize = 64 * 1024;
/// What stands before the text of a content delta. Followed by anything but a quote, it is content.
const CONTENT: &[u8] = b"\"content\":\"";
/// How a stream of chat chunks ends.
const DONE: &[u8] = b"data: [DONE]\n\n";
/// Enough of the body's end to see either of the two across pieces.
const TAIL_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Sized { left: u64 },
    ChunkSize,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer,
    UntilClose,
    Complete,
}

/// The state of one reply.
#[derive(Debug)]
pub(crate) struct Reply {
    phase: Phase,
    /// The head, or the line of a chunk size or trailer, as far as it has arrived.
    line: Vec<u8>,
    tail: Vec<u8>,
    watches_content: bool,
    status: u16,
    is_closing: bool,
    has_content: bool,
    body_bytes: u64,
    body: Option<Vec<u8>>,
}

impl Reply {
    /// A reply of which only the status and the end matter.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Head,
            line: Vec::new(),
            tail: Vec::new(),
            watches_content: false,
            status: 0,
            is_closing: false,
            has_content: false,
            body_bytes: 0,
            body: None,
        }
    }

    /// A reply whose first piece of content matters.
    pub(crate) fn watching_content() -> Self {
        Self { watches_content: true, ..Self::new() }
    }

    /// A reply whose body is kept: for the runner's own calls.
    pub(crate) fn keeping_body() -> Self {
        Self { body: Some(Vec::new()), ..Self::new() }
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// When they are no HTTP/1.1 reply, or go on behind its end.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            bytes = match self.phase {
                Phase::Head => self.head(bytes)?,
                Phase::Sized { left } => {
                    let (piece, rest) = split(bytes, left);
                    let left = left - piece.len() as u64;
                    self.phase = if left == 0 { Phase::Complete } else { Phase::Sized { left } };
                    self.take_body(piece);
                    rest
                }
                Phase::ChunkData { left } => {
                    let (piece, rest) = split(bytes, left);
                    let left = left - piece.len() as u64;
                    self.phase = if left == 0 { Phase::ChunkEnd } else { Phase::ChunkData { left } };
                    self.take_body(piece);
                    rest
                }
                Phase::ChunkSize | Phase::ChunkEnd | Phase::Trailer => self.chunk_line(bytes)?,
                Phase::UntilClose => {
                    self.take_body(bytes);
                    &[]
                }
                Phase::Complete => bail!("{} bytes behind the end of a reply", bytes.len()),
            };
        }
        Ok(())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.phase == Phase::Complete
    }

    /// Whether the connection is of no further use.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// The status, 0 before the head is complete.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether a non-empty content delta has arrived.
    pub(crate) fn has_content(&self) -> bool {
        self.has_content
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether the body ends as a stream of chat chunks must.
    pub(crate) fn ends_with_done(&self) -> bool {
        self.tail.ends_with(DONE)
    }

    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body.unwrap_or_default()
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let before = self.line.len();
        self.line.extend_from_slice(bytes);
        ensure!(self.line.len() <= HEAD_BYTES + bytes.len(), "a reply head beyond {HEAD_BYTES} bytes");
        let from = before.saturating_sub(3);
        let Some(end) = self.line[from..].windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(&[]) };
        let end = from + end + 4;
        let line = std::mem::take(&mut self.line);
        self.read_head(&line[..end])?;
        Ok(&bytes[end - before..])
    }

    fn read_head(&mut self, head: &[u8]) -> anyhow::Result<()> {
        let head = std::str::from_utf8(head).context("a reply head that is not text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let code = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        self.status = code.and_then(|code| code.parse().ok()).with_context(|| format!("a status line {status:?}"))?;
        self.phase = Phase::UntilClose;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                let left = value.parse().with_context(|| format!("a length {value:?}"))?;
                self.phase = if left == 0 { Phase::Complete } else { Phase::Sized { left } };
            } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                self.phase = Phase::ChunkSize;
            } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
                self.is_closing = true;
            }
        }
        Ok(())
    }

    /// A chunk's size, the empty line behind its data, or a line of the trailer.
    fn chunk_line<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            ensure!(self.line.len() <= HEAD_BYTES, "a chunk line beyond {HEAD_BYTES} bytes");
            return Ok(&[]);
        };
        self.line.extend_from_slice(&bytes[..=end]);
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").context("a chunk line without its end")?;
        self.phase = match self.phase {
            Phase::ChunkSize => {
                let digits = std::str::from_utf8(line)?.split(';').next().unwrap_or_default();
                match u64::from_str_radix(digits, 16).with_context(|| format!("a chunk size {digits:?}"))? {
                    0 => Phase::Trailer,
                    left => Phase::ChunkData { left },
                }
            }
            Phase::ChunkEnd => {
                ensure!(line.is_empty(), "a chunk longer than announced");
                Phase::ChunkSize
            }
            _ if line.is_empty() => Phase::Complete,
            _ => Phase::Trailer,
        };
        Ok(&bytes[end + 1..])
    }

    fn take_body(&mut self, piece: &[u8]) {
        self.body_bytes += piece.len() as u64;
        if let Some(body) = &mut self.body {
            body.extend_from_slice(piece);
        }
        if !self.watches_content {
            return;
        }
        if !self.has_content {
            self.tail.extend_from_slice(piece);
            self.has_content = holds_content(&self.tail);
        } else {
            self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL_BYTES)..]);
        }
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
    }
}

fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)))
}

/// Whether a content member with at least one byte of text stands in `bytes`.
fn holds_content(bytes: &[u8]) -> bool {
    bytes.windows(CONTENT.len() + 1).any(|window| window.starts_with(CONTENT) && !window.ends_with(b"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello";
    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        1a\r\ndata: {\"content\":\"\"}\n\n    \r\n19\r\ndata: {\"content\":\"first\"}\r\n10\r\n\n\ndata: [DONE]\n\n\r\n0\r\n\r\n";

    #[test]
    fn a_reply_reads_the_same_at_every_boundary() {
        for cut in 0..=JSON.len() {
            let mut reply = Reply::keeping_body();
            reply.feed(&JSON[..cut]).unwrap();
            assert_eq!(reply.is_complete(), cut == JSON.len());
            reply.feed(&JSON[cut..]).unwrap();
            assert!(reply.is_complete());
            assert_eq!((reply.status(), reply.body_bytes()), (200, 5));
            assert_eq!(reply.into_body(), b"hello");
        }
    }

    #[test]
    fn a_stream_is_followed_to_its_done_at_every_boundary() {
        for cut in 0..=STREAM.len() {
            let mut reply = Reply::watching_content();
            reply.feed(&STREAM[..cut]).unwrap();
            reply.feed(&STREAM[cut..]).unwrap();
            assert!(reply.is_complete() && reply.has_content() && reply.ends_with_done(), "cut at {cut}");
        }
    }

    #[test]
    fn the_empty_role_delta_is_not_content() {
        let mut reply = Reply::watching_content();
        let role_end = STREAM.windows(4).position(|four| four == b"19\r\n").unwrap();
        reply.feed(&STREAM[..role_end]).unwrap();
        assert!(!reply.has_content());
        reply.feed(&STREAM[role_end..role_end + 26]).unwrap();
        assert!(reply.has_content());
    }

    #[test]
    fn bytes_behind_the_end_are_an_error() {
        let mut reply = Reply::new();
        reply.feed(JSON).unwrap();
        assert!(reply.feed(b"x").is_err());
        assert!(Reply::new().feed(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
