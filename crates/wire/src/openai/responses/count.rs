//! `responses/input_tokens` and `responses/compact` (2.3): how many tokens a conversation has, which is free, and a
//! conversation made shorter, which a model does and is paid for.
//!
//! Neither has a limit that could be lowered: a compaction is held with all that the model can make, or not made.

use super::answer;
use super::ask::{check_dialect, estimate, input_bound, previous, read, rewrite};
use super::fields::Fields;
use super::names::{AnswerNames, shown};
use crate::anthropic::read_count;
use crate::body::{self, ModelName};
use crate::dialect::habits;
use crate::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::tools::Removal;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::price::Bound;
use claviger_domain::settlement::Estimate;

/// What becomes of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its tokens are counted.
    Count,
    /// It is made shorter.
    Compact,
}

/// A request about a conversation that nobody answers.
#[derive(Debug)]
pub struct ConversationAsk {
    purpose: Purpose,
    model: ModelName,
    removal: Option<Box<Removal>>,
    previous: Option<String>,
    names: Option<Box<AnswerNames>>,
    fields: Box<Fields>,
    body: Bytes,
}

impl ConversationAsk {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal of W48 or W49, with its `param`; 404 for the id of what is bound to nobody.
    pub fn parse(purpose: Purpose, body: Bytes) -> Result<Self, PublicError> {
        let (model, fields) = read(&body)?;
        if fields.shared.is_stream()? {
            return Err(PublicError::new(Code::UnsupportedParameter).about("stream"));
        }
        // What a response would be made without is not counted either.
        let removal = fields.tools.removal(&body)?;
        let previous = previous(&fields, &body)?;
        Ok(Self { purpose, model, removal, previous, names: None, fields, body })
    }
}

impl Ask for ConversationAsk {
    fn model(&self) -> &str {
        &self.model.id
    }

    fn body_bytes(&self) -> usize {
        self.body.len()
    }

    fn is_free(&self) -> bool {
        self.purpose == Purpose::Count
    }

    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let whole = |input| Bound { input, output_per_choice: 0, choices: 1 };
        if self.is_free() {
            return Ok(whole(Meters::NONE));
        }
        let input = input_bound(&self.fields, self.body.len(), limits)?;
        let Some(output) = [limits.output_tokens_max, limits.context_tokens].into_iter().flatten().min() else {
            let why = "The cost of a compaction cannot be bounded, because this model declares no limit.";
            return Err(PublicError::with_message(Code::UnboundedInput, why).about("model"));
        };
        Ok(whole(Meters::NONE.with(Meter::InputToken, input).with(Meter::OutputToken, output)))
    }

    fn estimate(&self) -> Estimate {
        match self.purpose {
            Purpose::Count => Estimate { input: Meters::NONE, source: UsageSource::Computed, has_output: false },
            Purpose::Compact => estimate(&self.fields),
        }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_dialect(&self.fields, dialect)?;
        if habits(dialect).counts_and_compacts {
            return Ok(());
        }
        let message = match self.purpose {
            Purpose::Count => "No provider of this model counts the tokens of a response.",
            Purpose::Compact => "No provider of this model compacts conversations.",
        };
        Err(PublicError::with_message(Code::UnsupportedEndpoint, message).about("model"))
    }

    fn removed_tools(&self) -> &[String] {
        self.removal.as_ref().map(|removal| removal.names.as_slice()).unwrap_or_default()
    }

    fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    fn name_answer(&mut self, names: AnswerNames) {
        self.names = Some(Box::new(names));
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        let (removal, names) = (self.removal.as_deref(), self.names.as_deref());
        let splice = rewrite((&self.fields, &self.body), removal, names, edits.upstream_model);
        let path = match self.purpose {
            Purpose::Count => "/v1/responses/input_tokens",
            Purpose::Compact => "/v1/responses/compact",
        };
        UpstreamRequest { path, body: body::pieces(&self.body, splice) }
    }

    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        match self.purpose {
            Purpose::Count => read_count(body),
            Purpose::Compact => {
                let answer = self.names.as_ref().map(|names| names.answer);
                let shown = shown(self.model.json.clone(), answer, self.previous.as_deref());
                answer::read_compacted(body, &shown, dialect)
            }
        }
    }
}
