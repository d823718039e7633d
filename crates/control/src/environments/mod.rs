//! Environments, which OpenAI's administration API calls projects.

pub(crate) mod list;
