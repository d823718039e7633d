//! Change what bounds an organization: the operator.

use super::found;
use crate::authorize::Operator;
use crate::body::Fields;
use crate::edited::{IfMatch, settle};
use crate::organization::OrganizationObject;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_domain::tenancy::TenantScope;
use claviger_storage::OrganizationEdit;

const READ_ONLY: &[&str] = &[
    "id",
    "object",
    "slug",
    "name",
    "state",
    "reason",
    "reporting_zone",
    "live_keys",
    "default_environment_id",
    "created_at",
    "version",
];

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<OrganizationObject>, Refusal> {
    query.finish()?;
    let id = found(&call).await?.id;
    let keys_max = fields.count("max_keys", 0, limits::KEYS_PER_ORGANIZATION_MAX)?;
    let is_prefix_given = fields.has("key_prefix");
    let key_prefix = prefix(&call, &mut fields)?;
    fields.finish(READ_ONLY)?;
    let key_prefix = is_prefix_given.then_some(key_prefix);
    let edit = OrganizationEdit { keys_max, key_prefix, ..OrganizationEdit::default() };
    let store = call.control.store();
    let edited = store.update_organization(id, edit, version, call.actor.attribution()).await;
    let (organization, _epoch) = settle(edited.map_err(Refusal::of_write)?, Code::OrganizationClosed)?;
    let live = store.count_live_keys(TenantScope(id), call.now.wall).await?;
    Ok(Json(OrganizationObject::new(&organization, live)))
}

/// One of the prefixes that the instance reads.
pub(super) fn prefix(call: &Call<Operator>, fields: &mut Fields) -> Result<Option<String>, Refusal> {
    match fields.text("key_prefix")? {
        Some(text) if !call.control.settings().prefixes.is_accepted(&text) => {
            Err(Refusal::invalid("key_prefix", "one of the prefixes that this instance accepts"))
        }
        other => Ok(other),
    }
}
