//! What an organization and its environments restrict beyond their keys: rate limits, and which models may be called.

pub(crate) mod model_permissions;
pub(crate) mod rate_limits;

use crate::authorize::Member;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::id::EnvironmentId;

/// The environment of the path; `None` where the path names the organization.
fn place(call: &Call<Member>) -> Result<Option<EnvironmentId>, Refusal> {
    match call.matched.captured("project") {
        None => Ok(None),
        Some(_) => call.id("project").map(Some),
    }
}
