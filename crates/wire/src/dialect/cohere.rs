//! Cohere. Documents are ranked at its second version, as texts; what it counts are search units.

use super::{Habits, RerankForm, openai};
use claviger_domain::endpoint::EndpointName;

pub(super) const HABITS: Habits =
    Habits { rerank: RerankForm::Cohere, rerank_path: "/v2/rerank", serves: &[EndpointName::Rerank], ..openai::HABITS };
