//! What a chat request cannot exceed (`money.md` §5), and what its prompt is estimated at. Prices are not known here.

use super::ask::ChatAsk;
use crate::inference::ModelLimits;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits::{TEMPLATE_TOKENS, TEMPLATE_TOKENS_WITH_TOOLS};
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::price::Bound;

/// Tokens of the estimator around one message.
const TOKENS_PER_MESSAGE: u64 = 4;

impl ChatAsk {
    /// Each token of text covers at least one byte of the body, so bytes bound tokens; what makes tokens without bytes is
    /// bounded by the context.
    pub(super) fn bound_of(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        let context = limits.context_tokens;
        let bytes = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let template = if self.fields.tools.tools.is_some() { TEMPLATE_TOKENS_WITH_TOOLS } else { TEMPLATE_TOKENS };
        let text = (!self.fields.has_media).then(|| bytes.saturating_add(template));
        let unbounded = |param: &str, why: &str| Err(PublicError::with_message(Code::UnboundedInput, why).about(param));
        let Some(input) = least([text, context]) else {
            return unbounded(
                "messages",
                "The cost of media cannot be bounded, because the context length of this model is not known.",
            );
        };
        let Some(output) = least([self.output_limit, limits.output_tokens_max, context]) else {
            return unbounded(
                "max_completion_tokens",
                "The cost of the answer cannot be bounded, because this model declares no limit. Send 'max_tokens'.",
            );
        };
        Ok(Bound {
            input: Meters::NONE.with(Meter::InputToken, input),
            output_per_choice: output,
            choices: self.choices,
        })
    }

    /// Input tokens by the estimator: a quarter of the text's bytes, rounded up, and four for each message.
    pub(super) fn estimated_input_tokens(&self) -> u64 {
        let tools = self.fields.tools.tools.map_or(0, |tools| tools.span().len());
        let bytes = self.fields.text_bytes.saturating_add(u64::try_from(tools).unwrap_or(u64::MAX));
        bytes.div_ceil(4).saturating_add(self.fields.message_count.saturating_mul(TOKENS_PER_MESSAGE))
    }
}

fn least<const N: usize>(bounds: [Option<u64>; N]) -> Option<u64> {
    bounds.into_iter().flatten().min()
}
