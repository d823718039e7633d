//! A stream of media events: pieces, then a last one that says what was used (`wire.md` §2.6 to 2.8).
//!
//! Events leave as they came, on one line of data each. The last one is kept back until the charge is durable. A server
//! that ends with `[DONE]` instead is believed too.

use super::usage::{Figure, Figures, media_usage};
use crate::error_body::sse_event;
use crate::inference::{AnswerStream, Content, StreamStep, UpstreamFault};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use crate::sse::Frame;
use bytes::Bytes;
use claviger_domain::endpoint::ErrorShape;
use claviger_domain::error::PublicError;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};

const DONE: &[u8] = b"data: [DONE]\n\n";

/// What a stream of one endpoint is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// The types of events that end an answer, each one of them.
    pub(crate) last: &'static [&'static str],
    /// How many of them end the stream.
    pub(crate) answers: u64,
    /// What its output is counted as.
    pub(crate) output: Meter,
    /// What each answer counts as beside its tokens.
    pub(crate) unit: Option<Meter>,
}

/// The course of one stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    course: Course,
    ended: u64,
    usage: Option<Usage>,
    ending: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Kind,
    Figure(Figure),
    Error,
}

static EVENT: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("type", Tag::Kind),
        Field { name: "usage", place: Place::new(None, USAGE, None) },
        Field::leaf("error", Tag::Error),
    ],
    None,
);
const USAGE: &[Field<Tag>] = media_usage!(Tag::Figure);

#[derive(Default)]
struct Event<'d> {
    document: &'d [u8],
    kind: Option<Value>,
    figures: Figures,
    is_error: bool,
}

impl Sink<Tag> for Event<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Kind => self.kind = Some(value),
            Tag::Figure(figure) => self.figures.take(figure, value, self.document),
            Tag::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}

impl EventStream {
    pub(crate) const fn new(course: Course) -> Self {
        Self { course, ended: 0, usage: None, ending: None }
    }

    /// An answer is whole: its figures are added to those of the answers before it.
    fn end_answer(&mut self, figures: &Figures) {
        self.ended = self.ended.saturating_add(1);
        let told = figures.usage(self.course.output);
        let mut usage =
            told.unwrap_or(Usage { meters: Meters::NONE, source: UsageSource::Computed, is_anomalous: false });
        if let Some(former) = &self.usage {
            for (meter, quantity) in former.meters.iter() {
                let sum = usage.meters.of(meter).unwrap_or(0).saturating_add(quantity);
                usage.meters.set(meter, sum);
            }
        }
        if let Some(unit) = self.course.unit {
            usage.meters.set(unit, self.ended);
        }
        self.usage = (!usage.meters.is_empty() || usage.is_anomalous).then_some(usage);
    }
}

impl AnswerStream for EventStream {
    fn event(&mut self, frame: Frame) -> StreamStep {
        if frame.data.is_empty() || self.ending.is_some() {
            return StreamStep::default();
        }
        if frame.data.trim_ascii() == b"[DONE]" {
            self.ended = self.course.answers.saturating_sub(1);
            self.end_answer(&Figures::default());
            self.ending = Some(Bytes::from_static(DONE));
            let usage = self.usage.map(|usage| (usage, true));
            return StreamStep { usage, is_finished: true, is_done: true, ..StreamStep::default() };
        }
        let mut event = Event { document: &frame.data, ..Event::default() };
        if scan_lenient(&frame.data, &EVENT, &mut event).is_err() {
            let error = Some(UpstreamFault::unreadable("An event of the stream is not a JSON object."));
            return StreamStep { error, ..StreamStep::default() };
        }
        let kind = event.kind.and_then(|kind| kind.text(&frame.data));
        let is = |name: &&&str| kind.is_some_and(|kind| kind.equals(name));
        if event.is_error || is(&&"error") {
            return StreamStep { error: Some(UpstreamFault::reported(&frame.data)), ..StreamStep::default() };
        }
        let content = Some(Content { bytes: 0, chunks: 1 });
        let is_last = self.course.last.iter().any(|name| is(&name));
        let figures = event.figures;
        let written = one_event(&frame);
        if !is_last {
            return StreamStep { forward: Some(written), content, ..StreamStep::default() };
        }
        self.end_answer(&figures);
        let usage = self.usage.map(|usage| (usage, true));
        if self.ended < self.course.answers {
            return StreamStep { forward: Some(written), content, ..StreamStep::default() };
        }
        self.ending = Some(written);
        StreamStep { content, usage, is_finished: true, is_done: true, ..StreamStep::default() }
    }

    fn is_finished(&self) -> bool {
        self.ending.is_some()
    }

    fn ending(&self, _usage: &Usage) -> Bytes {
        self.ending.clone().unwrap_or_default()
    }

    fn length_ending(&self, usage: &Usage) -> Bytes {
        self.ending(usage)
    }

    fn error_ending(&self, error: &PublicError) -> Bytes {
        sse_event(error, ErrorShape::OpenAi)
    }
}

/// The event with one line of data, and its name if it has one (W30).
fn one_event(frame: &Frame) -> Bytes {
    if frame.is_plain || frame.is_named() {
        return frame.raw.clone();
    }
    let mut out = Vec::with_capacity(frame.data.len() + 64);
    if let Some(name) = &frame.event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name);
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&frame.one_line());
    out.extend_from_slice(b"\n\n");
    out.into()
}
