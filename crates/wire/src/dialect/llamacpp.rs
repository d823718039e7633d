//! llama.cpp's server. Usage is a chunk of its own; a prompt beyond the context is told with `n_prompt_tokens` and
//! `n_ctx`; `timings` beside the choices pass through.

use super::{Habits, SELF_HOSTED};

pub(super) const HABITS: Habits = SELF_HOSTED;
