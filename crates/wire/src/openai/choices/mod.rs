//! Answers made of choices, as chat and completions have them: whole ones, streams of chunks, and how usage is asked for.
//! What the endpoints ask for is their own.

mod answer;
mod mould;
mod reply;
mod stream;
mod usage_ask;

pub(super) use reply::read as read_reply;
pub use stream::ChoiceStream;
pub(super) use usage_ask::{UsageAsk, usage_ask_field};

use bytes::Bytes;

/// What a caller wants of an answer.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The model as JSON, as it stands in every reply (W8).
    pub(super) model_json: Bytes,
    /// Choices in all.
    pub(super) choices: u64,
    /// Whether usage comes on the stream (W10).
    pub(super) usage: bool,
    /// Whether it comes on every chunk, an extension of vLLM.
    pub(super) running_usage: bool,
    /// What chunks of ours are.
    pub(super) chunk: &'static Chunk,
}

/// How the chunks of an endpoint look where we make one.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The id, when none was seen.
    pub(super) id: &'static str,
    /// The member `object`.
    pub(super) object: &'static str,
    /// The members of a choice without content, commas on both sides.
    pub(super) empty: &'static str,
}

/// `chat.completion.chunk`.
pub(super) const CHAT: Chunk = Chunk { id: "chatcmpl", object: "chat.completion.chunk", empty: ",\"delta\":{}," };

/// `text_completion`.
pub(super) const TEXT: Chunk =
    Chunk { id: "cmpl", object: "text_completion", empty: ",\"text\":\"\",\"logprobs\":null," };
