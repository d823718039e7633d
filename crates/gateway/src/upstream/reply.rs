//! The head of a reply: what we act on, and where the body behind it ends (RFC 9112 §6.3).
//!
//! An upstream is not trusted (`reliability.md` §3, row 12): a reply that two readers could cut differently is refused,
//! whatever one of them would make of it. What the body says is not known here.

use super::Head;
use super::framing::Framing;
use bytes::{Buf as _, BytesMut};
use claviger_domain::limits;
use http::StatusCode;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Lines of a head; no server sends as many.
const LINES: usize = 100;

/// Not HTTP, or not the same HTTP to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A reply whose body is still to come.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) head: Head,
    pub(super) framing: Framing,
    /// Whether the connection may carry another request behind this body.
    pub(super) keeps_alive: bool,
}

/// Takes the head of the final reply out of what was received; interim ones (1xx) go. `None` when more must come.
///
/// # Errors
/// [`Malformed`]: the connection is of no more use.
pub(super) fn take(received: &mut BytesMut) -> Result<Option<Reply>, Malformed> {
    while !received.is_empty() {
        let mut lines = [const { MaybeUninit::uninit() }; LINES];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut parsed, received, &mut lines) {
            Ok(httparse::Status::Complete(length)) if length <= limits::UPSTREAM_HEAD_BYTES => length,
            Ok(httparse::Status::Partial) if received.len() < limits::UPSTREAM_HEAD_BYTES => break,
            _ => return Err(Malformed),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
        let reply = if status.is_informational() { None } else { Some(read(status, &parsed)?) };
        // We never ask for another protocol.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed);
        }
        received.advance(length);
        if reply.is_some() {
            return Ok(reply);
        }
    }
    Ok(None)
}

/// The lines that are acted on.
#[derive(Default)]
struct Lines<'r> {
    content_type: Option<&'r [u8]>,
    request_id: Option<&'r [u8]>,
    retry_after: Option<&'r [u8]>,
    compute_tokens: Option<&'r [u8]>,
    length: Option<u64>,
    is_chunked: bool,
    has_close: bool,
    has_keep_alive: bool,
}

impl<'r> Lines<'r> {
    fn of(headers: &[httparse::Header<'r>]) -> Result<Self, Malformed> {
        let mut lines = Self::default();
        for header in headers {
            lines.take(header.name, header.value)?;
        }
        // Which of the two counts is what a smuggled reply is made of.
        if lines.is_chunked && lines.length.is_some() { Err(Malformed) } else { Ok(lines) }
    }

    fn take(&mut self, name: &str, value: &'r [u8]) -> Result<(), Malformed> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("content-length") {
            let length = whole_number(value).ok_or(Malformed)?;
            if self.length.replace(length).is_some_and(|former| former != length) {
                return Err(Malformed);
            }
        } else if is("transfer-encoding") {
            // We offer no other coding, so there is none to undo.
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed);
            }
            self.is_chunked = true;
        } else if is("connection") {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.has_close |= option.eq_ignore_ascii_case(b"close");
                self.has_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is("content-type") {
            self.content_type.get_or_insert(value);
        } else if is("x-request-id") || is("request-id") {
            self.request_id.get_or_insert(value);
        } else if is("retry-after") {
            self.retry_after.get_or_insert(value);
        } else if is("x-compute-tokens") {
            self.compute_tokens.get_or_insert(value);
        }
        Ok(())
    }
}

fn read(status: StatusCode, parsed: &httparse::Response<'_, '_>) -> Result<Reply, Malformed> {
    let lines = Lines::of(parsed.headers)?;
    let is_current = parsed.version == Some(1);
    if lines.is_chunked && !is_current {
        return Err(Malformed);
    }
    let framing = match lines.length {
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Framing::sized(0),
        _ if lines.is_chunked => Framing::chunked(),
        Some(length) => Framing::sized(length),
        None => Framing::UntilClose,
    };
    let head = Head {
        status,
        is_event_stream: lines.content_type.is_some_and(is_event_stream),
        media_type: lines.content_type.and_then(media_type),
        request_id: lines.request_id.and_then(visible).map(str::to_owned),
        retry_after: lines.retry_after.and_then(seconds),
        compute_tokens: lines.compute_tokens.and_then(|tokens| whole_number(tokens.trim_ascii())),
        verbatim: None,
    };
    let keeps_alive = !lines.has_close && (is_current || lines.has_keep_alive);
    Ok(Reply { head, framing, keeps_alive })
}

