//! Hugging Face's Text Generation Inference. Usage comes on streams with `include_usage`; errors are `{error, error_type}`,
//! in a stream too.

use super::{Habits, SELF_HOSTED};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits =
    Habits { serves: &[EndpointName::ChatCompletions, EndpointName::Completions], ..SELF_HOSTED };
