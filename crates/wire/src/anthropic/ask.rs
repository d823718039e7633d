//! A request for a message, read once into what it asks for. Which model that is, and what it costs, is not known here.

use super::fields::{BODY, Fields, Reading};
use super::{answer, stream};
use crate::body::{self, ModelName, invalid, missing, number};
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

/// Tokens of the estimator around one message.
const TOKENS_PER_MESSAGE: u64 = 4;
/// Anthropic refuses a smaller budget of thinking.
const BUDGET_TOKENS_MIN: u64 = 1024;

/// A request for a message that broke no rule of W48 and asks for nothing that W49 refuses whatever the model.
#[derive(Debug)]
pub struct MessagesAsk {
    pub(super) model: ModelName,
    pub(super) fields: Box<Fields>,
    pub(super) body: Bytes,
    is_stream: bool,
    is_beta: bool,
    output_limit: u64,
    removal: Option<Box<Removal>>,
}

impl MessagesAsk {
    /// Reads a body. `query` is what stood behind the path: `beta=true` is passed on, everything else is not.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(query: Option<&str>, body: Bytes) -> Result<Self, PublicError> {
        let (model, fields) = read(&body)?;
        let is_stream = fields.shared.is_stream()?;
        let most = i64::MAX.unsigned_abs();
        let output_limit =
            number(fields.max_tokens, &body, "max_tokens", most)?.ok_or_else(|| missing("max_tokens"))?;
        let removal = fields.tools.removal(&body)?;
        Ok(Self { model, fields, body, is_stream, is_beta: is_beta(query), output_limit, removal })
    }

    /// Lowers the caller's limit, and the budget of thinking below it: Anthropic refuses one that is not.
    fn limit_output(&self, limit: u64, splice: &mut Splice) {
        let above = |value: &Value, most: u64| plain_integer(value.raw(&self.body)).is_none_or(|asked| asked > most);
        if let Some(value) = self.fields.max_tokens.filter(|value| above(value, limit)) {
            splice.replace(value.span(), limit.to_string());
        }
        let budget = limit.saturating_sub(1).max(BUDGET_TOKENS_MIN);
        if let Some(value) = self.fields.budget.filter(|value| value.kind == Kind::Number && above(value, budget)) {
            splice.replace(value.span(), budget.to_string());
        }
    }
}

/// Whether the beta of the endpoint was asked for, as the SDKs do it.
pub(super) fn is_beta(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "beta=true"))
}

/// What both endpoints read of a body, and refuse in it.
pub(super) fn read(body: &Bytes) -> Result<(ModelName, Box<Fields>), PublicError> {
    let mut reading = Reading::new(body);
    scan_strict(body, &BODY, &mut reading)?;
    let fields = reading.fields;
    fields.shared.check()?;
    let model = fields.shared.model(body)?;
    match fields.messages {
        None => return Err(missing("messages")),
        Some(Value { kind: Kind::List { .. }, .. }) => {
            if let Some(number) = fields.odd_message {
                return Err(invalid(&format!("messages[{number}]"), "an object"));
            }
        }
        Some(_) => return Err(invalid("messages", "a list")),
    }
    check_cost(&fields, body)?;
    Ok((model, fields))
}

/// What changes the price of tokens, or makes Anthropic run something, beyond what price rows can say (W49).
fn check_cost(fields: &Fields, body: &[u8]) -> Result<(), PublicError> {
    let is_other = |value: Option<Value>, usual: &[&str]| match value.filter(|value| value.kind != Kind::Null) {
        None => false,
        Some(value) => !value.text(body).is_some_and(|text| usual.iter().any(|word| text.equals(word))),
    };
    let is_list = |value: Option<Value>| {
        value.is_some_and(|value| !matches!(value.kind, Kind::Null | Kind::List { is_empty: true }))
    };
    let unpriced = [
        ("service_tier", is_other(fields.service_tier, &["auto", "default", "standard_only"])),
        ("speed", is_other(fields.speed, &["standard"])),
        ("inference_geo", is_other(fields.region, &["global"])),
        ("mcp_servers", is_list(fields.servers)),
        ("container", is_other(fields.container, &[])),
    ];
    match unpriced.into_iter().find(|(_, is_asked)| *is_asked) {
        Some((param, _)) => Err(PublicError::new(Code::UnpricedParameter).about(param)),
        None => Ok(()),
    }
}

/// Whether a target of this dialect may be sent it: engine fields, and media that the server would have to fetch.
pub(super) fn check_dialect(fields: &Fields, dialect: Dialect) -> Result<(), PublicError> {
    check_serves(dialect, EndpointName::Messages)?;
    fields.shared.check_dialect(dialect)?;
    match fields.remote_media {
        Some(message) if habits(dialect).is_media_data_only => Err(PublicError::with_message(
            Code::InvalidValue,
            "This model takes media as bytes only. Send them base64-encoded, as a source of the type 'base64'.",
        )
        .about(format!("messages[{message}]"))),
        _ => Ok(()),
    }
}

impl Ask for MessagesAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn output_limit(&self) -> Option<u64> {
        Some(self.output_limit)
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Each token of text covers at least one byte of the body, so bytes bound tokens; what makes tokens without bytes is
    /// bounded by the context. Whoever writes to the one-hour cache may pay its price for all of them.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let text = (!self.fields.has_media).then(|| bytes.saturating_add(TEMPLATE_TOKENS_WITH_TOOLS));
        let Some(input) = [text, limits.context_tokens].into_iter().flatten().min() else {
            let why = "The cost of media cannot be bounded, because the context length of this model is not known.";
            return Err(PublicError::with_message(Code::UnboundedInput, why).about("messages"));
        };
        let declared = [limits.output_tokens_max, limits.context_tokens].into_iter().flatten();
        let output_per_choice = declared.fold(self.output_limit, u64::min);
        let mut meters = Meters::NONE.with(Meter::InputToken, input);
        if self.fields.writes_long_cache {
            meters.set(Meter::CacheWrite1hToken, 0);
        }
        Ok(Bound { input: meters, output_per_choice, choices: 1 })
    }

    /// A quarter of the text's bytes, rounded up, and four tokens for each message.
    fn estimate(&self) -> Estimate {
        let tools = self.fields.tools.tools.map_or(0, |tools| tools.span().len());
        let bytes = self.fields.text_bytes.saturating_add(u64::try_from(tools).unwrap_or(u64::MAX));
        Estimate::of_text(
            bytes.div_ceil(4).saturating_add(self.fields.message_count.saturating_mul(TOKENS_PER_MESSAGE)),
        )
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_dialect(&self.fields, dialect)
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
        let path = if self.is_beta { "/v1/messages?beta=true" } else { "/v1/messages" };
        UpstreamRequest { path, body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        answer::read_reply(body, &self.model.json)
    }

    fn stream(&self, _dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        self.is_stream.then(|| Box::new(stream::MessageStream::new(self.model.json.clone())) as Box<dyn AnswerStream>)
    }
}
