//! An answer as a stream of chunks (2.1, 2.2, W10 to W12, W35): counts, strips, replaces, and knows when it is whole.
//!
//! Usage chunks are never forwarded by the way: they belong to the ending. Clocks, holds and sockets are not known here.

use super::Wanted;
use super::answer::Answer;
use super::mould::Moulds;
use crate::error_body::sse_event;
use crate::inference::{AnswerStream, Content, StreamStep, UpstreamFault};
use crate::scan::Text;
use crate::splice::Splice;
use crate::sse::Frame;
use crate::usage::openai_totals;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::ErrorShape;
use claviger_domain::error::PublicError;
use claviger_domain::meter::{Meter, Usage, UsageSource};

/// The end of every stream that is whole; the body ends at once behind it (W12).
const DONE: &[u8] = b"data: [DONE]\n\n";

/// The course of one stream.
#[derive(Debug)]
pub struct ChoiceStream {
    dialect: Dialect,
    wanted: Wanted,
    seen: u128,
    finished: u128,
    pub(super) content: Content,
    pub(super) usage: Option<Usage>,
    /// The upstream's own usage chunk, edited, not forwarded yet.
    usage_chunk: Option<Bytes>,
    /// `"id":…,"object":…,"created":…` of the first chunk, for chunks of ours.
    identity: Option<Box<[u8]>>,
    pub(super) moulds: Moulds,
    is_over: bool,
}

impl ChoiceStream {
    /// The start of a stream from this dialect.
    pub(in crate::openai) fn new(wanted: Wanted, dialect: Dialect) -> Self {
        Self {
            dialect,
            wanted,
            seen: 0,
            finished: 0,
            content: Content { bytes: 0, chunks: 0 },
            usage: None,
            usage_chunk: None,
            identity: None,
            moulds: Moulds::default(),
            is_over: false,
        }
    }

    /// The usage chunk of the last piece, if the caller asked for one (W10): the upstream's own when it says what was
    /// metered, else one made of the meters.
    fn usage_event(&self, usage: &Usage) -> Option<Bytes> {
        if !self.wanted.usage {
            return None;
        }
        let is_told = !usage.is_anomalous && self.usage.is_some_and(|told| told.meters == usage.meters);
        match &self.usage_chunk {
            Some(chunk) if is_told => Some(chunk.clone()),
            _ => Some(self.our_usage_chunk(usage)),
        }
    }

    /// Whether any content has come.
    const fn has_content(&self) -> bool {
        self.content.chunks > 0
    }

    fn fail(&mut self, fault: UpstreamFault) -> StreamStep {
        // vLLM sends `[DONE]` behind an error: it must not make the stream look whole.
        self.is_over = true;
        StreamStep { error: Some(fault), ..StreamStep::default() }
    }

    fn chunk(&mut self, answer: &Answer<'_>, data: &Bytes, frame: &Frame) -> StreamStep {
        self.seen |= answer.seen;
        self.finished |= answer.finished;
        self.content.bytes = self.content.bytes.saturating_add(answer.content_bytes);
        self.content.chunks = self.content.chunks.saturating_add(answer.content_chunks);
        let is_finished = self.is_finished();
        let usage = self.take_usage(answer, answer.seen == 0 || is_finished);
        let mut step = StreamStep { usage, is_finished, ..StreamStep::default() };
        if answer.choices.is_none() {
            // Not a chunk: a ping, or usage by itself.
            return step;
        }
        self.identify(answer, data);
        step.content = (answer.content_chunks > 0)
            .then_some(Content { bytes: answer.content_bytes, chunks: answer.content_chunks });
        let mut splice = Splice::new();
        answer.edit(&self.wanted.model_json, &mut splice);
        if answer.has_no_choice() && answer.has_usage() {
            self.usage_chunk = Some(event_of(splice, data, frame));
            return step;
        }
        let is_kept = if answer.has_usage() { self.wanted.running_usage } else { self.wanted.usage };
        if let Some(usage) = answer.usage.filter(|_| !is_kept) {
            splice.remove_member(usage.member());
        }
        self.moulds.keep(answer, data, &splice, frame);
        step.forward = Some(event_of(splice, data, frame));
        step
    }

    /// A chunk that differs from one before it in its text only.
    fn alike(&mut self, event: Bytes, text: Text<'_>) -> StreamStep {
        let content = (!text.is_empty()).then(|| Content { bytes: text.len(), chunks: 1 });
        if let Some(content) = content {
            self.content.bytes = self.content.bytes.saturating_add(content.bytes);
            self.content.chunks = self.content.chunks.saturating_add(content.chunks);
        }
        StreamStep { forward: Some(event), content, is_finished: self.is_finished(), ..StreamStep::default() }
    }

    fn take_usage(&mut self, answer: &Answer<'_>, is_final: bool) -> Option<(Usage, bool)> {
        // Ollama tells zeros before it knows: the last value that is not zero counts.
        if answer.figures.is_zero() && (!is_final || self.usage.is_some()) {
            return None;
        }
        let source = if is_final { UsageSource::UpstreamFinal } else { UsageSource::UpstreamRunning };
        let usage = answer.figures.usage(self.dialect, source, self.has_content())?;
        self.usage = Some(usage);
        Some((usage, is_final))
    }

