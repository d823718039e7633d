//! A request for a response, read once into what it asks for. Which model that is, and what it costs, is not known here.

use super::answer::Answer;
use super::fields::{BODY, Fields, Reading};
use super::names::{AnswerNames, Shown, no_previous, quoted, shown};
use super::{answer, stream};
use crate::body::{self, ModelName, flag, invalid, missing, number};
use crate::conditions;
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
use claviger_domain::price::{Bound, Condition, Conditions};
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
    /// Whether its server may keep the answer.
    is_kept: bool,
    /// The answer that it goes on from, as the caller calls it.
    previous: Option<String>,
    names: Option<Box<AnswerNames>>,
    /// How fast it wants to be served.
    conditions: Conditions,
    fields: Box<Fields>,
    body: Bytes,
}

/// What every request about a conversation must keep to, whether it is answered, counted or compacted.
pub(super) fn read(body: &Bytes) -> Result<(ModelName, Box<Fields>), PublicError> {
    let mut reading = Reading::new(body);
    scan_strict(body, &BODY, &mut reading)?;
    let fields = reading.fields;
    fields.shared.check()?;
    let model = fields.shared.model(body)?;
    if let Some(input) = given(fields.input)
        && !matches!(input.kind, Kind::Text { .. } | Kind::List { .. })
    {
        return Err(invalid("input", "a text or a list of items"));
    }
    check_ids(&fields)?;
    Ok((model, fields))
}

/// The answer that a request goes on from.
pub(super) fn previous(fields: &Fields, body: &[u8]) -> Result<Option<String>, PublicError> {
    let text = |value: Value| value.text(body).map(|text| text.to_text()).ok_or_else(no_previous);
    given(fields.previous).map(text).transpose()
}

