//! `audio/transcriptions` and `audio/translations` (`wire.md` §2.8): a form with a file in, text out.
//!
//! The file may come before the model, so the form is read whole; of it only the value of `model` is changed. What the
//! upstream does not count is the length of the file.

use super::duration;
use super::events::{Course, EventStream};
use super::usage::{Figure, Figures, media_usage, whole_seconds};
use crate::body::{ENGINE, FORBIDDEN, ModelName, invalid, missing};
use crate::dialect::{check_serves, habits};
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::multipart::{self, Part};
use crate::scan::{Field, Kind, Place, Sink, Value, quote_into, scan_lenient};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// Bytes of a second at the lowest rate that speech is understood at; bounds a file that cannot be read.
const LEAST_BYTES_PER_SECOND: u64 = 500;
/// Bytes of a second at a usual rate; the guess for such a file.
const USUAL_BYTES_PER_SECOND: u64 = 16_000;
/// The most tokens that a model makes of a second; common ones make 10 to 50.
const TOKENS_PER_SECOND_MAX: u64 = 100;
/// The guess.
const TOKENS_PER_SECOND: u64 = 10;
/// Tokens that a model adds around the text.
const TEMPLATE_TOKENS: u64 = 1024;

/// Fields that are acted on, each at most once.
const RESERVED: &[&str] = &["model", "file", "stream", "response_format", "prompt", "sim"];

/// A request for a transcript or a translation.
#[derive(Debug)]
pub struct TranscribeAsk {
    endpoint: EndpointName,
    model: ModelName,
    model_at: std::ops::Range<usize>,
    engine: Option<&'static str>,
    is_stream: bool,
    is_json: bool,
    prompt_bytes: u64,
    file_bytes: u64,
    seconds: Option<u64>,
    content_type: String,
    body: Bytes,
}

/// The parts by their names.
struct Fields<'a> {
    body: &'a Bytes,
    parts: &'a [Part],
}

