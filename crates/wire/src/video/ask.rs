//! A request for a video, as JSON or as a form: how long it shall be, how large, and how many of it.
//!
//! Its length is what is held for, so it is read in every spelling there is, and an upstream is told it in its own.

use crate::body::{ModelName, Shared, SharedFields, body_fields, invalid, missing, number};
use crate::inference::{ModelLimits, Reply, UpstreamFault};
use crate::media::events::Course;
use crate::media::form::Form;
use crate::media::request::{Media, MediaRequest, scan};
use crate::media::usage::whole_seconds;
use crate::scan::{Field, Kind, Place, Sink, Value};
use bytes::Bytes;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::price::{Condition, Conditions};
use claviger_domain::task::VideoTerms;

const PATH: &str = "/v1/videos";

/// Fields that are acted on, each at most once.
const RESERVED: &[&str] =
    &["model", "prompt", "seconds", "duration", "size", "n", "num_frames", "fps", "width", "height", "stream", "sim"];

/// Frames that may be asked for, of the most seconds.
const FRAMES: u64 = 1_000_000;

/// A request for a video that broke no rule of W48.
#[derive(Debug)]
pub struct VideoAsk {
    request: MediaRequest,
    terms: VideoTerms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Prompt,
    Seconds,
    Duration,
    Frames,
    Rate,
    Size,
    Width,
    Height,
    Count,
}

static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field::leaf("prompt", Tag::Prompt),
    Field::leaf("seconds", Tag::Seconds),
    Field::leaf("duration", Tag::Duration),
    Field::leaf("num_frames", Tag::Frames),
    Field::leaf("fps", Tag::Rate),
    Field::leaf("size", Tag::Size),
    Field::leaf("width", Tag::Width),
    Field::leaf("height", Tag::Height),
    Field::leaf("n", Tag::Count),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading {
    shared: SharedFields,
    prompt: Option<Value>,
    seconds: Option<Value>,
    duration: Option<Value>,
    frames: Option<Value>,
    rate: Option<Value>,
    size: Option<Value>,
    width: Option<Value>,
    height: Option<Value>,
    count: Option<Value>,
}

impl AsRef<SharedFields> for Reading {
    fn as_ref(&self) -> &SharedFields {
        &self.shared
    }
}

impl Sink<Tag> for Reading {
    fn found(&mut self, tag: Tag, value: Value) {
        let value = Some(value).filter(|value| value.kind != Kind::Null);
        match (tag, value) {
            (Tag::Shared(tag), Some(value)) => self.shared.take(tag, value),
            (Tag::Shared(_), None) => {}
            (Tag::Prompt, value) => self.prompt = value,
            (Tag::Seconds, value) => self.seconds = value,
            (Tag::Duration, value) => self.duration = value,
            (Tag::Frames, value) => self.frames = value,
            (Tag::Rate, value) => self.rate = value,
            (Tag::Size, value) => self.size = value,
            (Tag::Width, value) => self.width = value,
            (Tag::Height, value) => self.height = value,
            (Tag::Count, value) => self.count = value,
        }
    }
}

impl Reading {
    /// As the caller says it, in whichever way; rounded up.
    fn seconds(&self, body: &Bytes) -> Result<u64, PublicError> {
        for (value, name) in [(self.seconds, "seconds"), (self.duration, "duration")] {
            if let Some(value) = value {
                let seconds =
                    whole_seconds(value, body).filter(|seconds| (1..=limits::VIDEO_SECONDS).contains(seconds));
                return seconds.ok_or_else(|| wrong_seconds(name));
            }
        }
        let frames = number(self.frames, body, "num_frames", FRAMES)?;
        let rate = number(self.rate, body, "fps", 1_000)?;
        let seconds = match (frames, rate) {
            (Some(frames), Some(rate)) => frames.div_ceil(rate),
            (Some(_), None) => return Err(missing("fps")),
            (None, _) => limits::VIDEO_SECONDS_UNSAID,
        };
        Some(seconds).filter(|seconds| *seconds <= limits::VIDEO_SECONDS).ok_or_else(|| wrong_seconds("num_frames"))
    }

    fn size(&self, body: &Bytes) -> Result<Option<String>, PublicError> {
        if let Some(size) = self.size {
            let text = size.text(body).map(|text| text.to_text()).filter(|text| is_size(text));
            return text.map(Some).ok_or_else(|| invalid("size", "a text such as 1280x720"));
        }
        let width = number(self.width, body, "width", 100_000)?;
        let height = number(self.height, body, "height", 100_000)?;
        Ok(width.zip(height).map(|(width, height)| format!("{width}x{height}")))
    }

