//! List the accounts that sign one in.

use crate::authorize::Signed;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_storage::Identity;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct IdentityObject {
    object: &'static str,
    id: String,
    issuer: String,
    linked_at: i64,
}

pub(crate) async fn handler(
    State(call): State<Call<Signed>>,
    query: Query,
) -> Result<Json<List<IdentityObject>>, Refusal> {
    query.finish()?;
    let identities = call.control.store().list_identities(call.actor.live().user.id).await?;
    Ok(Json(List::whole(
        &identities,
        |identity| name(&call.control, identity),
        |identity| IdentityObject {
            object: "identity",
            id: name(&call.control, identity),
            issuer: identity.issuer.clone(),
            linked_at: identity.linked_at.seconds(),
        },
    )))
}

/// The operator's name for an account's issuer; its URL where it is not configured any more.
fn name(control: &Control, identity: &Identity) -> String {
    let issuers = &control.settings().issuers.all;
    let known = issuers.iter().find(|issuer| issuer.issuer == identity.issuer);
    known.map_or_else(|| identity.issuer.clone(), |issuer| issuer.name.clone())
}
