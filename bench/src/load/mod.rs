//! The load: how calls are made and what is counted. Nothing here knows whom it loads.

pub(crate) mod closed;
pub(crate) mod hold;
pub(crate) mod open;

use std::time::Duration;

use serde_json::{Value, json};

use crate::call::chat_body;
use crate::reply::Reply;

/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// One read of a socket.
const READ_BYTES: usize = 16 * 1024;
/// Content chunks of a measured stream, and the gap between two of them.
const STREAM_CHUNKS: u64 = 8;
const STREAM_GAP_MS: u64 = 20;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One JSON answer of some 500 bytes.
    Json,
    /// A stream of a few chunks with gaps: a proxy that holds one back is seen.
    Stream,
    /// A stream of one chunk a second that lasts this long.
    LongStream { seconds: u64 },
}

impl Answer {
    pub(crate) fn body(self, model: &str) -> Value {
        match self {
            Self::Json => chat_body(model, json!({ "max_tokens": 64 })),
            Self::Stream => stream_body(model, STREAM_CHUNKS, STREAM_GAP_MS),
            Self::LongStream { seconds } => stream_body(model, seconds, 1000),
        }
    }

    fn reply(self) -> Reply {
        if self == Self::Json { Reply::new() } else { Reply::watching_content() }
    }

    /// Whether a complete reply is the one asked for.
    fn is_met_by(self, reply: &Reply) -> bool {
        reply.status() == 200
            && reply.body_bytes() > 0
            && (self == Self::Json || (reply.has_content() && reply.ends_with_done()))
    }
}

fn stream_body(model: &str, chunks: u64, gap_ms: u64) -> Value {
    let extra = json!({
        "max_tokens": chunks,
        "stream": true,
        "sim": { "tokens": chunks, "first_ms": 0, "gap_ms": gap_ms },
    });
    chat_body(model, extra)
}
