//! Usage in OpenAI's shape, with our exact meters and charges beside it.

mod buckets;
pub(crate) mod get;
mod kind;
