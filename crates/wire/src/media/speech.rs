//! `audio/speech` (`wire.md` §2.7): text in, sound out, byte by byte as it comes.
//!
//! What is spoken is counted exactly: Unicode scalar values of `input`.

use super::events::{Course, EventStream};
use crate::body::{self, ModelName, Shared, SharedFields, body_fields, invalid, missing};
use crate::dialect::check_serves;
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_strict};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// Tokens that a model adds around the text.
const TEMPLATE_TOKENS: u64 = 1024;

/// Formats of sound, with what they are called on the wire.
const FORMATS: [(&str, &str); 6] = [
    ("mp3", "audio/mpeg"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("pcm", "audio/pcm"),
];

/// A request for speech that broke no rule of W48.
#[derive(Debug)]
pub struct SpeechAsk {
    model: ModelName,
    characters: u64,
    text_bytes: u64,
    content_type: &'static str,
    is_stream: bool,
    shared: SharedFields,
    body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Input,
    Format,
    StreamFormat,
}

static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field::leaf("input", Tag::Input),
    Field::leaf("response_format", Tag::Format),
    Field::leaf("stream_format", Tag::StreamFormat),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading {
    shared: SharedFields,
    input: Option<Value>,
    format: Option<Value>,
    stream_format: Option<Value>,
}

impl Sink<Tag> for Reading {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Shared(tag) => self.shared.take(tag, value),
            Tag::Input => self.input = Some(value),
            Tag::Format => self.format = Some(value),
            Tag::StreamFormat => self.stream_format = Some(value),
        }
    }
}

impl SpeechAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading::default();
        scan_strict(&body, &BODY, &mut reading)?;
        reading.shared.check()?;
        let model = reading.shared.model(&body)?;
        let input = reading.input.ok_or_else(|| missing("input"))?;
        let text = input.text(&body).map(|text| text.to_text()).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| invalid("input", "a text that is not empty"))?;
        let said = |value: Option<Value>| value.filter(|value| value.kind != Kind::Null);
        let content_type = match said(reading.format) {
            None => "audio/mpeg",
            Some(value) => {
                let is = |name: &str| value.text(&body).is_some_and(|text| text.equals(name));
                let found = FORMATS.iter().find(|(name, _)| is(name));
                found.ok_or_else(|| invalid("response_format", "mp3, opus, aac, flac, wav or pcm"))?.1
            }
        };
        let is_stream = match said(reading.stream_format).map(|value| value.text(&body)) {
            None => false,
            Some(Some(text)) if text.equals("audio") => false,
            Some(Some(text)) if text.equals("sse") => true,
            Some(_) => return Err(invalid("stream_format", "'audio' or 'sse'")),
        };
        // A flag of chat that some clients send: sound is streamed anyway.
        reading.shared.is_stream()?;
        let characters = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        let text_bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(Self { model, characters, text_bytes, content_type, is_stream, shared: reading.shared, body })
    }
}

impl Ask for SpeechAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Characters exactly; tokens of text are at most its bytes, those of sound at most what the model can make.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX).saturating_add(TEMPLATE_TOKENS);
        let tokens = limits.context_tokens.map_or(bytes, |context| context.min(bytes));
        let mut input = Meters::NONE.with(Meter::Character, self.characters).with(Meter::InputToken, tokens);
        if let Some(most) = limits.output_tokens_max {
            input.set(Meter::AudioOutputToken, most);
        }
        Ok(Bound { input, output_per_choice: 0, choices: 1 })
    }

    fn estimate(&self) -> Estimate {
        let tokens = Meters::NONE.with(Meter::InputToken, self.text_bytes.div_ceil(4));
        let input = tokens.with(Meter::Character, self.characters);
        Estimate { input, source: UsageSource::Estimated, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::AudioSpeech)?;
        self.shared.check_dialect(dialect)
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        self.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        UpstreamRequest { path: "/v1/audio/speech", body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        Ok(Reply { body, usage: None, has_content: true, content_bytes: 0, is_finished: true })
    }

    fn content_type(&self) -> &'static str {
        self.content_type
    }

    fn is_binary(&self) -> bool {
        !self.is_stream
    }

    fn stream(&self, _dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        let course = Course { last: &["speech.audio.done"], answers: 1, output: Meter::AudioOutputToken, unit: None };
        self.is_stream.then(|| Box::new(EventStream::new(course)) as Box<dyn AnswerStream>)
    }
}
