//! The ways in which the standalone simulator misbehaves on demand (`wire.md` §8, Modes).
//!
//! Written as JSON: `{"mode":"cut","bytes":100,"rst":true}`, in a script rule under `do`, in a body as members of `sim`.
//! What a mode does to an answer is in `damage.rs` and `plan.rs`.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One way to misbehave. `after` counts tokens of a stream, and bytes of an answer that is not streamed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mode {
    /// No usage, asked for or not.
    NoUsage {},
    /// Usage so far on every chunk, and the final one at the end.
    UsageRunning {},
    /// The final usage chunk comes twice.
    UsageTwice {},
    /// Usage that cannot be: negative, huge, details above their totals; or the given object.
    UsageAbsurd {
        /// Sent instead.
        #[serde(default)]
        usage: Option<Value>,
    },
    /// An error event behind so many tokens; not streamed: an error instead of the answer.
    ErrorChunk {
        /// Tokens before it.
        after: u64,
    },
    /// The connection is closed behind so many body bytes.
    Cut {
        /// Bytes before it.
        bytes: u64,
        /// By a reset.
        #[serde(default)]
        rst: bool,
    },
    /// The body ends cleanly in the middle.
    Truncate {
        /// Tokens, or bytes, before it.
        after: u64,
    },
    /// Vectors are lists of numbers, whatever was asked for.
    FloatOnly {},
    /// Vectors are base64, whatever was asked for.
    Base64Only {},
    /// Other waits than the model's.
    Slow {
        /// Milliseconds before the first byte.
        #[serde(default)]
        first_ms: u64,
        /// Milliseconds between two tokens.
        #[serde(default)]
        gap_ms: u64,
    },
    /// Nothing more behind so many tokens or bytes, and the connection stays.
    Stall {
        /// Tokens, or bytes, before it.
        after: u64,
    },
    /// One byte per write.
    Drip {
        /// Milliseconds between two bytes.
        #[serde(default)]
        gap_ms: u64,
    },
    /// Lines of a stream end with CR LF.
    Crlf {},
    /// Exactly this status, with headers and a body.
    Status {
        /// 200 to 999.
        code: u16,
        /// Fields to set.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// A string is sent as it is, anything else as compact JSON; absent: the shape's error body.
        #[serde(default)]
        body: Option<Value>,
    },
    /// These bytes instead of any HTTP answer, then a close.
    Raw {
        /// The connection's bytes.
        base64: String,
    },
    /// The received header fields, as a JSON object of the lower-case names.
    EchoHeaders {
        /// Where.
        #[serde(rename = "where", default)]
        place: EchoPlace,
    },
    /// A body that is not JSON, or a stream whose second event is not.
    BadJson {},
    /// One line longer than anybody should buffer.
    HugeLine {
        /// Its length; 17 MiB when absent, above the bound of one event.
        #[serde(default)]
        bytes: Option<u64>,
    },
    /// A small gzip body that unpacks to 100 MiB, though nobody asked for gzip.
    GzipBomb {},
    /// 307 to somewhere else.
    Redirect {
        /// The `Location`.
        to: String,
    },
    /// The connection is reset without an answer.
    Refuse {},
}

/// Where received header fields are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EchoPlace {
    /// As the content of a good answer.
    #[default]
    Content,
    /// As the message of a 400.
    Error,
}