/// Media types are written in any case (RFC 9110 §8.3.1).
pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// The type of a body that may leave as it is: no page and no script, whatever a browser would make of it.
pub(super) fn media_type(content_type: &[u8]) -> Option<http::HeaderValue> {
    const KINDS: [&str; 4] = ["audio/", "video/", "application/octet-stream", "binary/octet-stream"];
    let kind = visible(content_type.trim_ascii())?.to_ascii_lowercase();
    let is_media = KINDS.iter().any(|known| kind.starts_with(known));
    http::HeaderValue::from_str(&kind).ok().filter(|_| is_media)
}

/// `Retry-After` in seconds; dates are not believed.
pub(super) fn seconds(retry_after: &[u8]) -> Option<Duration> {
    whole_number(retry_after.trim_ascii()).map(Duration::from_secs)
}

fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_visible)
}

/// Digits and nothing else.
fn whole_number(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<Reply>, Malformed> {
        take(&mut BytesMut::from(text))
    }

    fn framing(lines: &str) -> Result<(Framing, bool), Malformed> {
        let reply = taken(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"))?.ok_or(Malformed)?;
        Ok((reply.framing, reply.keeps_alive))
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole_and_nothing_behind_it() {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Request-Id: r1\r\ncontent-length: 2\r\n\r\n{}";
        for end in 0..text.len() - 2 {
            assert!(taken(&text[..end]).unwrap().is_none(), "{end}");
        }
        let mut received = BytesMut::from(text);
        let reply = take(&mut received).unwrap().unwrap();
        assert_eq!(&received[..], b"{}");
        assert_eq!((reply.head.status, reply.head.is_event_stream), (StatusCode::OK, true));
        assert_eq!(reply.head.request_id.as_deref(), Some("r1"));
        assert_eq!((reply.framing, reply.keeps_alive), (Framing::sized(2), true));
    }

    #[test]
    fn only_media_pass_as_what_they_are() {
        for kind in ["audio/mpeg", "Audio/WAV; codecs=1", "video/mp4", "application/octet-stream"] {
            assert!(media_type(kind.as_bytes()).is_some(), "{kind}");
        }
        for kind in ["text/html", "application/json", "image/svg+xml", "text/html, audio/mpeg", ""] {
            assert!(media_type(kind.as_bytes()).is_none(), "{kind}");
        }
    }

    #[test]
    fn interim_replies_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 429 Slow\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
        let reply = taken(text).unwrap().unwrap();
        assert_eq!(reply.head.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(reply.head.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(taken("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n").unwrap_err(), Malformed);
    }

    #[test]
    fn a_body_whose_end_is_told_in_two_ways_is_refused() {
        for lines in [
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\nContent-Length: 3\r\n",
            "content-length: 3\r\ncontent-length: 4\r\n",
            "content-length: 3, 3\r\n",
            "content-length: +3\r\n",
            "content-length: -1\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: xchunked\r\n",
            "content-length : 3\r\n",
            "x: a\r\n b\r\n",
        ] {
            assert_eq!(framing(lines).unwrap_err(), Malformed, "{lines}");
        }
        assert_eq!(taken("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err(), Malformed);
        assert_eq!(taken("HTTP/2 200\r\n\r\n").unwrap_err(), Malformed);
    }

    #[test]
    fn the_end_of_a_body_follows_from_its_head() {
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok((Framing::chunked(), true)));
        assert_eq!(framing("content-length: 3\r\ncontent-length: 3\r\n"), Ok((Framing::sized(3), true)));
        assert_eq!(framing("connection: X, Close\r\ncontent-length: 3\r\n"), Ok((Framing::sized(3), false)));
        assert_eq!(framing(""), Ok((Framing::UntilClose, true)));
        let reply = taken("HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!(reply.framing, Framing::sized(0));
        let reply = taken("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n").unwrap().unwrap();
        assert!(!reply.keeps_alive);
    }

    #[test]
    fn a_head_is_bounded() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(limits::UPSTREAM_HEAD_BYTES));
        assert_eq!(taken(&long).unwrap_err(), Malformed);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(LINES + 1));
        assert_eq!(taken(&many).unwrap_err(), Malformed);
    }
}
