//! `completions` (2.2): what is read and edited of a request. Its answers are made of choices, as those of chat are.

use crate::body::{self, ModelName, Shared, SharedFields, body_fields, number};
use crate::dialect::{check_serves, habits};
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::openai::choices::{self, ChoiceStream, UsageAsk, Wanted, usage_ask_field};
use crate::openai::inputs::{Counted, Inputs};
use crate::scan::{Field, Place, Sink, Value, plain_integer, scan_strict};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

#[cfg(test)]
mod tests;

/// Tokens that a server may add around one prompt.
const TOKENS_PER_PROMPT: u64 = 8;

/// A request to continue texts that broke no rule of W48.
#[derive(Debug)]
pub struct CompletionsAsk {
    model: ModelName,
    is_stream: bool,
    wants_usage: bool,
    wants_running_usage: bool,
    /// Of each prompt.
    choices: u64,
    prompts: Counted,
    output_limit: Option<u64>,
    max_tokens: Option<Value>,
    usage_ask: UsageAsk,
    shared: SharedFields,
    body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Shared(Shared),
    Prompt,
    Item,
    Token,
    StreamOptions,
    IncludeUsage,
    RunningUsage,
    Choices,
    BestOf,
    MaxTokens,
}

static TOKEN: Place<Tag> = Place::leaf(Tag::Token);
static ITEM: Place<Tag> = Place::new(Some(Tag::Item), &[], Some(&TOKEN));
static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), FIELDS, None);
const FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field { name: "prompt", place: Place::new(Some(Tag::Prompt), &[], Some(&ITEM)) },
    usage_ask_field!(Tag::StreamOptions, Tag::IncludeUsage, Tag::RunningUsage),
    Field::leaf("n", Tag::Choices),
    Field::leaf("best_of", Tag::BestOf),
    Field::leaf("max_tokens", Tag::MaxTokens),
);

/// Collects a request's values while it is scanned.
#[derive(Default)]
struct Reading<'d> {
    document: &'d [u8],
    shared: SharedFields,
    prompts: Inputs,
    usage_ask: UsageAsk,
    choices: Option<Value>,
    best_of: Option<Value>,
    max_tokens: Option<Value>,
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Shared(tag) => self.shared.take(tag, value),
            Tag::Prompt => self.prompts.whole(value, self.document),
            Tag::Item => self.prompts.item(value, self.document),
            Tag::Token => self.prompts.token(value, self.document),
            Tag::StreamOptions => self.usage_ask.options = Some(value),
            Tag::IncludeUsage => self.usage_ask.include_usage = Some(value),
            Tag::RunningUsage => self.usage_ask.running_usage = Some(value),
            Tag::Choices => self.choices = Some(value),
            Tag::BestOf => self.best_of = Some(value),
            Tag::MaxTokens => self.max_tokens = Some(value),
        }
    }
}

impl CompletionsAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`.
    pub fn parse(body: Bytes) -> Result<Self, PublicError> {
        let mut reading = Reading { document: &body, ..Reading::default() };
        scan_strict(&body, &BODY, &mut reading)?;
        let Reading { shared, prompts, usage_ask, choices, best_of, max_tokens, .. } = reading;
        shared.check()?;
        let model = shared.model(&body)?;
        let prompts = prompts.counted("prompt")?;
        let is_stream = shared.is_stream()?;
        let (wants_usage, wants_running_usage) = usage_ask.read()?;
        let choices = number(choices, &body, "n", limits::CHOICES)?.unwrap_or(1);
        if number(best_of, &body, "best_of", i64::MAX.unsigned_abs())?.is_some_and(|best_of| best_of > choices) {
            return Err(PublicError::new(Code::UnpricedParameter).about("best_of"));
        }
        // Choices of all prompts share one list of at most as many.
        if choices.saturating_mul(prompts.inputs) > limits::CHOICES {
            return Err(body::invalid("n", &format!("prompts times 'n' of at most {}", limits::CHOICES)));
        }
        let output_limit = number(max_tokens, &body, "max_tokens", i64::MAX.unsigned_abs())?;
        let wants_usage = is_stream && wants_usage;
        Ok(Self {
            model,
            is_stream,
            wants_usage,
            wants_running_usage: wants_usage && wants_running_usage,
            choices,
            prompts,
            output_limit,
            max_tokens,
            usage_ask,
            shared,
            body,
        })
    }

    /// Lowers the caller's limit, or becomes one.
    fn limit_output(&self, limit: u64, splice: &mut Splice) {
        match self.max_tokens {
            Some(value) if plain_integer(value.raw(&self.body)).is_some_and(|asked| asked <= limit) => {}
            Some(value) => splice.replace(value.span(), limit.to_string()),
            None => splice.insert(self.shared.inside(), format!("\"max_tokens\":{limit},")),
        }
    }
}

impl Ask for CompletionsAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn choices(&self) -> u64 {
        self.choices.saturating_mul(self.prompts.inputs)
    }

    fn output_limit(&self) -> Option<u64> {
        self.output_limit
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Each token of a prompt covers at least one byte of the body; no prompt is longer than the context.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let prompts = self.prompts.inputs;
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let by_bytes = bytes.saturating_add(prompts.saturating_mul(TOKENS_PER_PROMPT));
        let context = limits.context_tokens;
        let input = context.map_or(by_bytes, |context| by_bytes.min(prompts.saturating_mul(context)));
        let output = [self.output_limit, limits.output_tokens_max, context].into_iter().flatten().min();
        let Some(output_per_choice) = output else {
            let why =
                "The cost of the answer cannot be bounded, because this model declares no limit. Send 'max_tokens'.";
            return Err(PublicError::with_message(Code::UnboundedInput, why).about("max_tokens"));
        };
        Ok(Bound { input: Meters::NONE.with(Meter::InputToken, input), output_per_choice, choices: self.choices() })
    }

    fn estimate(&self) -> Estimate {
        Estimate::of_text(self.prompts.token_ids.unwrap_or(self.prompts.text_bytes.div_ceil(4)))
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, EndpointName::Completions)?;
        self.shared.check_dialect(dialect)?;
        if self.prompts.token_ids.is_some() && !habits(dialect).takes_token_ids {
            let message = "This model takes text, not token ids. Send 'prompt' as text.";
            return Err(PublicError::with_message(Code::UnsupportedParameter, message).about("prompt"));
        }
        Ok(())
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let mut splice = Splice::new();
        self.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        if let Some(limit) = edits.output_limit {
            self.limit_output(limit, &mut splice);
        }
        if self.is_stream {
            self.usage_ask.edit(habits(edits.dialect), self.shared.inside(), &mut splice);
        }
        UpstreamRequest { path: "/v1/completions", body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        choices::read_reply(body, &self.model.json, dialect)
    }

    fn stream(&self, dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        let wanted = Wanted {
            model_json: self.model.json.clone(),
            choices: self.choices(),
            usage: self.wants_usage,
            running_usage: self.wants_running_usage,
            chunk: &choices::TEXT,
        };
        self.is_stream.then(|| Box::new(ChoiceStream::new(wanted, dialect)) as Box<dyn AnswerStream>)
    }
}
