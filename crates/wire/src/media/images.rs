//! `images/generations` (`wire.md` §2.6): a text in, pictures out, whole or as they become clear.
//!
//! What is counted are the pictures that came, and the tokens that the server reports. Prices may depend on size and
//! quality: those that are asked for, or that the server tells.

use super::events::Course;
use super::request::{Media, MediaRequest, scan};
use super::usage::{Figure, Figures, media_usage};
use crate::body::{ModelName, Shared, SharedFields, body_fields, invalid, missing, number};
use crate::conditions;
use crate::inference::{ModelLimits, Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};
use claviger_domain::price::Condition;

/// A request for pictures that broke no rule of W48.
#[derive(Debug)]
pub struct ImagesAsk {
    request: MediaRequest,
    count: u64,
    text_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Prompt,
    Count,
    Partial,
    Asked(Condition),
}

static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field::leaf("prompt", Tag::Prompt),
    Field::leaf("n", Tag::Count),
    Field::leaf("partial_images", Tag::Partial),
    Field::leaf("size", Tag::Asked(Condition::Size)),
    Field::leaf("quality", Tag::Asked(Condition::Quality)),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading {
    shared: SharedFields,
    prompt: Option<Value>,
    count: Option<Value>,
    partial: Option<Value>,
    asked: Vec<(Condition, Value)>,
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
            Tag::Prompt => self.prompt = Some(value),
            Tag::Count => self.count = Some(value),
            Tag::Partial => self.partial = Some(value),
            Tag::Asked(condition) => self.asked.push((condition, value)),
        }
    }
}

impl ImagesAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading::default();
        let model = scan(&body, &BODY, &mut reading)?;
        let prompt = reading.prompt.ok_or_else(|| missing("prompt"))?;
        let text_bytes = prompt.text(&body).map_or(0, |text| text.len());
        if text_bytes == 0 {
            return Err(invalid("prompt", "a text that is not empty"));
        }
        let count = number(reading.count, &body, "n", limits::CHOICES)?.unwrap_or(1);
        let is_zero = |value: &Value| value.raw(&body) == b"0";
        number(reading.partial.filter(|value| !is_zero(value)), &body, "partial_images", limits::CHOICES)?;
        let is_stream = reading.shared.is_stream()?;
        let (endpoint, path, shared) = (EndpointName::Images, "/v1/images/generations", reading.shared);
        let mut request = MediaRequest::json(endpoint, path, model, (shared, is_stream), body.clone());
        for (condition, value) in reading.asked {
            request.conditions = conditions::ask(request.conditions, condition, Some(value), &body)?;
        }
        Ok(Self { request, count, text_bytes })
    }
}

/// As many pictures as are asked for; each has at most the tokens that the model can make.
pub(super) fn bound(count: u64, read_tokens: u64, limits: ModelLimits) -> Meters {
    let tokens = limits.context_tokens.map_or(read_tokens, |context| context.min(read_tokens));
    let mut input = Meters::NONE.with(Meter::InputToken, tokens).with(Meter::Image, count);
    if let Some(most) = limits.output_tokens_max {
        input.set(Meter::ImageOutputToken, most.saturating_mul(count));
    }
    input
}

/// The stream of this many new pictures.
pub(super) const fn course(count: u64) -> Course {
    Course {
        last: &["image_generation.completed"],
        answers: count,
        output: Meter::ImageOutputToken,
        unit: Some(Meter::Image),
    }
}

impl Media for ImagesAsk {
    fn request(&self) -> &MediaRequest {
        &self.request
    }

    fn most(&self, limits: ModelLimits) -> Meters {
        bound(self.count, self.request.bytes().saturating_add(limits::TEMPLATE_TOKENS), limits)
    }

    /// Of the text alone: a picture counts when it is there.
    fn guess(&self) -> Meters {
        Meters::NONE.with(Meter::InputToken, self.text_bytes.div_ceil(4))
    }

    fn answer(&self, body: Bytes) -> Result<Reply, UpstreamFault> {
        read(body, &self.request.model)
    }

    fn course(&self) -> Course {
        course(self.count)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Model,
    Data,
    Image,
    Figure(Figure),
    Error,
}

static IMAGE: Place<Said> = Place::leaf(Said::Image);
static ANSWER: Place<Said> = Place::new(
    None,
    &[
        Field::leaf("model", Said::Model),
        Field { name: "data", place: Place::new(Some(Said::Data), &[], Some(&IMAGE)) },
        Field { name: "usage", place: Place::new(None, USAGE, None) },
        Field::leaf("error", Said::Error),
    ],
    None,
);
const USAGE: &[Field<Said>] = media_usage!(Said::Figure);

/// What an answer says.
#[derive(Default)]
struct Answer<'d> {
    document: &'d [u8],
    model: Option<Value>,
    has_data: bool,
    images: u64,
    figures: Figures,
    is_error: bool,
}

impl Sink<Said> for Answer<'_> {
    fn found(&mut self, tag: Said, value: Value) {
        match tag {
            Said::Model => self.model = Some(value),
            Said::Data => self.has_data = matches!(value.kind, Kind::List { .. }),
            Said::Image => self.images = self.images.saturating_add(1),
            Said::Figure(figure) => self.figures.take(figure, value, self.document),
            Said::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}

/// Refuses what is not JSON, an error object under a 200, and an answer without a list of pictures.
pub(super) fn read(body: Bytes, model: &ModelName) -> Result<Reply, UpstreamFault> {
    let mut answer = Answer { document: &body, ..Answer::default() };
    scan_lenient(&body, &ANSWER, &mut answer)
        .map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error {
        return Err(UpstreamFault::reported(&body));
    }
    if !answer.has_data {
        return Err(UpstreamFault::unreadable("The answer has no list of pictures."));
    }
    let told = answer.figures.usage(Meter::ImageOutputToken);
    let computed = Usage { meters: Meters::NONE, source: UsageSource::Computed, is_anomalous: false };
    let mut usage = told.unwrap_or(computed);
    usage.meters.set(Meter::Image, answer.images);
    let (named, has_content) = (answer.model, answer.images > 0);
    let mut splice = Splice::new();
    if let Some(named) = named.filter(|named| named.raw(&body) != model.json) {
        splice.replace(named.span(), model.json.clone());
    }
    Ok(Reply { body: splice.apply_whole(&body), usage: Some(usage), has_content, content_bytes: 0, is_finished: true })
}
