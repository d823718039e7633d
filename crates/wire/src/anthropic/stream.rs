//! A message as a stream of events (2.4, W30, W35): counts, replaces the model, and knows when it is whole.
//!
//! `message_stop` is never forwarded by the way: it is the ending, and leaves when the charge is durable. Events that
//! are not known pass through, for Anthropic adds some.

use super::answer::Answer;
use super::usage::Figures;
use crate::error_body::sse_event;
use crate::inference::{AnswerStream, Content, StreamStep, UpstreamFault};
use crate::splice::Splice;
use crate::sse::Frame;
use bytes::Bytes;
use claviger_domain::endpoint::ErrorShape;
use claviger_domain::error::PublicError;
use claviger_domain::meter::{Meter, Usage, UsageSource};

/// The end of every stream that is whole.
const STOP: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// The course of one stream.
#[derive(Debug)]
pub(super) struct MessageStream {
    model_json: Bytes,
    figures: Figures,
    has_begun: bool,
    has_content: bool,
    /// The block that is open now.
    block: Option<u64>,
    /// It was said why the message ends: figures from here on are the last word.
    is_stopped: bool,
    is_over: bool,
    is_finished: bool,
}

impl MessageStream {
    /// The start of a stream.
    pub(super) fn new(model_json: Bytes) -> Self {
        Self {
            model_json,
            figures: Figures::default(),
            has_begun: false,
            has_content: false,
            block: None,
            is_stopped: false,
            is_over: false,
            is_finished: false,
        }
    }

    fn fail(&mut self, fault: UpstreamFault) -> StreamStep {
        self.is_over = true;
        StreamStep { error: Some(fault), ..StreamStep::default() }
    }

    fn take_usage(&mut self, answer: &Answer<'_>, is_start: bool) -> Option<(Usage, bool)> {
        // The first count of output is no count of what came.
        let told = if is_start { answer.figures.input() } else { answer.figures };
        self.figures = self.figures.followed_by(&told);
        let source = if self.is_stopped { UsageSource::UpstreamFinal } else { UsageSource::UpstreamRunning };
        self.figures.usage(source, self.has_content).map(|usage| (usage, self.is_stopped))
    }

    fn read(&mut self, answer: &Answer<'_>, data: &Bytes, frame: &Frame) -> StreamStep {
        let kind = answer.kind();
        if kind == "message_stop" {
            self.is_over = true;
            self.is_finished = true;
            return StreamStep { is_done: true, is_finished: true, ..StreamStep::default() };
        }
        let mut step = StreamStep::default();
        self.is_stopped |= answer.is_stopped();
        if answer.content_bytes > 0 {
            self.has_content = true;
            step.content = Some(Content { bytes: answer.content_bytes, chunks: 1 });
        }
        match kind.as_str() {
            "message_start" => self.has_begun = true,
            "content_block_start" => self.block = answer.index,
            "content_block_stop" => self.block = None,
            _ => {}
        }
        if !answer.figures.is_empty() {
            step.usage = self.take_usage(answer, kind == "message_start");
        }
        let mut splice = Splice::new();
        answer.edit(&self.model_json, &mut splice);
        step.forward = Some(event_of(&kind, splice, data, frame));
        step
    }
}

impl AnswerStream for MessageStream {
    fn event(&mut self, frame: Frame) -> StreamStep {
        if self.is_over {
            return StreamStep::default();
        }
        let data = frame.one_line();
        // Some servers end every stream as OpenAI does.
        if data.trim_ascii().is_empty() || data.trim_ascii() == b"[DONE]" {
            return StreamStep::default();
        }
        match Answer::read(&data) {
            Ok(answer) if answer.is_error() => self.fail(UpstreamFault::reported(&data)),
            Ok(answer) => self.read(&answer, &data, &frame),
            // What a closed stream left behind: a cut event, not a wrong one.
            Err(_) if !frame.is_whole => StreamStep::default(),
            Err(_) => self.fail(UpstreamFault::unreadable("An event of the stream is not a JSON object.")),
        }
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn ending(&self, _usage: &Usage) -> Bytes {
        Bytes::from_static(STOP)
    }

    /// The open block ends, the message ends for its limit, with what is charged.
    fn length_ending(&self, usage: &Usage) -> Bytes {
        let mut out = String::new();
        if let Some(index) = self.block {
            out.push_str(&format!(
                "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"
            ));
        }
        if self.has_begun {
            let output = usage.meters.of(Meter::OutputToken).unwrap_or(0);
            out.push_str(&format!(
                "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"max_tokens\",\
                 \"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{output}}}}}\n\n"
            ));
        }
        [out.as_bytes(), STOP].concat().into()
    }

    fn error_ending(&self, error: &PublicError) -> Bytes {
        sse_event(error, ErrorShape::Anthropic)
    }
}

/// The event as it came when nothing of it changes, else one made of the edited data.
fn event_of(kind: &str, splice: Splice, data: &Bytes, frame: &Frame) -> Bytes {
    if splice.is_empty() && frame.is_named() {
        return frame.raw.clone();
    }
    // The name is the upstream's word: a line end in it would begin another line.
    let name: String = kind.chars().filter(|character| !character.is_control()).collect();
    splice.apply_between(format!("event: {name}\ndata: ").as_bytes(), data, b"\n\n")
}
