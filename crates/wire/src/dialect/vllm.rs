//! vLLM. Streams carry running usage when asked; `stream_options` without `stream` is refused; an error inside a
//! stream is followed by `[DONE]`; cached tokens are told only with a server flag.

use super::{Habits, SELF_HOSTED};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    has_running_usage: true,
    serves: &[
        EndpointName::ChatCompletions,
        EndpointName::Completions,
        EndpointName::Responses,
        EndpointName::Messages,
        EndpointName::Embeddings,
        EndpointName::Rerank,
        EndpointName::AudioTranscriptions,
        EndpointName::AudioTranslations,
    ],
    ..SELF_HOSTED
};
