//! Gemini's OpenAI-compatible surface. Its base ends in `/v1beta/openai`, and an error may come inside a list.

use super::{Habits, openai};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    limit_field: "max_tokens",
    takes_token_ids: false,
    serves: &[EndpointName::ChatCompletions, EndpointName::Embeddings, EndpointName::Images],
    ..openai::HABITS
};
