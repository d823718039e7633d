//! Who uses a key: by network and kind of client, per secret. Every role may see it.

use super::find;
use crate::authorize::Member;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::key::SeenCaller;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct CallerObject {
    object: &'static str,
    secret_id: String,
    network: String,
    client: String,
    first_seen: i64,
    last_seen: i64,
    requests: u64,
    last_model: Option<String>,
    last_status: Option<u16>,
}

impl CallerObject {
    fn new(seen: &SeenCaller) -> Self {
        Self {
            object: "api_key.caller",
            secret_id: seen.secret.to_string(),
            network: seen.network.clone(),
            client: seen.client.clone(),
            first_seen: seen.first_seen.seconds(),
            last_seen: seen.last_seen.seconds(),
            requests: seen.requests,
            last_model: seen.last_model.clone(),
            last_status: seen.last_status,
        }
    }
}

/// Whole: a secret has 64 callers at most. A caller has no id of its own, so its place in the list is named by its secret.
pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
) -> Result<Json<List<CallerObject>>, Refusal> {
    query.finish()?;
    let key = find(&call).await?;
    let callers = call.control.store().list_callers(call.actor.scope(), key.id).await?;
    Ok(Json(List::whole(&callers, |seen| seen.secret.to_string(), CallerObject::new)))
}
