//! The load: how calls are made and what is counted. Nothing here knows whom it loads.

pub(crate) mod closed;
pub(crate) mod hold;
pub(crate) mod open;

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use crate::call::chat_body;
use crate::reply::Reply;

/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// One read of a socket.
const READ_BYTES: usize = 16 * 1024;
/// Content chunks of a measured stream, and the gap between two of them.
pub(crate) const STREAM_CHUNKS: u64 = 8;
const STREAM_GAP_MS: u64 = 20;

/// Bytes of the text of which vectors are asked.
const EMBEDDED_BYTES: usize = 15 * 1024;
/// Bytes of the sound file in a form.
const FILE_BYTES: usize = 2 * 1024 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One JSON answer of some 500 bytes.
    Json,
    /// A vector of 15 KB of text.
    Vector,
    /// A transcript of a file of 2 MB, sent as a form.
    Transcript,
    /// A stream of a few chunks with gaps: a proxy that holds one back is seen.
    Stream,
    /// A stream of one chunk a second that lasts this long.
    LongStream { seconds: u64 },
}

impl Answer {
    /// By the name that `--ask` gives it.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(crate) fn from_name(name: &str) -> anyhow::Result<Self> {
        match name {
            "chat" => Ok(Self::Json),
            "embeddings" => Ok(Self::Vector),
            "form" => Ok(Self::Transcript),
            other => bail!("nothing is asked by the name {other:?}"),
        }
    }

    /// The body's type and the body.
    pub(crate) fn body(self, model: &str) -> (&'static str, Vec<u8>) {
        let body = match self {
            Self::Json => chat_body(model, json!({ "max_tokens": 64 })),
            Self::Stream => stream_body(model, STREAM_CHUNKS, STREAM_GAP_MS),
            Self::LongStream { seconds } => stream_body(model, seconds, 1000),
            Self::Vector => json!({ "model": model, "input": "word ".repeat(EMBEDDED_BYTES / 5) }),
            Self::Transcript => return ("multipart/form-data; boundary=claviger-bench", form(model)),
        };
        ("application/json", body.to_string().into_bytes())
    }

    /// How many different requests are kept in memory: large ones are few.
    pub(crate) const fn requests_max(self) -> usize {
        if matches!(self, Self::Transcript) { 8 } else { usize::MAX }
    }

    const fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::LongStream { .. })
    }

    fn reply(self) -> Reply {
        if self.is_stream() { Reply::watching_content() } else { Reply::new() }
    }

    /// Whether a complete reply is the one asked for.
    fn is_met_by(self, reply: &Reply) -> bool {
        reply.status() == 200
            && reply.body_bytes() > 0
            && (!self.is_stream() || (reply.has_content() && reply.ends_with_done()))
    }
}

/// A form with a sound file of 8 kHz in 16 bits: the file first, as SDKs send it.
fn form(model: &str) -> Vec<u8> {
    let mut body = b"--claviger-bench\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF"
        .to_vec();
    body.extend_from_slice(&(FILE_BYTES as u32 + 36).to_le_bytes());
    body.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    body.extend_from_slice(&(FILE_BYTES as u32).to_le_bytes());
    body.resize(body.len() + FILE_BYTES, b' ');
    let model = format!(
        "\r\n--claviger-bench\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--claviger-bench--\r\n"
    );
    body.extend_from_slice(model.as_bytes());
    body
}

fn stream_body(model: &str, chunks: u64, gap_ms: u64) -> Value {
    let extra = json!({
        "max_tokens": chunks,
        "stream": true,
        "sim": { "tokens": chunks, "first_ms": 0, "gap_ms": gap_ms },
    });
    chat_body(model, extra)
}
