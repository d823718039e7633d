//! Read one request record.

use super::object::RequestObject;
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<RequestObject>, Refusal> {
    query.finish()?;
    let id = call.id("request")?;
    let record = call.control.store().find_request(call.actor.scope(), id).await?;
    Ok(Json(RequestObject::new(&record.ok_or_else(Refusal::not_found)?)))
}
