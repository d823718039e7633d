//! Jina. It counts tokens, and says what is wrong in `detail`.

use super::{Habits, openai};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits { serves: &[EndpointName::Rerank], ..openai::HABITS };