    /// What an upstream is told that reads only OpenAI's names.
    fn added(&self, terms: &VideoTerms) -> String {
        let mut added = String::new();
        if self.seconds.is_none() {
            added = format!("\"seconds\":\"{}\",", terms.seconds);
        }
        if let (None, Some(size)) = (self.size, &terms.size) {
            added.push_str(&format!("\"size\":\"{size}\","));
        }
        added
    }
}

/// A size, and the resolution that it is: of `1280x720` and of `720x1280` `720p`.
fn conditions(terms: &VideoTerms) -> Conditions {
    let Some(size) = &terms.size else { return Conditions::NONE };
    let sides = size.split_once('x').and_then(|(width, height)| {
        let side = |text: &str| text.parse::<u32>().ok();
        side(width).zip(side(height))
    });
    let resolution = match sides {
        Some((width, height)) => format!("{}p", width.min(height)),
        None => size.clone(),
    };
    Conditions::NONE.with(Condition::Size, size).with(Condition::Resolution, &resolution)
}

fn wrong_seconds(name: &str) -> PublicError {
    invalid(name, &format!("a number from 1 to {}", limits::VIDEO_SECONDS))
}

fn is_size(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn checked_prompt(text: Option<String>) -> Result<String, PublicError> {
    let text = text.ok_or_else(|| missing("prompt"))?;
    let is_sound = (1..=limits::PROMPT_BYTES).contains(&text.len()) && !text.contains('\0');
    if is_sound { Ok(text) } else { Err(invalid("prompt", "a text of 1 to 65,536 bytes")) }
}

impl VideoAsk {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading::default();
        let model: ModelName = scan(&body, &BODY, &mut reading)?;
        if reading.shared.is_stream()? {
            return Err(invalid("stream", "false: a video is no stream"));
        }
        let prompt = reading.prompt.ok_or_else(|| missing("prompt"))?;
        let terms = VideoTerms {
            prompt: checked_prompt(prompt.text(&body).map(|text| text.to_text()))?,
            seconds: reading.seconds(&body)?,
            count: number(reading.count, &body, "n", limits::CHOICES)?.unwrap_or(1),
            size: reading.size(&body)?,
        };
        let added = reading.added(&terms);
        let mut request = MediaRequest::json(EndpointName::Video, PATH, model, (reading.shared, false), body);
        request.conditions = conditions(&terms);
        Ok(Self { request: request.adding(added), terms })
    }

    /// Reads a form.
    ///
    /// # Errors
    /// The refusal of W7, W48 or W49, with its `param`.
    pub fn parse_form(content_type: Option<&str>, body: Bytes) -> Result<Self, PublicError> {
        let form = Form::read(content_type, body, RESERVED)?;
        let mut request = MediaRequest::form(EndpointName::Video, PATH, &form)?;
        if request.is_stream {
            return Err(invalid("stream", "false: a video is no stream"));
        }
        let size = form.text("size")?.map(str::to_owned);
        if size.as_deref().is_some_and(|size| !is_size(size)) {
            return Err(invalid("size", "a text such as 1280x720"));
        }
        let most = limits::VIDEO_SECONDS;
        let seconds = form.number("seconds", 1..=most)?.or(form.number("duration", 1..=most)?);
        let told = form.find("seconds").is_some();
        let terms = VideoTerms {
            prompt: checked_prompt(form.text("prompt")?.map(str::to_owned))?,
            seconds: seconds.unwrap_or(limits::VIDEO_SECONDS_UNSAID),
            count: form.number("n", 1..=limits::CHOICES)?.unwrap_or(1),
            size,
        };
        // What an upstream makes of its own accord would not be paid for.
        let added = if told { None } else { form.part_before("seconds", &terms.seconds.to_string()) };
        if added.is_none() && !told {
            return Err(missing("seconds"));
        }
        request.conditions = conditions(&terms);
        Ok(Self { request: request.adding(added.unwrap_or_default()), terms })
    }

    fn whole(&self) -> Meters {
        Meters::NONE.with(Meter::VideoSecond, self.terms.seconds.saturating_mul(self.terms.count))
    }
}

impl Media for VideoAsk {
    fn request(&self) -> &MediaRequest {
        &self.request
    }

    fn most(&self, _limits: ModelLimits) -> Meters {
        self.whole()
    }

    fn guess(&self) -> Meters {
        self.whole()
    }

    /// Only that it was taken; what it costs, its end says.
    fn answer(&self, body: Bytes) -> Result<Reply, UpstreamFault> {
        super::read_video(&body)?;
        Ok(Reply { body, usage: None, has_content: true, content_bytes: 0, is_finished: true })
    }

    fn course(&self) -> Course {
        Course { last: &[], answers: 1, output: Meter::VideoSecond, unit: None }
    }

    fn terms(&self) -> Option<&VideoTerms> {
        Some(&self.terms)
    }
}
