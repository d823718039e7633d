//! `images/edits` (`wire.md` §2.6): a form with pictures and a text in, pictures out, whole or as they become clear.
//!
//! Pictures come as `image`, or as several `image[]`; none is looked into. What they count as, their server says.

use super::events::Course;
use super::form::Form;
use super::images;
use super::request::{Media, MediaRequest};
use crate::body::{invalid, missing};
use crate::conditions;
use crate::inference::{ModelLimits, Reply, UpstreamFault};
use bytes::Bytes;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::PublicError;
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::price::Condition;

/// The most tokens that a model makes of one picture: hosted models of 2025 stay below 7,000.
const TOKENS_PER_PICTURE_MAX: u64 = 16_384;

/// Fields that are acted on, each at most once. Pictures may be many.
const RESERVED: &[&str] = &["model", "prompt", "n", "stream", "partial_images", "size", "quality", "mask", "sim"];

/// A request for edited pictures.
#[derive(Debug)]
pub struct EditsAsk {
    request: MediaRequest,
    count: u64,
    text_bytes: u64,
    /// Pictures in, the mask among them.
    pictures: u64,
}

impl EditsAsk {
    /// Reads a form.
    ///
    /// # Errors
    /// The refusal of W7, W48 or W49, with its `param`.
    pub fn parse(content_type: Option<&str>, body: Bytes) -> Result<Self, PublicError> {
        let form = Form::read(content_type, body, RESERVED)?;
        let mut request = MediaRequest::form(EndpointName::Images, "/v1/images/edits", &form)?;
        for condition in [Condition::Size, Condition::Quality] {
            if let Some(text) = form.text(condition.name())? {
                request.conditions = conditions::ask_text(request.conditions, condition, text)?;
            }
        }
        let text_bytes = form.text("prompt")?.ok_or_else(|| missing("prompt"))?.len();
        if text_bytes == 0 {
            return Err(invalid("prompt", "a text that is not empty"));
        }
        let pictures: Vec<bool> = form.named(&["image", "image[]"]).map(|part| part.value.is_empty()).collect();
        if pictures.is_empty() || pictures.contains(&true) {
            return Err(missing("image"));
        }
        form.number("partial_images", 0..=limits::CHOICES)?;
        let in_all = pictures.len().saturating_add(form.named(&["mask"]).count());
        Ok(Self {
            request,
            count: form.number("n", 1..=limits::CHOICES)?.unwrap_or(1),
            text_bytes: u64::try_from(text_bytes).unwrap_or(u64::MAX),
            pictures: u64::try_from(in_all).unwrap_or(u64::MAX),
        })
    }
}

impl Media for EditsAsk {
    fn request(&self) -> &MediaRequest {
        &self.request
    }

    /// As pictures for a text, and the tokens of those that come in.
    fn most(&self, limits: ModelLimits) -> Meters {
        let seen = self.pictures.saturating_mul(TOKENS_PER_PICTURE_MAX);
        let read = self.text_bytes.saturating_add(limits::TEMPLATE_TOKENS).saturating_add(seen);
        // Any of them may be of a picture.
        images::bound(self.count, read, limits).with(Meter::ImageInputToken, 0)
    }

    /// Of the text alone: what a picture counts as, only its server knows.
    fn guess(&self) -> Meters {
        Meters::NONE.with(Meter::InputToken, self.text_bytes.div_ceil(4))
    }

    fn answer(&self, body: Bytes) -> Result<Reply, UpstreamFault> {
        images::read(body, &self.request.model)
    }

    fn course(&self) -> Course {
        Course { last: &["image_edit.completed"], ..images::course(self.count) }
    }
}
