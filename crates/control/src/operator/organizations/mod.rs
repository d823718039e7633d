//! Organizations as the operator sees them: made, bounded, suspended, resumed, closed; and any key of them ended.
//!
//! Every act stands in the audit log of the organization it is about.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod state;
pub(crate) mod update;

use crate::authorize::Operator;
use crate::body::Fields;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::tenancy::Organization;

/// The organization of the path.
async fn found(call: &Call<Operator>) -> Result<Organization, Refusal> {
    let id = call.id("organization")?;
    call.control.store().find_organization(id).await?.ok_or_else(Refusal::not_found)
}

/// Why: required, because the organization's members will read it.
fn reason(fields: &mut Fields) -> Result<String, Refusal> {
    let reason = fields.required_text("reason")?;
    let is_said = !reason.trim().is_empty() && reason.chars().count() <= 500;
    if is_said { Ok(reason) } else { Err(Refusal::invalid("reason", "1 to 500 characters that say why")) }
}
