//! The wallet: every role. Amounts are decimal strings with 9 fraction digits.

use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct WalletObject {
    object: &'static str,
    organization: OrganizationObject,
    balance: String,
    /// What running requests hold of the balance; `null` when no server runs.
    held: Option<String>,
    total_credits: String,
    total_usage: String,
    currency: String,
}

#[derive(Serialize)]
struct OrganizationObject {
    id: String,
    slug: String,
    name: String,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<WalletObject>, Refusal> {
    query.finish()?;
    let wallet = call.control.store().wallet(call.actor.scope()).await?;
    let organization = call.actor.organization();
    Ok(Json(WalletObject {
        object: "organization.credits",
        organization: OrganizationObject {
            id: organization.id.to_string(),
            slug: organization.slug.clone(),
            name: organization.name.clone(),
        },
        balance: wallet.balance.to_string(),
        held: call.control.rights().held(organization.id).map(|held| held.to_string()),
        total_credits: wallet.funded.to_string(),
        total_usage: wallet.charged.to_string(),
        currency: call.control.settings().currency.clone(),
    }))
}
