//! Ollama. A prompt that comes from its cache is counted as 0, and zero usage may precede the real one.

use super::{Habits, SELF_HOSTED};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    is_zero_prompt_unknown: true,
    takes_token_ids: false,
    counts_tokens: false,
    serves: &[
        EndpointName::ChatCompletions,
        EndpointName::Completions,
        EndpointName::Responses,
        EndpointName::Messages,
        EndpointName::Embeddings,
        EndpointName::AudioTranscriptions,
    ],
    ..SELF_HOSTED
};
