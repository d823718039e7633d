//! Server-sent events from an upstream (WHATWG HTML §9.2; W30).
//!
//! ```text
//! event   = *line end-of-line          ; a blank line ends it
//! line    = field ":" [" "] value end-of-line / ":" comment end-of-line
//! end-of-line = CR / LF / CRLF
//! ```
//! Any line ends, comments, any split. An event that lies whole in what one read brought is a slice of it; one that
//! does not is gathered, at most [`limits::SSE_EVENT_BYTES`]. What the data means is not known here.

use bytes::{Bytes, BytesMut};
use claviger_domain::limits;

#[cfg(test)]
mod tests;

/// How an event looks that needs no rewriting: `data: ` … two line feeds.
const PLAIN_HEAD: &[u8] = b"data: ";
const PLAIN_TAIL: &[u8] = b"\n\n";

/// One event that carries data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The value of its `event:` line.
    pub event: Option<Bytes>,
    /// The values of its `data:` lines, joined by line feeds.
    pub data: Bytes,
    /// The event as it came, with its blank line.
    pub raw: Bytes,
    /// Whether `raw` is exactly one `data: ` line and a blank line, each ended by a line feed.
    pub is_plain: bool,
    /// Whether its blank line came; not so for what a closed stream left behind.
    pub is_whole: bool,
}

impl Frame {
    /// The data on one line. JSON of several `data:` lines stays the same: between its tokens a line feed and a space
    /// are alike.
    pub fn one_line(&self) -> Bytes {
        if self.is_plain || memchr::memchr2(b'\n', b'\r', &self.data).is_none() {
            return self.data.clone();
        }
        self.data.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
    }

    /// Whether `raw` is exactly one `event: ` line, one `data: ` line and a blank line, each ended by a line feed.
    pub fn is_named(&self) -> bool {
        let Some(event) = &self.event else { return false };
        let parts: [&[u8]; 5] = [b"event: ", event, b"\ndata: ", &self.data, PLAIN_TAIL];
        let mut rest = self.raw.as_ref();
        let is_each = parts.iter().all(|part| match rest.strip_prefix(*part) {
            Some(behind) => {
                rest = behind;
                true
            }
            None => false,
        });
        is_each && rest.is_empty() && memchr::memchr2(b'\n', b'\r', &self.data).is_none()
    }
}

/// An event beyond [`limits::SSE_EVENT_BYTES`]; the stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a stream into events.
#[derive(Debug)]
pub struct SseReader {
    /// What belongs to the event that is not whole yet; looked through already.
    gathered: BytesMut,
    /// What is not looked at yet.
    fresh: Bytes,
    /// The line being read has no character yet.
    is_line_start: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    is_after_cr: bool,
    /// Nothing was read yet: a byte order mark is dropped.
    is_first: bool,
    event_bytes_max: usize,
}

impl Default for SseReader {
    fn default() -> Self {
        Self::new()
    }
}

impl SseReader {
    /// A reader at the start of a stream.
    pub fn new() -> Self {
        Self::with_limit(limits::SSE_EVENT_BYTES)
    }

    /// A reader that takes events of at most this many bytes.
    pub fn with_limit(event_bytes_max: usize) -> Self {
        Self {
            gathered: BytesMut::new(),
            fresh: Bytes::new(),
            is_line_start: true,
            is_after_cr: false,
            is_first: true,
            event_bytes_max,
        }
    }

    /// Takes what one read brought. Ask [`Self::next`] until it has no more before the next push.
    pub fn push(&mut self, bytes: Bytes) {
        if self.fresh.is_empty() {
            self.fresh = bytes;
        } else {
            let mut both = BytesMut::with_capacity(self.fresh.len() + bytes.len());
            both.extend_from_slice(&self.fresh);
            both.extend_from_slice(&bytes);
            self.fresh = both.freeze();
        }
    }

    /// The next whole event with data, if what was pushed holds one.
    #[expect(clippy::should_implement_trait, reason = "more may come after `None`: not an iterator")]
    pub fn next(&mut self) -> Option<Result<Frame, TooLong>> {
        loop {
            if let Some(frame) = self.plain() {
                return Some(if frame.raw.len() > self.event_bytes_max { Err(TooLong) } else { Ok(frame) });
            }
            let Some(end) = self.find_end() else {
                let fresh = std::mem::take(&mut self.fresh);
                self.gathered.extend_from_slice(&fresh);
                return (self.gathered.len() > self.event_bytes_max).then_some(Err(TooLong));
            };
            let raw = self.take_event(end);
            if raw.len() > self.event_bytes_max {
                return Some(Err(TooLong));
            }
            if let Some(frame) = self.frame(raw, true) {
                return Some(Ok(frame));
            }
        }
    }

