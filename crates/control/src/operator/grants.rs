//! Fund a wallet by a grant: the operator.

use crate::authorize::Operator;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::GrantId;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_storage::Grant;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct GrantObject {
    object: &'static str,
    id: String,
    organization: String,
    amount: String,
    currency: String,
    reason: String,
    created_at: i64,
    balance: String,
}

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<GrantObject>, Refusal> {
    query.finish()?;
    let named = fields.required_text("organization")?;
    let amount = amount("amount", &fields.required_text("amount")?)?;
    let reason = fields.required_text("reason")?;
    fields.finish(&[])?;
    if reason.trim().is_empty() {
        return Err(Refusal::invalid("reason", "why the credit is granted"));
    }
    let organization = find_organization(&call.control, &named).await?.ok_or_else(Refusal::not_found)?;
    let id = call.control.draw(|random| GrantId::generate(call.now.wall, random));
    let scope = TenantScope(organization.id);
    let grant = Grant { id, amount, reason: reason.clone(), at: call.now.wall };
    let store = call.control.store();
    let epoch = store.grant(scope, grant, call.actor.attribution()).await.map_err(Refusal::of_write)?;
    // Not knowing whether this node counts it already is no failure: the credit is booked.
    let _ = call.control.rights().confirmed(epoch, limits::EPOCH_APPLIED).await;
    let wallet = store.wallet(scope).await?;
    Ok(Json(GrantObject {
        object: "grant",
        id: id.to_string(),
        organization: organization.id.to_string(),
        amount: amount.to_string(),
        currency: call.control.settings().currency.clone(),
        reason,
        created_at: call.now.wall.seconds(),
        balance: wallet.balance.to_string(),
    }))
}

/// A positive amount of the instance's currency.
pub(super) fn amount(param: &str, text: &str) -> Result<Nano, Refusal> {
    match text.parse::<Nano>() {
        Ok(amount) if amount > Nano::ZERO => Ok(amount),
        _ => Err(Refusal::from(Code::InvalidAmount).about(param)),
    }
}

/// An organization by slug or id.
async fn find_organization(control: &Control, named: &str) -> Result<Option<Organization>, Refusal> {
    match named.parse() {
        Ok(id) => Ok(control.store().find_organization(id).await?),
        Err(_) => Ok(control.store().find_organization_by_slug(named).await?),
    }
}
