//! OpenAI itself. `max_tokens` is refused by its newer models, and usage comes on streams with `include_usage` only.

use super::{Habits, RerankForm};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    limit_field: "max_completion_tokens",
    has_running_usage: false,
    refuses_engine_fields: false,
    is_media_data_only: false,
    is_zero_prompt_unknown: false,
    takes_token_ids: true,
    counts_tokens: false,
    counts_and_compacts: true,
    rerank: RerankForm::Usual,
    rerank_path: "/v1/rerank",
    serves: &[
        EndpointName::ChatCompletions,
        EndpointName::Completions,
        EndpointName::Responses,
        EndpointName::Embeddings,
        EndpointName::Images,
        EndpointName::AudioSpeech,
        EndpointName::AudioTranscriptions,
        EndpointName::AudioTranslations,
        EndpointName::Video,
    ],
};