    /// What the stream left behind when it ended without a blank line. Some servers end so after `[DONE]`.
    pub fn finish(&mut self) -> Option<Frame> {
        let rest = std::mem::take(&mut self.fresh);
        self.gathered.extend_from_slice(&rest);
        let raw = self.gathered.split().freeze();
        self.frame(raw, false)
    }

    /// The next event if it lies whole in what is fresh and looks as most do.
    fn plain(&mut self) -> Option<Frame> {
        let is_between = self.is_line_start && !self.is_after_cr && !self.is_first && self.gathered.is_empty();
        let rest = self.fresh.strip_prefix(PLAIN_HEAD).filter(|_| is_between)?;
        let length = memchr::memchr2(b'\n', b'\r', rest)?;
        let end =
            rest.get(length..).filter(|behind| behind.starts_with(PLAIN_TAIL)).map(|_| PLAIN_HEAD.len() + length)?;
        let raw = self.fresh.split_to(end + PLAIN_TAIL.len());
        let data = raw.slice(PLAIN_HEAD.len()..end);
        Some(Frame { event: None, data, raw, is_plain: true, is_whole: true })
    }

    /// The length of `fresh` up to the end of the event, blank line included.
    fn find_end(&mut self) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.is_after_cr && self.fresh.get(at) == Some(&b'\n') {
                self.is_after_cr = false;
                at += 1;
                if at == 1 && self.gathered.is_empty() {
                    // The LF of the CRLF that ended the event before: no line of its own.
                    bytes::Buf::advance(&mut self.fresh, 1);
                    at = 0;
                }
            }
            let rest = self.fresh.get(at..).filter(|rest| !rest.is_empty())?;
            self.is_after_cr = false;
            let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.is_line_start = false;
                return None;
            };
            let is_blank = self.is_line_start && length == 0;
            self.is_after_cr = rest.get(length) == Some(&b'\r');
            self.is_line_start = true;
            at += length + 1;
            if is_blank {
                if self.is_after_cr && self.fresh.get(at) == Some(&b'\n') {
                    self.is_after_cr = false;
                    at += 1;
                }
                return Some(at);
            }
        }
    }

    fn take_event(&mut self, end: usize) -> Bytes {
        let tail = self.fresh.split_to(end.min(self.fresh.len()));
        if self.gathered.is_empty() {
            return tail;
        }
        self.gathered.extend_from_slice(&tail);
        self.gathered.split().freeze()
    }

    fn frame(&mut self, mut raw: Bytes, is_whole: bool) -> Option<Frame> {
        if std::mem::take(&mut self.is_first) && raw.starts_with(b"\xEF\xBB\xBF") {
            bytes::Buf::advance(&mut raw, 3);
        }
        let inner = raw.strip_prefix(PLAIN_HEAD).and_then(|rest| rest.strip_suffix(PLAIN_TAIL));
        if let Some(inner) = inner
            && memchr::memchr2(b'\n', b'\r', inner).is_none()
        {
            let data = raw.slice(PLAIN_HEAD.len()..raw.len() - PLAIN_TAIL.len());
            return Some(Frame { event: None, data, raw, is_plain: true, is_whole });
        }
        let lines = Lines::of(&raw);
        Some(Frame { event: lines.event, data: lines.data.joined()?, raw, is_plain: false, is_whole })
    }
}

/// The lines of one event.
#[derive(Default)]
struct Lines {
    event: Option<Bytes>,
    data: Data,
}

#[derive(Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Several(BytesMut),
}

impl Lines {
    fn of(raw: &Bytes) -> Self {
        let mut lines = Self::default();
        let mut at = 0;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            lines.take(raw, at, length);
            let is_crlf = rest.get(length) == Some(&b'\r') && rest.get(length + 1) == Some(&b'\n');
            at += length + 1 + usize::from(is_crlf);
        }
        lines
    }

    fn take(&mut self, raw: &Bytes, start: usize, length: usize) {
        let line = raw.slice(start..start + length);
        let colon = memchr::memchr(b':', &line).unwrap_or(line.len());
        let value_start = (colon + 1).min(line.len());
        let space = usize::from(line.get(value_start) == Some(&b' '));
        let value = line.slice(value_start + space..);
        match line.get(..colon) {
            Some(b"event") => self.event = Some(value),
            Some(b"data") => self.data = std::mem::take(&mut self.data).with(value),
            _ => {}
        }
    }
}

impl Data {
    /// `None` when no line had data: such an event says nothing.
    fn joined(self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::One(value) => Some(value),
            Self::Several(all) => Some(all.freeze()),
        }
    }

    fn with(self, value: Bytes) -> Self {
        match self {
            Self::None => Self::One(value),
            Self::One(first) => Self::Several(BytesMut::from(first.as_ref())).with(value),
            Self::Several(mut all) => {
                all.extend_from_slice(b"\n");
                all.extend_from_slice(&value);
                Self::Several(all)
            }
        }
    }
}
