//! The endpoints of OpenAI's API, one file per family: what is read of a request, what may be edited, what it meters,
//! and how answers are shown to the caller. Providers are not known here, only their dialects' habits.

pub mod chat;
pub mod choices;
pub mod completions;
pub mod embeddings;
mod inputs;
pub mod models;
pub mod responses;
