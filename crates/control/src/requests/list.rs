//! List request records, newest first unless asked otherwise: all of them, or those of the caller's own keys.

use super::object::RequestObject;
use crate::authorize::{Member, Sight};
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::KeyId;
use claviger_domain::right::Permission;
use claviger_domain::time::Timestamp;
use claviger_storage::RequestFilter;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<List<RequestObject>>, Refusal> {
    let page = query.page()?;
    let key = query.text("api_key_id")?.map(|text| text.parse::<KeyId>());
    let filter = RequestFilter {
        key: None,
        owner: None,
        environment: call.actor.seen_from(),
        model: query.text("model")?,
        source_tag: query.text("source_tag")?,
        since: query.integer("start_time")?.map(Timestamp::from_seconds),
        until: query.integer("end_time")?.map(Timestamp::from_seconds),
    };
    query.finish()?;
    let filter = match key {
        None => filter,
        Some(Ok(key)) => RequestFilter { key: Some(key), ..filter },
        // A malformed id is an unknown key, and an unknown key made no requests.
        Some(Err(_)) => return Ok(Json(List::empty())),
    };
    let filter = match call.actor.sight(Permission::RequestsRead) {
        Sight::Everything => filter,
        Sight::Of(owner) => RequestFilter { owner: Some(owner), ..filter },
        Sight::Nothing => return Ok(Json(List::empty())),
    };
    let found = call.control.store().list_requests(call.actor.scope(), &filter, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |record| record.id.to_string(), RequestObject::new)))
}