impl ResponsesAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`; 404 for the id of what is bound to nobody.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let (model, fields) = read(&body)?;
        check_input(&fields)?;
        let is_stream = fields.shared.is_stream()?;
        if flag(fields.background, "background")? {
            let why = "Answers in the background are not served here yet. Leave 'background' out.";
            return Err(PublicError::with_message(Code::UnsupportedParameter, why).about("background"));
        }
        let conditions = conditions::ask(Conditions::NONE, Condition::ServiceTier, fields.service_tier, &body)?;
        let most = i64::MAX.unsigned_abs();
        let output_limit = number(fields.max_output_tokens, &body, "max_output_tokens", most)?;
        let removal = fields.tools.removal(&body)?;
        let is_kept = given(fields.store).is_none() || flag(fields.store, "store")?;
        let previous = previous(&fields, &body)?;
        Ok(Self { model, is_stream, output_limit, removal, is_kept, previous, names: None, conditions, fields, body })
    }

    fn shown(&self) -> Shown {
        let answer = self.names.as_ref().map(|names| names.answer);
        shown(self.model.json.clone(), answer, self.previous.as_deref())
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
    // A stored prompt may be all there is, and so may an answer to go on from.
    let is_there = [fields.input, fields.prompt, fields.previous].into_iter().any(|value| given(value).is_some());
    if is_there { Ok(()) } else { Err(missing("input")) }
}

/// Whoever learns an id of another's conversation or item must not read it through the credential that all share: they
/// are not bound to anybody (W13, ADR 0067).
fn check_ids(fields: &Fields) -> Result<(), PublicError> {
    let unknown = |param: String| {
        let message = "Nothing with this id is kept here. Send the conversation itself as 'input'.";
        Err(PublicError::with_message(Code::NotFound, message).about(param))
    };
    if given(fields.conversation).is_some() {
        return unknown("conversation".to_owned());
    }
    match fields.reference {
        Some(number) => unknown(format!("input[{number}]")),
        None => Ok(()),
    }
}

/// The most tokens that go in: bytes bound those of text; media, stored prompts and earlier answers, whose tokens have no
/// bytes here, are bounded by the context.
pub(super) fn input_bound(fields: &Fields, bytes: usize, limits: ModelLimits) -> Result<u64, PublicError> {
    let is_text = !fields.has_media && given(fields.previous).is_none();
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let text = is_text.then(|| bytes.saturating_add(TEMPLATE_TOKENS_WITH_TOOLS));
    [text, limits.context_tokens].into_iter().flatten().min().ok_or_else(|| {
        let why = "The cost of media and of earlier answers cannot be bounded, because the context length of this model is \
                   not known.";
        let param = if given(fields.previous).is_some() { "previous_response_id" } else { "input" };
        PublicError::with_message(Code::UnboundedInput, why).about(param)
    })
}

/// A quarter of the text's bytes, rounded up, and four tokens for each item.
pub(super) fn estimate(fields: &Fields) -> Estimate {
    let tools = fields.tools.tools.map_or(0, |tools| tools.span().len());
    let bytes = fields.text_bytes.saturating_add(u64::try_from(tools).unwrap_or(u64::MAX));
    let items = fields.item_count.max(1);
    Estimate::of_text(bytes.div_ceil(4).saturating_add(items.saturating_mul(TOKENS_PER_ITEM)))
}

/// W49: fields that say where or how the engine runs the request, and media that the server would have to fetch.
pub(super) fn check_dialect(fields: &Fields, dialect: Dialect) -> Result<(), PublicError> {
    check_serves(dialect, EndpointName::Responses)?;
    fields.shared.check_dialect(dialect)?;
    match fields.remote_media {
        Some(item) if habits(dialect).is_media_data_only => Err(PublicError::with_message(
            Code::InvalidValue,
            "This model takes media as data: URLs only. Send the bytes themselves, base64-encoded.",
        )
        .about(format!("input[{item}]"))),
        _ => Ok(()),
    }
}

/// Where every target wants the same: its name of the model, its name of the answer that is gone on from, and no tools
/// that it would run unpriced.
pub(super) fn rewrite(
    (fields, body): (&Fields, &Bytes),
    removal: Option<&Removal>,
    names: Option<&AnswerNames>,
    upstream_model: &str,
) -> Splice {
    let mut splice = Splice::new();
    fields.shared.rename_model(body, upstream_model, &mut splice);
    if let (Some(value), Some(previous)) =
        (given(fields.previous), names.and_then(|names| names.previous_upstream.as_ref()))
    {
        splice.replace(value.span(), quoted(previous));
    }
    if let Some(removal) = removal {
        removal.edit(&mut splice);
    }
    splice
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

    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let input = input_bound(&self.fields, self.body.len(), limits)?;
        let context = limits.context_tokens;
        let output = [self.output_limit, limits.output_tokens_max, context].into_iter().flatten().min();
        let Some(output_per_choice) = output else {
            let why = "The cost of the answer cannot be bounded, because this model declares no limit. Send \
                       'max_output_tokens'.";
            return Err(PublicError::with_message(Code::UnboundedInput, why).about("max_output_tokens"));
        };
        Ok(Bound { input: Meters::NONE.with(Meter::InputToken, input), output_per_choice, choices: 1 })
    }

    fn estimate(&self) -> Estimate {
        estimate(&self.fields)
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_dialect(&self.fields, dialect)
    }

    fn conditions(&self) -> Conditions {
        self.conditions.clone()
    }

    fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    fn name_answer(&mut self, names: AnswerNames) {
        self.names = Some(Box::new(names));
    }

    fn upstream_id(&self, body: &[u8]) -> Option<String> {
        Answer::whole(body).ok().filter(|_| self.is_kept)?.id_text()
    }

    fn removed_tools(&self) -> &[String] {
        self.removal.as_ref().map(|removal| removal.names.as_slice()).unwrap_or_default()
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let (removal, names) = (self.removal.as_deref(), self.names.as_deref());
        let mut splice = rewrite((&self.fields, &self.body), removal, names, edits.upstream_model);
        if let Some(limit) = edits.output_limit {
            self.limit_output(limit, &mut splice);
        }
        UpstreamRequest { path: "/v1/responses", body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        answer::read_reply(body, &self.shown(), dialect)
    }

    fn stream(&self, dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        let begin = || stream::ResponseStream::new(self.shown(), dialect, self.is_kept);
        self.is_stream.then(|| Box::new(begin()) as Box<dyn AnswerStream>)
    }
}
