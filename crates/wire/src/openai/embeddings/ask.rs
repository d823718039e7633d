//! A request for embeddings, read once into what it asks for.

use super::reply;
use crate::body::{self, ModelName, Shared, SharedFields, body_fields, invalid, number};
use crate::dialect::{check_serves, habits};
use crate::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::openai::inputs::{self, Counted, Inputs};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_strict};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// Tokens that a model adds around each input (`money.md` §5).
const TOKENS_PER_INPUT: u64 = 8;

/// A request for embeddings that broke no rule of W48.
#[derive(Debug)]
pub struct EmbeddingsAsk {
    pub(super) model: ModelName,
    /// The form in which the caller expects vectors.
    pub(super) form: Form,
    /// Each of them becomes a vector.
    pub(super) inputs: Counted,
    shared: SharedFields,
    body: Bytes,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A list of numbers.
    Floats,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Input,
    Item,
    Token,
    Format,
    Dimensions,
}

static TOKEN: Place<Tag> = Place::leaf(Tag::Token);
static ITEM: Place<Tag> = Place::new(Some(Tag::Item), &[], Some(&TOKEN));
static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field { name: "input", place: Place::new(Some(Tag::Input), &[], Some(&ITEM)) },
    Field::leaf("encoding_format", Tag::Format),
    Field::leaf("dimensions", Tag::Dimensions),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading<'d> {
    document: &'d [u8],
    shared: SharedFields,
    inputs: Inputs,
    format: Option<Value>,
    dimensions: Option<Value>,
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Shared(tag) => self.shared.take(tag, value),
            Tag::Input => self.inputs.whole(value, self.document),
            Tag::Item => self.inputs.item(value, self.document),
            Tag::Token => self.inputs.token(value, self.document),
            Tag::Format => self.format = Some(value),
            Tag::Dimensions => self.dimensions = Some(value),
        }
    }
}

impl Reading<'_> {
    fn form(&self) -> Result<Form, PublicError> {
        let wrong = || invalid("encoding_format", "'float' or 'base64'");
        match self.format.filter(|value| value.kind != Kind::Null) {
            None => Ok(Form::Floats),
            Some(value) => match value.text(self.document) {
                Some(text) if text.equals("float") => Ok(Form::Floats),
                Some(text) if text.equals("base64") => Ok(Form::Base64),
                _ => Err(wrong()),
            },
        }
    }
}

impl EmbeddingsAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading { document: &body, ..Reading::default() };
        scan_strict(&body, &BODY, &mut reading)?;
        reading.shared.check()?;
        let model = reading.shared.model(&body)?;
        if reading.shared.is_stream()? {
            return Err(PublicError::new(Code::UnsupportedParameter).about("stream"));
        }
        number(reading.dimensions, &body, "dimensions", limits::EMBEDDING_DIMENSIONS)?;
        let form = reading.form()?;
        let inputs = reading.inputs.counted("input")?;
        if inputs.has_empty_text {
            return Err(inputs::odd("input"));
        }
        let shared = reading.shared;
        Ok(Self { model, form, inputs, shared, body })
    }
}

impl Ask for EmbeddingsAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn choices(&self) -> u64 {
        1
    }

    fn output_limit(&self) -> Option<u64> {
        None
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Each token covers at least one byte of the body; no input is longer than the model takes.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let by_bytes = bytes.saturating_add(self.inputs.inputs.saturating_mul(TOKENS_PER_INPUT));
        let by_context = limits.context_tokens.map(|context| self.inputs.inputs.saturating_mul(context));
        let input = by_context.map_or(by_bytes, |most| most.min(by_bytes));
        Ok(Bound { input: Meters::NONE.with(Meter::InputToken, input), output_per_choice: 0, choices: 1 })
    }

    /// Token ids are counted exactly, text is a quarter of its bytes.
    fn estimate(&self) -> Estimate {
        let (tokens, source) = match self.inputs.token_ids {
            Some(ids) => (ids, UsageSource::Computed),
            None => (self.inputs.text_bytes.div_ceil(4), UsageSource::Estimated),
        };
        Estimate { input: Meters::NONE.with(Meter::InputToken, tokens), source, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::Embeddings)?;
        self.shared.check_dialect(dialect)?;
        if self.inputs.token_ids.is_some() && !habits(dialect).takes_token_ids {
            let message = "This model takes text, not token ids. Send 'input' as text.";
            return Err(PublicError::with_message(Code::UnsupportedParameter, message).about("input"));
        }
        Ok(())
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        self.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        UpstreamRequest { path: "/v1/embeddings", body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        reply::read(body, self, dialect)
    }
}
