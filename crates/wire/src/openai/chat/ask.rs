//! A chat request, read once into what it asks for. Which model that is, and what it costs, is not known here.

use super::fields::{BODY, Fields, Reading};
use crate::body::{ModelName, invalid, missing, number};
use crate::conditions;
use crate::dialect::{check_serves, habits};
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::openai::choices::{self, ChoiceStream, Wanted};
use crate::scan::{Kind, Value, scan_strict};
use crate::tools::Removal;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_domain::price::{Bound, Condition, Conditions};
use claviger_domain::settlement::Estimate;

/// A chat request whose body broke no rule of W48 and asks for nothing that W49 refuses whatever the model.
#[derive(Debug)]
pub struct ChatAsk {
    pub(super) model: ModelName,
    /// Whether the answer is asked for as a stream.
    pub is_stream: bool,
    /// Whether the caller wants usage on the stream (W10).
    pub wants_usage: bool,
    /// Choices asked for, 1 to [`limits::CHOICES`].
    pub choices: u64,
    /// The most output tokens a choice may have, if the caller says so; of two fields the larger.
    pub output_limit: Option<u64>,
    pub(super) body: Bytes,
    pub(super) fields: Box<Fields>,
    pub(super) removal: Option<Box<Removal>>,
    /// Whether the caller wants usage on every chunk, an extension of vLLM.
    pub(super) wants_running_usage: bool,
    /// How fast it wants to be served.
    conditions: Conditions,
}

impl ChatAsk {
    /// Reads a body: the strict scan, reserved fields, and what W49 refuses for every model.
    ///
    /// # Errors
    /// The refusal of `reliability.md` §4-D rows 40 to 46 and 49 to 52, with its `param`.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading::new(&body);
        scan_strict(&body, &BODY, &mut reading)?;
        let fields = reading.fields;
        fields.shared.check()?;
        let model = fields.shared.model(&body)?;
        check_messages(&fields)?;
        let is_stream = fields.shared.is_stream()?;
        let (wants_usage, wants_running_usage) = fields.usage_ask.read()?;
        let choices = number(fields.choices, &body, "n", limits::CHOICES)?.unwrap_or(1);
        let limit = |value, name| number(value, &body, name, i64::MAX.unsigned_abs());
        let output_limit =
            limit(fields.max_tokens, "max_tokens")?.max(limit(fields.max_completion_tokens, "max_completion_tokens")?);
        let best_of = limit(fields.best_of, "best_of")?;
        check_cost(&fields, best_of.is_some_and(|best_of| best_of > choices))?;
        let conditions = conditions::ask(Conditions::NONE, Condition::ServiceTier, fields.service_tier, &body)?;
        let removal = fields.tools.removal(&body)?;
        Ok(Self {
            model,
            is_stream,
            wants_usage: is_stream && wants_usage,
            choices,
            output_limit,
            fields,
            removal,
            wants_running_usage,
            conditions,
            body,
        })
    }
}

impl ChatAsk {
    /// What the caller wants of the answer.
    pub(in crate::openai) fn wanted(&self) -> Wanted {
        Wanted {
            model_json: self.model.json.clone(),
            choices: self.choices,
            usage: self.wants_usage,
            running_usage: self.wants_usage && self.wants_running_usage,
            chunk: &choices::CHAT,
        }
    }
}

impl Ask for ChatAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn choices(&self) -> u64 {
        self.choices
    }

    fn output_limit(&self) -> Option<u64> {
        self.output_limit
    }

    fn cache_key(&self) -> Option<String> {
        self.fields.cache_key.and_then(|value| value.text(&self.body)).map(|text| text.to_text())
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    fn conditions(&self) -> Conditions {
        self.conditions.clone()
    }

    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        self.bound_of(limits)
    }

    fn estimate(&self) -> Estimate {
        Estimate::of_text(self.estimated_input_tokens())
    }

    /// W49: fields that say where or how the engine runs the request, and media that the server would have to fetch.
    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::ChatCompletions)?;
        self.fields.shared.check_dialect(dialect)?;
        match &self.fields.remote_media {
            Some(path) if habits(dialect).is_media_data_only => Err(PublicError::with_message(
                Code::InvalidValue,
                "This model takes media as data: URLs only. Send the bytes themselves, base64-encoded.",
            )
            .about(path.as_str())),
            _ => Ok(()),
        }
    }

    fn removed_tools(&self) -> &[String] {
        self.removal.as_ref().map(|removal| removal.names.as_slice()).unwrap_or_default()
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        UpstreamRequest { path: "/v1/chat/completions", body: self.upstream_body(edits) }
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        choices::read_reply(body, &self.model.json, dialect)
    }

    fn stream(&self, dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        self.is_stream.then(|| Box::new(ChoiceStream::new(self.wanted(), dialect)) as Box<dyn AnswerStream>)
    }
}

fn check_messages(fields: &Fields) -> Result<(), PublicError> {
    match fields.messages {
        None => Err(missing("messages")),
        Some(Value { kind: Kind::List { .. }, .. }) => match fields.odd_message {
            Some(number) => Err(invalid(&format!("messages[{number}]"), "an object")),
            None => Ok(()),
        },
        Some(_) => Err(invalid("messages", "a list")),
    }
}

/// The closed list of cost fields that no price row can express: refused rather than served below cost (W49).
fn check_cost(fields: &Fields, is_best_of_above: bool) -> Result<(), PublicError> {
    let given = |value: Option<Value>| value.filter(|value| value.kind != Kind::Null);
    let unpriced = |param: &str| Err(PublicError::new(Code::UnpricedParameter).about(param));
    if is_best_of_above {
        return unpriced("best_of");
    }
    if given(fields.web_search).is_some() {
        return unpriced("web_search_options");
    }
    if fields.modality.is_some() {
        return unpriced("modalities");
    }
    if given(fields.prediction).is_some() {
        return unpriced("prediction");
    }
    Ok(())
}
