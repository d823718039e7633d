//! `audio/speech` (`wire.md` §2.7): text in, sound out, byte by byte as it comes.
//!
//! What is spoken is counted exactly: Unicode scalar values of `input`.

use super::events::Course;
use super::request::{Media, MediaRequest, scan};
use crate::body::{Shared, SharedFields, body_fields, invalid, missing};
use crate::inference::{ModelLimits, Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Sink, Value};
use bytes::Bytes;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::limits::TEMPLATE_TOKENS;
use claviger_domain::meter::{Meter, Meters};

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
    request: MediaRequest,
    characters: u64,
    text_bytes: u64,
    content_type: &'static str,
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

impl AsRef<SharedFields> for Reading {
    fn as_ref(&self) -> &SharedFields {
        &self.shared
    }
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
        let model = scan(&body, &BODY, &mut reading)?;
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
        let (endpoint, path, shared) = (EndpointName::AudioSpeech, "/v1/audio/speech", reading.shared);
        let request = MediaRequest::json(endpoint, path, model, (shared, is_stream), body);
        Ok(Self { request, characters, text_bytes, content_type })
    }
}

impl Media for SpeechAsk {
    fn request(&self) -> &MediaRequest {
        &self.request
    }

    /// Characters exactly; tokens of text are at most its bytes, those of sound at most what the model can make.
    fn most(&self, limits: ModelLimits) -> Meters {
        let bytes = self.request.bytes().saturating_add(TEMPLATE_TOKENS);
        let tokens = limits.context_tokens.map_or(bytes, |context| context.min(bytes));
        let mut input = Meters::NONE.with(Meter::Character, self.characters).with(Meter::InputToken, tokens);
        if let Some(most) = limits.output_tokens_max {
            input.set(Meter::AudioOutputToken, most);
        }
        input
    }

    fn guess(&self) -> Meters {
        let tokens = Meters::NONE.with(Meter::InputToken, self.text_bytes.div_ceil(4));
        tokens.with(Meter::Character, self.characters)
    }

    fn answer(&self, body: Bytes) -> Result<Reply, UpstreamFault> {
        Ok(Reply { body, usage: None, has_content: true, content_bytes: 0, is_finished: true })
    }

    fn answer_type(&self) -> &'static str {
        self.content_type
    }

    fn is_file(&self) -> bool {
        true
    }

    fn course(&self) -> Course {
        Course { last: &["speech.audio.done"], answers: 1, output: Meter::AudioOutputToken, unit: None }
    }
}
