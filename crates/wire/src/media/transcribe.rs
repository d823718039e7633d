//! `audio/transcriptions` and `audio/translations` (`wire.md` §2.8): a form with a file in, text out.
//!
//! The file may come before the model, so the form is read whole; of it only the value of `model` is changed. What the
//! upstream does not count is the length of the file.

use super::duration;
use super::events::Course;
use super::form::Form;
use super::request::{Media, MediaRequest};
use super::usage::{Figure, Figures, media_usage, whole_seconds};
use crate::body::{invalid, missing};
use crate::inference::{ModelLimits, Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use bytes::Bytes;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::limits::TEMPLATE_TOKENS;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};

/// Bytes of a second at the lowest rate that speech is understood at; bounds a file that cannot be read.
const LEAST_BYTES_PER_SECOND: u64 = 500;
/// Bytes of a second at a usual rate; the guess for such a file.
const USUAL_BYTES_PER_SECOND: u64 = 16_000;
/// The most tokens that a model makes of a second; common ones make 10 to 50.
const TOKENS_PER_SECOND_MAX: u64 = 100;
/// The guess.
const TOKENS_PER_SECOND: u64 = 10;

/// Fields that are acted on, each at most once.
const RESERVED: &[&str] = &["model", "file", "stream", "response_format", "prompt", "sim"];

/// A request for a transcript or a translation.
#[derive(Debug)]
pub struct TranscribeAsk {
    request: MediaRequest,
    is_json: bool,
    prompt_bytes: u64,
    file_bytes: u64,
    seconds: Option<u64>,
}

impl TranscribeAsk {
    /// Reads a form.
    ///
    /// # Errors
    /// The refusal of W7, W48 or W49, with its `param`.
    pub fn parse(endpoint: EndpointName, content_type: Option<&str>, body: Bytes) -> Result<Self, PublicError> {
        let form = Form::read(content_type, body, RESERVED)?;
        let path = match endpoint {
            EndpointName::AudioTranslations => "/v1/audio/translations",
            _ => "/v1/audio/transcriptions",
        };
        let request = MediaRequest::form(endpoint, path, &form)?;
        let is_json = match form.text("response_format")?.unwrap_or("json") {
            "json" | "verbose_json" | "diarized_json" => true,
            "text" | "srt" | "vtt" => false,
            _ => return Err(invalid("response_format", "json, text, srt, verbose_json, vtt or diarized_json")),
        };
        let file = form.find("file").filter(|part| !part.value.is_empty()).ok_or_else(|| missing("file"))?;
        Ok(Self {
            request,
            is_json,
            prompt_bytes: count(form.find("prompt").map_or(0, |part| part.value.len())),
            file_bytes: count(file.value.len()),
            seconds: duration::seconds(form.body.slice(file.value.clone())),
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

impl Media for TranscribeAsk {
    fn request(&self) -> &MediaRequest {
        &self.request
    }

    fn most(&self, limits: ModelLimits) -> Meters {
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
        input
    }

    /// The length of the file, exactly if it could be read, else at a usual rate; tokens are guessed from it. There is
    /// always some of both: a file that nobody can read is no gift where tokens are priced.
    fn guess(&self) -> Meters {
        let seconds = self.seconds.unwrap_or_else(|| self.file_bytes.div_ceil(USUAL_BYTES_PER_SECOND));
        let tokens = seconds.saturating_mul(TOKENS_PER_SECOND).saturating_add(self.prompt_bytes.div_ceil(4));
        Meters::NONE.with(Meter::AudioSecond, seconds).with(Meter::InputToken, tokens)
    }

    fn answer(&self, body: Bytes) -> Result<Reply, UpstreamFault> {
        if self.is_json {
            return read(body);
        }
        if std::str::from_utf8(&body).is_err() {
            return Err(UpstreamFault::unreadable("The answer is no text."));
        }
        Ok(Reply { body, usage: None, has_content: true, content_bytes: 0, is_finished: true })
    }

    fn answer_type(&self) -> &'static str {
        if self.is_json { "application/json" } else { "text/plain; charset=utf-8" }
    }

    fn course(&self) -> Course {
        Course { last: &["transcript.text.done"], answers: 1, output: Meter::OutputToken, unit: None }
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
