//! A response as a stream of typed events (2.3, W30, W35): counts, replaces the model, and knows when it is whole.
//!
//! The event that ends a response is never forwarded by the way: it is the ending, and leaves when the charge is
//! durable. Events that are not known pass through.

use super::answer::Answer;
use super::names::Shown;
use crate::inference::{AnswerStream, Content, StreamStep, UpstreamFault};
use crate::scan::quote_into;
use crate::splice::Splice;
use crate::sse::Frame;
use crate::usage::openai_totals;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::PublicError;
use claviger_domain::meter::{Meter, Usage, UsageSource};

/// A response of which nothing was told: the members that parsers insist on.
const UNKNOWN: &[u8] = br#"{"id":"resp","object":"response","created_at":0,"status":"in_progress","error":null,"incomplete_details":null,"instructions":null,"metadata":{},"output":[],"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":null}"#;

/// The course of one stream.
#[derive(Debug)]
pub(super) struct ResponseStream {
    shown: Shown,
    /// What its server calls it.
    upstream_id: Option<String>,
    /// Whether its server may keep it.
    is_kept: bool,
    dialect: Dialect,
    has_content: bool,
    /// The number of the next event.
    number: u64,
    /// The response object as it was told last, with the caller's model.
    response: Option<Bytes>,
    /// The upstream's own last event, edited, not forwarded yet.
    terminal: Option<Bytes>,
    is_over: bool,
}

impl ResponseStream {
    /// The start of a stream from this dialect.
    pub(super) const fn new(shown: Shown, dialect: Dialect, is_kept: bool) -> Self {
        Self {
            shown,
            upstream_id: None,
            is_kept,
            dialect,
            has_content: false,
            number: 0,
            response: None,
            terminal: None,
            is_over: false,
        }
    }

    fn fail(&mut self, fault: UpstreamFault) -> StreamStep {
        self.is_over = true;
        StreamStep { error: Some(fault), ..StreamStep::default() }
    }

    fn read(&mut self, answer: &Answer<'_>, data: &Bytes, frame: &Frame) -> StreamStep {
        let kind = answer.kind();
        if let Some(number) = answer.number {
            self.number = number.saturating_add(1);
        }
        let is_last = matches!(kind.as_str(), "response.completed" | "response.incomplete");
        let mut step = StreamStep::default();
        let mut bytes = answer.delta_bytes.saturating_add(answer.begun_bytes(&kind));
        if is_last && !self.has_content {
            // Some servers tell only the end.
            bytes = answer.output_bytes;
        }
        if bytes > 0 {
            self.has_content = true;
            step.content = Some(Content { bytes, chunks: 1 });
        }
        if !answer.figures.is_empty() {
            let source = if is_last { UsageSource::UpstreamFinal } else { UsageSource::UpstreamRunning };
            let usage = answer.figures.usage(self.dialect, source, self.has_content);
            step.usage = usage.map(|usage| (usage, is_last));
        }
        let mut splice = Splice::new();
        answer.edit(&self.shown, &mut splice);
        if self.is_kept && self.upstream_id.is_none() {
            self.upstream_id = answer.id_text();
        }
        if let Some(response) = answer.response.filter(|_| !is_last) {
            self.keep(data.slice(response.span()));
        }
        let event = event_of(&kind, splice, data, frame);
        if is_last {
            self.is_over = true;
            self.terminal = Some(event);
            return StreamStep { is_done: true, is_finished: true, ..step };
        }
        step.forward = Some(event);
        step
    }

    /// Keeps the response object, for endings of ours.
    fn keep(&mut self, response: Bytes) {
        let Ok(answer) = Answer::whole(&response) else { return };
        let mut splice = Splice::new();
        answer.edit(&self.shown, &mut splice);
        self.response = Some(splice.apply_whole(&response));
    }

    /// The last event, made of what is known of the response.
    fn ending_of(&self, name: &str, members: [(&str, String); 4]) -> Bytes {
        let unknown = Bytes::from_static(UNKNOWN);
        let response = self.response.as_ref().unwrap_or(&unknown);
        let mut splice = Splice::new();
        if let Ok(answer) = Answer::whole(response) {
            answer.edit(&self.shown, &mut splice);
            let inside = answer.response.map_or(0, |response| response.start().saturating_add(1));
            let places = [answer.status, answer.error, answer.incomplete, answer.usage];
            for ((member, text), place) in members.into_iter().zip(places) {
                match place {
                    Some(value) => splice.replace(value.span(), text),
                    None => splice.insert(inside, format!("\"{member}\":{text},")),
                }
            }
        }
        let number = self.number;
        let head = format!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},\"response\":");
        splice.apply_between(head.as_bytes(), response, b"}\n\n")
    }
}

impl AnswerStream for ResponseStream {
    fn event(&mut self, frame: Frame) -> StreamStep {
        if self.is_over {
            return StreamStep::default();
        }
        let data = frame.one_line();
        // Some servers end every stream as chat does.
        if data.trim_ascii().is_empty() || data.trim_ascii() == b"[DONE]" {
            return StreamStep::default();
        }
        match Answer::event(&data) {
            Ok(answer) => {
                let is_failure = matches!(answer.kind().as_str(), "error" | "response.failed" | "response.cancelled");
                if is_failure || answer.is_error() {
                    return self.fail(failure(&answer, &data));
                }
                self.read(&answer, &data, &frame)
            }
            // What a closed stream left behind: a cut event, not a wrong one.
            Err(_) if !frame.is_whole => StreamStep::default(),
            Err(_) => self.fail(UpstreamFault::unreadable("An event of the stream is not a JSON object.")),
        }
    }

    fn is_finished(&self) -> bool {
        self.terminal.is_some()
    }

    fn upstream_id(&self) -> Option<&str> {
        self.upstream_id.as_deref()
    }

    fn ending(&self, _usage: &Usage) -> Bytes {
        self.terminal.clone().unwrap_or_default()
    }

    fn length_ending(&self, usage: &Usage) -> Bytes {
        let (input, output) = openai_totals(&usage.meters);
        let cached = usage.meters.of(Meter::CachedInputToken).unwrap_or(0);
        let reasoning = usage.meters.of(Meter::ReasoningToken).unwrap_or(0);
        let told = format!(
            "{{\"input_tokens\":{input},\"input_tokens_details\":{{\"cached_tokens\":{cached}}},\"output_tokens\":{output},\
             \"output_tokens_details\":{{\"reasoning_tokens\":{reasoning}}},\"total_tokens\":{}}}",
            input.saturating_add(output)
        );
        let members = [
            ("status", "\"incomplete\"".to_owned()),
            ("error", "null".to_owned()),
            ("incomplete_details", "{\"reason\":\"max_output_tokens\"}".to_owned()),
            ("usage", told),
        ];
        self.ending_of("response.incomplete", members)
    }

    fn error_ending(&self, error: &PublicError) -> Bytes {
        let mut told = b"{\"code\":\"server_error\",\"message\":".to_vec();
        quote_into(&mut told, &error.message);
        told.push(b'}');
        let members = [
            ("status", "\"failed\"".to_owned()),
            ("error", String::from_utf8(told).unwrap_or_default()),
            ("incomplete_details", "null".to_owned()),
            ("usage", "null".to_owned()),
        ];
        self.ending_of("response.failed", members)
    }
}

/// What the upstream says of its failure: in the response object, or beside it.
fn failure(answer: &Answer<'_>, data: &Bytes) -> UpstreamFault {
    match answer.response {
        Some(response) => UpstreamFault::reported(response.raw(data)),
        None => UpstreamFault::reported(data),
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