    fn identify(&mut self, answer: &Answer<'_>, data: &[u8]) {
        if self.identity.is_some() {
            return;
        }
        let id = answer.id.map(|id| id.raw(data));
        self.identity = Some(self.identity_of(id, answer.created.map(|created| created.raw(data))));
    }

    /// The members that all chunks of an answer have in common; `model` follows.
    fn identity_of(&self, id: Option<&[u8]>, created: Option<&[u8]>) -> Box<[u8]> {
        let chunk = self.wanted.chunk;
        let unknown = format!("\"{}\"", chunk.id);
        let object = format!(",\"object\":\"{}\",\"created\":", chunk.object);
        let parts = [b"\"id\":", id.unwrap_or(unknown.as_bytes()), object.as_bytes(), created.unwrap_or(b"0")];
        parts.concat().into()
    }

    fn our_chunk(&self, out: &mut Vec<u8>, end: &str) {
        out.extend_from_slice(b"data: {");
        match &self.identity {
            Some(identity) => out.extend_from_slice(identity),
            None => out.extend_from_slice(&self.identity_of(None, None)),
        }
        out.extend_from_slice(b",\"model\":");
        out.extend_from_slice(&self.wanted.model_json);
        out.push(b',');
        out.extend_from_slice(end.as_bytes());
    }

    fn our_usage_chunk(&self, usage: &Usage) -> Bytes {
        let (prompt, completion) = openai_totals(&usage.meters);
        let total = prompt.saturating_add(completion);
        let mut end = format!(
            "\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}"
        );
        if let Some(cached) = usage.meters.of(Meter::CachedInputToken) {
            end.push_str(&format!(",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}"));
        }
        if let Some(reasoning) = usage.meters.of(Meter::ReasoningToken) {
            end.push_str(&format!(",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}"));
        }
        end.push_str("}}\n\n");
        let mut out = Vec::with_capacity(256);
        self.our_chunk(&mut out, &end);
        out.into()
    }
}

impl AnswerStream for ChoiceStream {
    fn event(&mut self, frame: Frame) -> StreamStep {
        if self.is_over {
            return StreamStep::default();
        }
        if let Some((event, text)) = self.moulds.fit(&frame) {
            return self.alike(event, text);
        }
        if frame.data.trim_ascii() == b"[DONE]" {
            self.is_over = true;
            return StreamStep { is_done: true, is_finished: self.is_finished(), ..StreamStep::default() };
        }
        let data = frame.one_line();
        if data.trim_ascii().is_empty() {
            return StreamStep::default();
        }
        if frame.event.as_deref() == Some(b"error") {
            return self.fail(UpstreamFault::reported(&data));
        }
        match Answer::read(&data) {
            Ok(answer) if answer.is_error => self.fail(UpstreamFault::reported(&data)),
            Ok(answer) => self.chunk(&answer, &data, &frame),
            // What a closed stream left behind: a cut event, not a wrong one.
            Err(_) if !frame.is_whole => StreamStep::default(),
            Err(_) => self.fail(UpstreamFault::unreadable("An event of the stream is not a JSON object.")),
        }
    }

    /// Every choice has a finish reason.
    fn is_finished(&self) -> bool {
        let is_all_seen = self.is_over || u64::from(self.seen.count_ones()) >= self.wanted.choices;
        self.seen != 0 && self.seen == self.finished && is_all_seen
    }

    fn ending(&self, usage: &Usage) -> Bytes {
        let Some(usage) = self.usage_event(usage) else { return Bytes::from_static(DONE) };
        [usage.as_ref(), DONE].concat().into()
    }

    /// Finish reason `length` for every choice that has none, and the usage if the caller asked.
    fn length_ending(&self, usage: &Usage) -> Bytes {
        let mut out = Vec::new();
        let open = if self.seen == 0 { 1 } else { self.seen & !self.finished };
        for index in (0..128_u32).filter(|index| open >> index & 1 == 1) {
            let empty = self.wanted.chunk.empty;
            let end = format!("\"choices\":[{{\"index\":{index}{empty}\"finish_reason\":\"length\"}}]}}\n\n");
            self.our_chunk(&mut out, &end);
        }
        if self.wanted.usage {
            out.extend_from_slice(&self.our_usage_chunk(usage));
        }
        out.extend_from_slice(DONE);
        out.into()
    }

    fn error_ending(&self, error: &PublicError) -> Bytes {
        sse_event(error, ErrorShape::OpenAi)
    }
}

/// The event as it came when nothing of it changes, else one made of the edited data.
fn event_of(splice: Splice, data: &Bytes, frame: &Frame) -> Bytes {
    if splice.is_empty() && frame.is_plain {
        return frame.raw.clone();
    }
    splice.apply_between(b"data: ", data, b"\n\n")
}
