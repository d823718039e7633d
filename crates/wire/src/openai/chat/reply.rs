//! A whole chat answer: the upstream's bytes with the caller's model id.

use super::answer::Answer;
use super::{ChatAsk, UpstreamFault};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::meter::{Usage, UsageSource};

/// A chat answer, ready for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatReply {
    /// The upstream's bytes with the caller's model id (W8) and finish reasons that clients know; the very buffer that
    /// came when neither differs.
    pub body: Bytes,
    /// What it used, if the upstream says so.
    pub usage: Option<Usage>,
    /// Whether any choice has text, a call, a refusal, reasoning or media.
    pub has_content: bool,
    /// UTF-8 bytes of text and calls.
    pub content_bytes: u64,
    /// Whether every choice has a finish reason.
    pub is_finished: bool,
}

impl ChatReply {
    /// Output tokens by the estimator, for an answer without usage: a quarter of its bytes, rounded up.
    pub const fn estimated_output_tokens(&self) -> u64 {
        self.content_bytes.div_ceil(4)
    }
}

/// Reads an upstream's whole answer.
///
/// # Errors
/// [`UpstreamFault`]: not JSON, an error object under a 200, no choices, or a choice that ended with an error. Another
/// target may answer.
pub fn read_reply(body: Bytes, ask: &ChatAsk, dialect: Dialect) -> Result<ChatReply, UpstreamFault> {
    let answer = Answer::read(&body).map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error {
        return Err(UpstreamFault::reported(&body));
    }
    if answer.seen == 0 {
        return Err(UpstreamFault::unreadable("The answer has no choices."));
    }
    let mut splice = Splice::new();
    answer.edit(&ask.model_json, &mut splice);
    let has_content = answer.content_chunks > 0;
    Ok(ChatReply {
        usage: answer.figures.usage(dialect, UsageSource::UpstreamFinal, has_content),
        has_content,
        content_bytes: answer.content_bytes,
        is_finished: answer.finished == answer.seen,
        body: splice.apply_whole(&body),
    })
}
