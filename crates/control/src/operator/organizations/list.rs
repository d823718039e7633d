//! List every organization of the instance: the operator.

use crate::authorize::Operator;
use crate::organization::OrganizationObject;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::tenancy::TenantScope;
use std::collections::HashMap;

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    mut query: Query,
) -> Result<Json<List<OrganizationObject>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let store = call.control.store();
    let found = store.page_organizations(&page).await?.ok_or(Code::InvalidCursor)?;
    let mut live = HashMap::new();
    for organization in &found.data {
        let scope = TenantScope(organization.id);
        live.insert(organization.id, store.count_live_keys(scope, call.now.wall).await?);
    }
    let show = |row: &_| {
        let row: &claviger_domain::tenancy::Organization = row;
        OrganizationObject::new(row, live.get(&row.id).copied().unwrap_or(0))
    };
    Ok(Json(List::of(found, |row| row.id.to_string(), show)))
}
