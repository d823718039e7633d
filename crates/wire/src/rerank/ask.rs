//! A request to rank documents, read once into what it asks for, and put to each dialect.

use super::reply;
use crate::body::{self, ModelName, Shared, SharedFields, body_fields, flag, invalid, missing, number};
use crate::dialect::{RerankForm, check_serves, habits};
use crate::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
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

/// Tokens that a model adds around each pair of query and document (`money.md` §5).
const TOKENS_PER_PAIR: u64 = 8;

/// Documents of one search unit, as the providers who price by it count.
const DOCUMENTS_PER_UNIT: u64 = 100;

/// A request to rank documents that broke no rule of W48.
#[derive(Debug)]
pub struct RerankAsk {
    pub(super) model: ModelName,
    /// The text of each document, as it stands in the body.
    pub(super) documents: Vec<Value>,
    /// The most results that are answered.
    pub(super) top: Option<usize>,
    /// Whether results repeat their documents.
    pub(super) has_documents: bool,
    fields: Fields,
    query_bytes: u64,
    document_bytes: u64,
    shared: SharedFields,
    pub(super) body: Bytes,
}

/// Where the values lie that dialects want otherwise.
#[derive(Debug, Default)]
struct Fields {
    query: Option<Value>,
    list: Option<Value>,
    top: Option<Value>,
    has_documents: Option<Value>,
    tokens_per_document: Option<Value>,
    /// Documents that are objects: each with its text.
    objects: Vec<(Value, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Query,
    Documents,
    Document,
    Text,
    Top,
    HasDocuments,
    TokensPerDocument,
}

static DOCUMENT: Place<Tag> = Place::new(Some(Tag::Document), &[Field::leaf("text", Tag::Text)], None);
static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field::leaf("query", Tag::Query),
    Field { name: "documents", place: Place::new(Some(Tag::Documents), &[], Some(&DOCUMENT)) },
    Field::leaf("top_n", Tag::Top),
    Field::leaf("return_documents", Tag::HasDocuments),
    Field::leaf("max_tokens_per_doc", Tag::TokensPerDocument),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading<'d> {
    document: &'d [u8],
    shared: SharedFields,
    fields: Fields,
    texts: Vec<Value>,
    /// The text of the document object that is being read.
    text: Option<Value>,
    /// A document is neither a text nor an object with one.
    is_odd: bool,
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Shared(tag) => self.shared.take(tag, value),
            Tag::Query => self.fields.query = Some(value),
            Tag::Documents => self.fields.list = Some(value),
            Tag::Document => self.document(value),
            Tag::Text => self.text = Some(value),
            Tag::Top => self.fields.top = Some(value),
            Tag::HasDocuments => self.fields.has_documents = Some(value),
            Tag::TokensPerDocument => self.fields.tokens_per_document = Some(value),
        }
    }
}

impl Reading<'_> {
    fn document(&mut self, value: Value) {
        let text = match value.kind {
            Kind::Text { .. } => Some(value),
            _ => self.text.take().filter(|text| matches!(text.kind, Kind::Text { .. })),
        };
        match text {
            Some(text) => {
                if text != value {
                    self.fields.objects.push((value, text));
                }
                self.texts.push(text);
            }
            None => self.is_odd = true,
        }
    }

    fn bytes_of(&self, texts: &[Value]) -> u64 {
        let lengths = texts.iter().filter_map(|text| text.text(self.document)).map(|text| text.len());
        lengths.fold(0, u64::saturating_add)
    }
}

impl RerankAsk {
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
        let query = reading.fields.query.ok_or_else(|| missing("query"))?;
        let query_bytes = query.text(&body).map_or(0, |text| text.len());
        if query_bytes == 0 {
            return Err(invalid("query", "a text that is not empty"));
        }
        let list = reading.fields.list.ok_or_else(|| missing("documents"))?;
        if reading.is_odd || reading.texts.is_empty() || !matches!(list.kind, Kind::List { .. }) {
            return Err(invalid("documents", "a list of texts, or of objects with a 'text'; not empty"));
        }
        let top = number(reading.fields.top, &body, "top_n", u64::from(u32::MAX))?;
        number(reading.fields.tokens_per_document, &body, "max_tokens_per_doc", limits::TOKENS_PER_DOCUMENT)?;
        let has_documents = flag(reading.fields.has_documents, "return_documents")?;
        let document_bytes = reading.bytes_of(&reading.texts);
        let Reading { shared, fields, texts: documents, .. } = reading;
        let top = top.and_then(|top| usize::try_from(top).ok());
        Ok(Self { model, documents, top, has_documents, fields, query_bytes, document_bytes, shared, body })
    }

    /// Documents of the request.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.documents.len()).unwrap_or(u64::MAX)
    }

    /// What ranking that many documents counts as.
    pub(super) fn search_units(&self) -> u64 {
        self.count().div_ceil(DOCUMENTS_PER_UNIT)
    }

    /// Tokens by the estimator: a quarter of the bytes, the query's once for each document.
    pub(super) fn estimated_tokens(&self) -> u64 {
        self.document_bytes.saturating_add(self.query_bytes.saturating_mul(self.count())).div_ceil(4)
    }

    /// The members that a dialect knows by another name or not at all.
    fn reshape(&self, form: RerankForm, splice: &mut Splice) {
        let mut drop = |value: Option<Value>| {
            if let Some(value) = value {
                splice.remove_member(value.member());
            }
        };
        match form {
            RerankForm::Usual => {}
            RerankForm::NoModel => {
                drop(self.shared.model_value());
                drop(self.fields.top);
            }
            RerankForm::Cohere => drop(self.fields.has_documents),
            RerankForm::Texts => {
                drop(self.shared.model_value());
                drop(self.fields.top);
                drop(self.fields.has_documents);
                drop(self.fields.tokens_per_document);
                if let Some(list) = self.fields.list {
                    splice.replace(list.member().start..list.start(), "\"texts\":");
                }
            }
        }
    }
}

impl Ask for RerankAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Each token covers at least one byte of a document or of the query, which is read once for each document.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let around = self.query_bytes.saturating_add(TOKENS_PER_PAIR).saturating_mul(self.count());
        let by_bytes = self.document_bytes.saturating_add(around);
        let by_context = limits.context_tokens.map(|context| self.count().saturating_mul(context));
        let tokens = by_context.map_or(by_bytes, |most| most.min(by_bytes));
        let input = Meters::NONE.with(Meter::InputToken, tokens).with(Meter::SearchUnit, self.search_units());
        Ok(Bound { input, output_per_choice: 0, choices: 1 })
    }

    /// Documents are counted exactly, tokens are guessed; which of them is priced is not known here.
    fn estimate(&self) -> Estimate {
        let tokens = Meters::NONE.with(Meter::InputToken, self.estimated_tokens());
        let input = tokens.with(Meter::SearchUnit, self.search_units());
        Estimate { input, source: UsageSource::Estimated, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::Rerank)?;
        self.shared.check_dialect(dialect)
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let habits = habits(edits.dialect);
        let mut splice = Splice::new();
        if matches!(habits.rerank, RerankForm::Usual | RerankForm::Cohere) {
            self.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        }
        self.reshape(habits.rerank, &mut splice);
        // Not every server takes objects, and none makes more of them than their text.
        for (object, text) in &self.fields.objects {
            splice.replace(object.span(), self.body.slice(text.span()));
        }
        UpstreamRequest { path: habits.rerank_path, body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        reply::read(&body, self, None)
    }

    fn read_counted(&self, body: Bytes, counted: Option<u64>, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        reply::read(&body, self, counted)
    }
}
