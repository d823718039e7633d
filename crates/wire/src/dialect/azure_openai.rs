//! OpenAI's models at Azure: OpenAI's bodies, another header for the credential, and a base that ends in `/openai/v1`.

use super::{Habits, openai};

pub(super) const HABITS: Habits = Habits { ..openai::HABITS };
