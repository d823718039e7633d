//! `messages/count_tokens` (2.4): how many tokens a message would have. It makes nothing, and is free.

use super::ask;
use super::fields::Fields;
use crate::body::{self, ModelName};
use crate::dialect::habits;
use crate::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use crate::splice::Splice;
use crate::tools::Removal;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meters, UsageSource};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// A request to count that broke no rule of W48.
#[derive(Debug)]
pub struct CountAsk {
    model: ModelName,
    fields: Box<Fields>,
    body: Bytes,
    is_beta: bool,
    removal: Option<Box<Removal>>,
}

impl CountAsk {
    /// Reads a body. `query` is what stood behind the path: `beta=true` is passed on, everything else is not.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(query: Option<&str>, body: Bytes) -> Result<Self, PublicError> {
        let (model, fields) = ask::read(&body)?;
        if fields.shared.is_stream()? {
            return Err(PublicError::new(Code::UnsupportedParameter).about("stream"));
        }
        // What a message would be answered without is not counted either.
        let removal = fields.tools.removal(&body)?;
        Ok(Self { model, fields, body, is_beta: ask::is_beta(query), removal })
    }
}

impl Ask for CountAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    fn is_free(&self) -> bool {
        true
    }

    fn bound(&self, _limits: ModelLimits) -> Result<Bound, PublicError> {
        Ok(Bound { input: Meters::NONE, output_per_choice: 0, choices: 1 })
    }

    fn estimate(&self) -> Estimate {
        Estimate { input: Meters::NONE, source: UsageSource::Computed, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        ask::check_dialect(&self.fields, dialect)?;
        if habits(dialect).counts_tokens {
            return Ok(());
        }
        let message = "No provider of this model counts the tokens of a message.";
        Err(PublicError::with_message(Code::UnsupportedEndpoint, message).about("model"))
    }

    fn removed_tools(&self) -> &[String] {
        self.removal.as_ref().map(|removal| removal.names.as_slice()).unwrap_or_default()
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        self.fields.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        if let Some(removal) = &self.removal {
            removal.edit(&mut splice);
        }
        let path = if self.is_beta { "/v1/messages/count_tokens?beta=true" } else { "/v1/messages/count_tokens" };
        UpstreamRequest { path, body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        read_count(body)
    }
}

/// An answer that has `input_tokens` and nothing else of interest, whoever counted.
///
/// # Errors
/// It has none, or tells an error.
pub(crate) fn read_count(body: Bytes) -> Result<Reply, UpstreamFault> {
    let mut counted = Counted::default();
    scan_lenient(&body, &ANSWER, &mut counted)
        .map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if counted.is_error {
        return Err(UpstreamFault::reported(&body));
    }
    if !counted.is_there {
        return Err(UpstreamFault::unreadable("The answer counts no tokens."));
    }
    Ok(Reply { body, usage: None, has_content: true, content_bytes: 0, is_finished: true })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Count,
    Error,
}

static ANSWER: Place<Tag> =
    Place::new(None, &[Field::leaf("input_tokens", Tag::Count), Field::leaf("error", Tag::Error)], None);

#[derive(Default)]
struct Counted {
    is_there: bool,
    is_error: bool,
}

impl Sink<Tag> for Counted {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Count => self.is_there = value.kind == Kind::Number,
            Tag::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}
