//! Anthropic itself. Usage comes on every stream, cumulative; input tokens are told without those of the cache; 529 is
//! its word for overloaded. It fetches media by itself.

use super::{Habits, RerankForm};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    limit_field: "max_tokens",
    has_running_usage: false,
    refuses_engine_fields: false,
    is_media_data_only: false,
    is_zero_prompt_unknown: false,
    takes_token_ids: false,
    counts_tokens: true,
    counts_and_compacts: false,
    rerank: RerankForm::Usual,
    rerank_path: "/v1/rerank",
    serves: &[EndpointName::Messages],
};
