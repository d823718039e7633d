//! SGLang. As vLLM, but errors are flat with a numeric `code`, and `reasoning_tokens` lies at the top of usage, inside
//! the completion.

use super::{Habits, RerankForm, SELF_HOSTED};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    has_running_usage: true,
    rerank: RerankForm::NoModel,
    serves: &[
        EndpointName::ChatCompletions,
        EndpointName::Completions,
        EndpointName::Responses,
        EndpointName::Messages,
        EndpointName::Embeddings,
        EndpointName::Rerank,
        EndpointName::Images,
        EndpointName::AudioTranscriptions,
    ],
    ..SELF_HOSTED
};