impl<'a> Fields<'a> {
    /// Refuses what W48 and W49 refuse of JSON bodies.
    fn check(&self) -> Result<(), PublicError> {
        for (position, part) in self.parts.iter().enumerate() {
            if let Some(name) = FORBIDDEN.iter().find(|name| **name == part.name) {
                return Err(PublicError::new(Code::ForbiddenParameter).about(*name));
            }
            for reserved in RESERVED {
                let is_same = part.name == *reserved;
                if !is_same && part.name.trim().eq_ignore_ascii_case(reserved) {
                    let message = format!("The field '{}' differs from '{reserved}' only in case.", part.name);
                    return Err(PublicError::with_message(Code::AmbiguousKey, message).about(part.name.clone()));
                }
                let mut former = self.parts.iter().take(position);
                if is_same && former.any(|other| other.name == part.name) {
                    let message = format!("Duplicate key '{reserved}'.");
                    return Err(PublicError::with_message(Code::DuplicateKey, message).about(*reserved));
                }
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&'a Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, PublicError> {
        let Some(part) = self.find(name) else { return Ok(None) };
        let bytes = self.body.get(part.value.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).map(Some).map_err(|_| invalid(name, "text in UTF-8"))
    }
}

impl TranscribeAsk {
    /// Reads a form.
    ///
    /// # Errors
    /// The refusal of W7, W48 or W49, with its `param`.
    pub fn parse(endpoint: EndpointName, content_type: Option<&str>, body: Bytes) -> Result<Self, PublicError> {
        let boundary = multipart::boundary(content_type)?;
        let parts = multipart::parts(&body, &boundary)?;
        let fields = Fields { body: &body, parts: &parts };
        fields.check()?;
        let id = fields.text("model")?.ok_or_else(|| missing("model"))?;
        let is_sound = (1..=limits::MODEL_ID_BYTES).contains(&id.len()) && !id.contains(char::is_control);
        if !is_sound {
            return Err(PublicError::new(Code::InvalidModel).about("model"));
        }
        let mut json = Vec::with_capacity(id.len() + 2);
        quote_into(&mut json, id);
        let is_stream = match fields.text("stream")?.unwrap_or("false") {
            "true" | "True" | "1" => true,
            "false" | "False" | "0" => false,
            _ => return Err(invalid("stream", "true or false")),
        };
        let is_json = match fields.text("response_format")?.unwrap_or("json") {
            "json" | "verbose_json" | "diarized_json" => true,
            "text" | "srt" | "vtt" => false,
            _ => return Err(invalid("response_format", "json, text, srt, verbose_json, vtt or diarized_json")),
        };
        let prompt_bytes = fields.find("prompt").map_or(0, |part| part.value.len());
        let file = fields.find("file").filter(|part| !part.value.is_empty()).ok_or_else(|| missing("file"))?;
        let seconds = duration::seconds(body.slice(file.value.clone()));
        let engine = ENGINE.iter().copied().find(|name| fields.find(name).is_some());
        let model_at = fields.find("model").map(|part| part.value.clone()).unwrap_or_default();
        Ok(Self {
            endpoint,
            model: ModelName { id: id.to_owned(), json: json.into() },
            model_at,
            engine,
            is_stream,
            is_json,
            prompt_bytes: count(prompt_bytes),
            file_bytes: count(file.value.len()),
            seconds,
            content_type: multipart::content_type(&boundary),
            body,
        })
    }

    /// Seconds that the file cannot exceed.
    fn seconds_max(&self) -> u64 {
        self.seconds.unwrap_or_else(|| self.file_bytes.div_ceil(LEAST_BYTES_PER_SECOND))
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Ask for TranscribeAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let seconds = self.seconds_max();
        let around = self.prompt_bytes.saturating_add(TEMPLATE_TOKENS);
        let tokens = seconds.saturating_mul(TOKENS_PER_SECOND_MAX).saturating_add(around);
        let tokens = limits.context_tokens.map_or(tokens, |context| context.min(tokens));
        let mut input = Meters::NONE
            .with(Meter::AudioSecond, seconds)
            .with(Meter::InputToken, tokens)
            // Any of them may be of sound.
            .with(Meter::AudioInputToken, 0);
        if let Some(most) = limits.output_tokens_max {
            input.set(Meter::OutputToken, most);
        }
        Ok(Bound { input, output_per_choice: 0, choices: 1 })
    }

    /// The length of the file, exactly if it could be read; tokens are guessed from it.
    fn estimate(&self) -> Estimate {
        let input = match self.seconds {
            None => Meters::NONE.with(Meter::AudioSecond, self.file_bytes.div_ceil(USUAL_BYTES_PER_SECOND)),
            Some(seconds) => {
                let tokens = seconds.saturating_mul(TOKENS_PER_SECOND).saturating_add(self.prompt_bytes.div_ceil(4));
                Meters::NONE.with(Meter::AudioSecond, seconds).with(Meter::InputToken, tokens)
            }
        };
        Estimate { input, source: UsageSource::Estimated, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, self.endpoint)?;
        match self.engine.filter(|_| habits(dialect).refuses_engine_fields) {
            Some(name) => Err(PublicError::new(Code::ForbiddenParameter).about(name)),
            None => Ok(()),
        }
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        if self.model.id != edits.upstream_model {
            splice.replace(self.model_at.clone(), edits.upstream_model.to_owned());
        }
        let path = match self.endpoint {
            EndpointName::AudioTranslations => "/v1/audio/translations",
            _ => "/v1/audio/transcriptions",
        };
        UpstreamRequest { path, body: splice.apply(&self.body) }
    }

    fn request_type(&self) -> &str {
        &self.content_type
    }

    fn content_type(&self) -> &'static str {
        if self.is_json { "application/json" } else { "text/plain; charset=utf-8" }
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        if self.is_json {
            return read(body);
        }
        if std::str::from_utf8(&body).is_err() {
            return Err(UpstreamFault::unreadable("The answer is no text."));
        }
        Ok(Reply { body, usage: None, has_content: true, content_bytes: 0, is_finished: true })
    }

    fn stream(&self, _dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        let course = Course { last: &["transcript.text.done"], answers: 1, output: Meter::OutputToken, unit: None };
        self.is_stream.then(|| Box::new(EventStream::new(course)) as Box<dyn AnswerStream>)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Text,
    Duration,
    Figure(Figure),
    Error,
}

static ANSWER: Place<Said> = Place::new(
    None,
    &[
        Field::leaf("text", Said::Text),
        Field::leaf("duration", Said::Duration),
        Field { name: "usage", place: Place::new(None, USAGE, None) },
        Field::leaf("error", Said::Error),
    ],
    None,
);
const USAGE: &[Field<Said>] = media_usage!(Said::Figure);

#[derive(Default)]
struct Answer<'d> {
    document: &'d [u8],
    has_text: bool,
    duration: Option<u64>,
    figures: Figures,
    is_error: bool,
}

impl Sink<Said> for Answer<'_> {
    fn found(&mut self, tag: Said, value: Value) {
        match tag {
            Said::Text => self.has_text = matches!(value.kind, Kind::Text { .. }),
            Said::Duration => self.duration = whole_seconds(value, self.document),
            Said::Figure(figure) => self.figures.take(figure, value, self.document),
            Said::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}

/// Refuses what is not JSON, an error object under a 200, and an answer without a text.
fn read(body: Bytes) -> Result<Reply, UpstreamFault> {
    let mut answer = Answer { document: &body, ..Answer::default() };
    scan_lenient(&body, &ANSWER, &mut answer)
        .map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error {
        return Err(UpstreamFault::reported(&body));
    }
    if !answer.has_text {
        return Err(UpstreamFault::unreadable("The answer has no text."));
    }
    let mut usage = answer.figures.usage(Meter::OutputToken);
    if let (None, Some(seconds)) = (usage, answer.duration) {
        let meters = Meters::NONE.with(Meter::AudioSecond, seconds);
        usage = Some(Usage { meters, source: UsageSource::UpstreamFinal, is_anomalous: false });
    }
    Ok(Reply { usage, has_content: true, content_bytes: 0, is_finished: true, body })
}
