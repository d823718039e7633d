//! `images/generations` (`wire.md` §2.6): a text in, pictures out, whole or as they become clear.
//!
//! What is counted are the pictures that came, and the tokens that the server reports. Every price of pictures holds for
//! all sizes and qualities: rows with conditions are refused where prices are read.

use super::events::{Course, EventStream};
use super::usage::{Figure, Figures, media_usage};
use crate::body::{self, ModelName, Shared, SharedFields, body_fields, invalid, missing, number};
use crate::dialect::check_serves;
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient, scan_strict};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// Tokens that a model adds around the text.
const TEMPLATE_TOKENS: u64 = 1024;

/// A request for pictures that broke no rule of W48.
#[derive(Debug)]
pub struct ImagesAsk {
    model: ModelName,
    count: u64,
    text_bytes: u64,
    is_stream: bool,
    shared: SharedFields,
    body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Prompt,
    Count,
    Partial,
}

static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field::leaf("prompt", Tag::Prompt),
    Field::leaf("n", Tag::Count),
    Field::leaf("partial_images", Tag::Partial),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading {
    shared: SharedFields,
    prompt: Option<Value>,
    count: Option<Value>,
    partial: Option<Value>,
}

impl Sink<Tag> for Reading {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Shared(tag) => self.shared.take(tag, value),
            Tag::Prompt => self.prompt = Some(value),
            Tag::Count => self.count = Some(value),
            Tag::Partial => self.partial = Some(value),
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
        scan_strict(&body, &BODY, &mut reading)?;
        reading.shared.check()?;
        let model = reading.shared.model(&body)?;
        let prompt = reading.prompt.ok_or_else(|| missing("prompt"))?;
        let text_bytes = prompt.text(&body).map_or(0, |text| text.len());
        if text_bytes == 0 {
            return Err(invalid("prompt", "a text that is not empty"));
        }
        let count = number(reading.count, &body, "n", limits::CHOICES)?.unwrap_or(1);
        let is_zero = |value: &Value| value.raw(&body) == b"0";
        number(reading.partial.filter(|value| !is_zero(value)), &body, "partial_images", limits::CHOICES)?;
        let is_stream = reading.shared.is_stream()?;
        Ok(Self { model, count, text_bytes, is_stream, shared: reading.shared, body })
    }
}

impl Ask for ImagesAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// As many pictures as are asked for; each has at most the tokens that the model can make.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX).saturating_add(TEMPLATE_TOKENS);
        let tokens = limits.context_tokens.map_or(bytes, |context| context.min(bytes));
        let mut input = Meters::NONE.with(Meter::InputToken, tokens).with(Meter::Image, self.count);
        if let Some(most) = limits.output_tokens_max {
            input.set(Meter::ImageOutputToken, most.saturating_mul(self.count));
        }
        Ok(Bound { input, output_per_choice: 0, choices: 1 })
    }

    /// Of the text alone: a picture counts when it is there.
    fn estimate(&self) -> Estimate {
        let tokens = Meters::NONE.with(Meter::InputToken, self.text_bytes.div_ceil(4));
        Estimate { input: tokens, source: UsageSource::Estimated, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::Images)?;
        self.shared.check_dialect(dialect)
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        self.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        UpstreamRequest { path: "/v1/images/generations", body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        read(body, &self.model)
    }

    fn stream(&self, _dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        let course = Course {
            last: &["image_generation.completed"],
            answers: self.count,
            output: Meter::ImageOutputToken,
            unit: Some(Meter::Image),
        };
        self.is_stream.then(|| Box::new(EventStream::new(course)) as Box<dyn AnswerStream>)
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
