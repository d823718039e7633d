//! A request for embeddings, read once into what it asks for.

use super::reply;
use crate::body::{self, ModelName, Shared, SharedFields, body_fields, invalid, missing, number};
use crate::dialect::{check_serves, habits};
use crate::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::scan::{Field, Kind, Place, Sink, Value, plain_integer, scan_strict};
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
    /// Inputs, each of which becomes a vector.
    pub(super) inputs: u64,
    /// Token ids, when the input is made of them.
    token_ids: Option<u64>,
    text_bytes: u64,
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
    input: Option<Value>,
    format: Option<Value>,
    dimensions: Option<Value>,
    texts: u64,
    lists: u64,
    /// Numbers that stand for themselves in the list, and in all.
    numbers: u64,
    tokens: u64,
    text_bytes: u64,
    /// Something is neither a text nor a token id, or a list is empty.
    is_odd: bool,
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Shared(tag) => self.shared.take(tag, value),
            Tag::Input => self.input = Some(value),
            Tag::Format => self.format = Some(value),
            Tag::Dimensions => self.dimensions = Some(value),
            Tag::Token => self.token(value),
            Tag::Item => match value.kind {
                Kind::Text { .. } => {
                    self.texts = self.texts.saturating_add(1);
                    self.text(value);
                }
                Kind::Number => {
                    self.numbers = self.numbers.saturating_add(1);
                    self.token(value);
                }
                Kind::List { is_empty: false } => self.lists = self.lists.saturating_add(1),
                _ => self.is_odd = true,
            },
        }
    }
}

impl Reading<'_> {
    fn token(&mut self, value: Value) {
        self.tokens = self.tokens.saturating_add(1);
        self.is_odd |= value.kind != Kind::Number || plain_integer(value.raw(self.document)).is_none();
    }

    fn text(&mut self, value: Value) {
        let bytes = value.text(self.document).map_or(0, |text| text.len());
        self.is_odd |= bytes == 0;
        self.text_bytes = self.text_bytes.saturating_add(bytes);
    }

    /// How many inputs there are, and of how many token ids they are made.
    fn inputs(&mut self) -> Result<(u64, Option<u64>), PublicError> {
        let wrong =
            || invalid("input", "a text, a list of texts, a list of token ids, or a list of such lists; none empty");
        let input = self.input.ok_or_else(|| missing("input"))?;
        if matches!(input.kind, Kind::Text { .. }) {
            self.text(input);
        }
        match input.kind {
            _ if self.is_odd => Err(wrong()),
            Kind::Text { .. } => Ok((1, None)),
            Kind::List { .. } => match (self.texts, self.numbers, self.lists) {
                (texts, 0, 0) if texts > 0 => Ok((texts, None)),
                (0, numbers, 0) if numbers > 0 => Ok((1, Some(self.tokens))),
                (0, 0, lists) if lists > 0 => Ok((lists, Some(self.tokens))),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }

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
        let (inputs, token_ids) = reading.inputs()?;
        let Reading { shared, text_bytes, .. } = reading;
        Ok(Self { model, form, inputs, token_ids, text_bytes, shared, body })
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
        let by_bytes = bytes.saturating_add(self.inputs.saturating_mul(TOKENS_PER_INPUT));
        let by_context = limits.context_tokens.map(|context| self.inputs.saturating_mul(context));
        let input = by_context.map_or(by_bytes, |most| most.min(by_bytes));
        Ok(Bound { input: Meters::NONE.with(Meter::InputToken, input), output_per_choice: 0, choices: 1 })
    }

    /// Token ids are counted exactly, text is a quarter of its bytes.
    fn estimate(&self) -> Estimate {
        let (tokens, source) = match self.token_ids {
            Some(ids) => (ids, UsageSource::Computed),
            None => (self.text_bytes.div_ceil(4), UsageSource::Estimated),
        };
        Estimate { input: Meters::NONE.with(Meter::InputToken, tokens), source, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::Embeddings)?;
        self.shared.check_dialect(dialect)?;
        if self.token_ids.is_some() && !habits(dialect).takes_token_ids {
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

    fn simulation(&self) -> Option<Bytes> {
        self.shared.simulation(&self.body)
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        reply::read(body, self, dialect)
    }
}
