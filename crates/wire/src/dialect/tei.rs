//! Hugging Face's Text Embeddings Inference. One model a server; tokens are told in the head of an answer; errors are
//! flat.

use super::{Habits, RerankForm, SELF_HOSTED};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits = Habits {
    rerank: RerankForm::Texts,
    rerank_path: "/rerank",
    serves: &[EndpointName::Embeddings, EndpointName::Rerank],
    ..SELF_HOSTED
};
