//! A request for a response, read once into what it asks for. Which model that is, and what it costs, is not known here.

use super::fields::{BODY, Fields, Reading};
use super::{answer, stream};
use crate::body::{self, ModelName, flag, invalid, missing, number};
use crate::dialect::{check_serves, habits};
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::scan::{Kind, Value, plain_integer, scan_strict};
use crate::splice::Splice;
use crate::tools::Removal;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits::TEMPLATE_TOKENS_WITH_TOOLS;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// Tokens of the estimator around one item.
const TOKENS_PER_ITEM: u64 = 4;

/// A request for a response that broke no rule of W48 and asks for nothing that W49 refuses whatever the model.
#[derive(Debug)]
pub struct ResponsesAsk {
    model: ModelName,
    is_stream: bool,
    output_limit: Option<u64>,
    removal: Option<Box<Removal>>,
    fields: Box<Fields>,
    body: Bytes,
}

impl ResponsesAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`; 404 for the id of an answer that is not known to be the caller's.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading::new(&body);
        scan_strict(&body, &BODY, &mut reading)?;
        let fields = reading.fields;
        fields.shared.check()?;
        let model = fields.shared.model(&body)?;
        check_input(&fields)?;
        check_ids(&fields)?;
        let is_stream = fields.shared.is_stream()?;
        if flag(fields.background, "background")? {
            let why = "Answers in the background are not served here yet. Leave 'background' out.";
            return Err(PublicError::with_message(Code::UnsupportedParameter, why).about("background"));
        }
        if let Some(tier) = given(fields.service_tier)
            && !tier.text(&body).is_some_and(|text| text.equals("auto") || text.equals("default"))
        {
            return Err(PublicError::new(Code::UnpricedParameter).about("service_tier"));
        }
        let most = i64::MAX.unsigned_abs();
        let output_limit = number(fields.max_output_tokens, &body, "max_output_tokens", most)?;
        let removal = fields.tools.removal(&body)?;
        Ok(Self { model, is_stream, output_limit, removal, fields, body })
    }

    /// Lowers the caller's limit, or becomes one.
    fn limit_output(&self, limit: u64, splice: &mut Splice) {
        match self.fields.max_output_tokens {
            Some(value) if plain_integer(value.raw(&self.body)).is_some_and(|asked| asked <= limit) => {}
            Some(value) => splice.replace(value.span(), limit.to_string()),
            None => splice.insert(self.fields.shared.inside(), format!("\"max_output_tokens\":{limit},")),
        }
    }
}

fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| value.kind != Kind::Null)
}

fn check_input(fields: &Fields) -> Result<(), PublicError> {
    match given(fields.input).map(|input| input.kind) {
        Some(Kind::Text { .. } | Kind::List { .. }) => Ok(()),
        Some(_) => Err(invalid("input", "a text or a list of items")),
        // A stored prompt may be all there is.
        None if given(fields.prompt).is_some() => Ok(()),
        None => Err(missing("input")),
    }
}

/// Whoever guesses or learns the id of another's answer must not read it through the credential that all share (W13).
fn check_ids(fields: &Fields) -> Result<(), PublicError> {
    let unknown = |param: String| {
        let message = "No answer with this id is kept here. Send the whole conversation as 'input'.";
        Err(PublicError::with_message(Code::NotFound, message).about(param))
    };
    if given(fields.previous).is_some() {
        return unknown("previous_response_id".to_owned());
    }
    if given(fields.conversation).is_some() {
        return unknown("conversation".to_owned());
    }
    match fields.reference {
        Some(number) => unknown(format!("input[{number}]")),
        None => Ok(()),
    }
}

impl Ask for ResponsesAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn output_limit(&self) -> Option<u64> {
        self.output_limit
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Each token of text covers at least one byte of the body, so bytes bound tokens; what makes tokens without bytes is
    /// bounded by the context.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let unbounded = |param: &str, why: &str| Err(PublicError::with_message(Code::UnboundedInput, why).about(param));
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let text = (!self.fields.has_media).then(|| bytes.saturating_add(TEMPLATE_TOKENS_WITH_TOOLS));
        let context = limits.context_tokens;
        let Some(input) = [text, context].into_iter().flatten().min() else {
            let why = "The cost of media cannot be bounded, because the context length of this model is not known.";
            return unbounded("input", why);
        };
        let output = [self.output_limit, limits.output_tokens_max, context].into_iter().flatten().min();
        let Some(output_per_choice) = output else {
            let why = "The cost of the answer cannot be bounded, because this model declares no limit. Send \
                       'max_output_tokens'.";
            return unbounded("max_output_tokens", why);
        };
        Ok(Bound { input: Meters::NONE.with(Meter::InputToken, input), output_per_choice, choices: 1 })
    }

    /// A quarter of the text's bytes, rounded up, and four tokens for each item.
    fn estimate(&self) -> Estimate {
        let tools = self.fields.tools.tools.map_or(0, |tools| tools.span().len());
        let bytes = self.fields.text_bytes.saturating_add(u64::try_from(tools).unwrap_or(u64::MAX));
        let items = self.fields.item_count.max(1);
        Estimate::of_text(bytes.div_ceil(4).saturating_add(items.saturating_mul(TOKENS_PER_ITEM)))
    }

    /// W49: fields that say where or how the engine runs the request, and media that the server would have to fetch.
    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::Responses)?;
        self.fields.shared.check_dialect(dialect)?;
        match self.fields.remote_media {
            Some(item) if habits(dialect).is_media_data_only => Err(PublicError::with_message(
                Code::InvalidValue,
                "This model takes media as data: URLs only. Send the bytes themselves, base64-encoded.",
            )
            .about(format!("input[{item}]"))),
            _ => Ok(()),
        }
    }

    fn removed_tools(&self) -> &[String] {
        self.removal.as_ref().map(|removal| removal.names.as_slice()).unwrap_or_default()
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        self.fields.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        if let Some(limit) = edits.output_limit {
            self.limit_output(limit, &mut splice);
        }
        if let Some(removal) = &self.removal {
            removal.edit(&mut splice);
        }
        UpstreamRequest { path: "/v1/responses", body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        answer::read_reply(body, &self.model.json, dialect)
    }

    fn stream(&self, dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        let begin = || stream::ResponseStream::new(self.model.json.clone(), dialect);
        self.is_stream.then(|| Box::new(begin()) as Box<dyn AnswerStream>)
    }
}
