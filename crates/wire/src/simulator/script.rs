//! What to send and when: status and headers after a wait, then steps, then an ending.
//!
//! Steps are made one at a time, so that ten thousand tokens cost no more memory than one.

use super::chunks::Chunks;
use super::damage::Damaged;
use super::events::Events;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The answer to one request.
#[derive(Debug)]
pub struct Script {
    /// How long nothing at all is sent, in milliseconds.
    pub head_wait_ms: u64,
    /// The HTTP status, 100 to 999.
    pub status: u16,
    /// Header fields beside those the server adds by itself (date, framing).
    pub headers: HeaderMap,
    /// The body, piece by piece; each piece is flushed alone.
    pub steps: Steps,
    /// What happens behind the last step.
    pub ending: Ending,
    /// The steps are the connection's bytes: neither status nor headers are sent. Standalone only.
    pub is_raw: bool,
}

/// One piece of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Wait before it, in milliseconds.
    pub wait_ms: u64,
    /// What is sent; never empty.
    pub bytes: Bytes,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As HTTP ends a body.
    Clean,
    /// The connection goes away in the middle of the body.
    Cut {
        /// By a TCP reset instead of a close.
        is_reset: bool,
    },
    /// Nothing more comes, and the connection stays.
    Stall,
}

/// The steps of a script, in order.
#[derive(Debug)]
pub struct Steps(pub(super) Source);

#[derive(Debug)]
pub(super) enum Source {
    Whole(Option<Bytes>),
    Listed { pieces: std::vec::IntoIter<Bytes>, gap_ms: u64, is_begun: bool },
    Chunks(Box<Chunks>),
    Events(Box<Events>),
    Damaged(Box<Damaged>),
}

impl Steps {
    /// No steps.
    pub const fn none() -> Self {
        Self(Source::Whole(None))
    }

    /// One step without a wait.
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::none() } else { Self(Source::Whole(Some(bytes))) }
    }

    /// These pieces in turn, `gap_ms` between two.
    pub(super) fn listed(pieces: Vec<Bytes>, gap_ms: u64) -> Self {
        Self(Source::Listed { pieces: pieces.into_iter(), gap_ms, is_begun: false })
    }

    /// The bytes of all steps, if they are known without making them.
    pub fn size_bytes(&self) -> Option<u64> {
        match &self.0 {
            Source::Whole(bytes) => u64::try_from(bytes.as_ref().map_or(0, Bytes::len)).ok(),
            Source::Listed { .. } | Source::Chunks(_) | Source::Events(_) | Source::Damaged(_) => None,
        }
    }

    /// The body, if it is one piece that is there at once: nothing is left behind.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Source::Whole(bytes) => bytes.take(),
            Source::Listed { .. } | Source::Chunks(_) | Source::Events(_) | Source::Damaged(_) => None,
        }
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match &mut self.0 {
            Source::Whole(bytes) => bytes.take().map(|bytes| Step { wait_ms: 0, bytes }),
            Source::Listed { pieces, gap_ms, is_begun } => {
                let wait_ms = if std::mem::replace(is_begun, true) { *gap_ms } else { 0 };
                pieces.find(|bytes| !bytes.is_empty()).map(|bytes| Step { wait_ms, bytes })
            }
            Source::Chunks(chunks) => chunks.next(),
            Source::Events(events) => events.next(),
            Source::Damaged(damaged) => damaged.next(),
        }
    }
}

impl Script {
    /// A whole JSON body at once.
    pub(super) fn json(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self::at_once(status, content_type, Steps::whole(body.into()))
    }

    /// Status and steps without waits, ended cleanly.
    pub(super) fn at_once(status: u16, content_type: &'static str, steps: Steps) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { head_wait_ms: 0, status, headers, steps, ending: Ending::Clean, is_raw: false }
    }

    /// Adds or replaces a header field; a text that cannot be a field value is left out.
    pub(super) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}
