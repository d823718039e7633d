//! Read any organization: the operator.

use super::found;
use crate::authorize::Operator;
use crate::organization::OrganizationObject;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::tenancy::TenantScope;

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
) -> Result<Json<OrganizationObject>, Refusal> {
    query.finish()?;
    let organization = found(&call).await?;
    let live = call.control.store().count_live_keys(TenantScope(organization.id), call.now.wall).await?;
    Ok(Json(OrganizationObject::new(&organization, live)))
}
