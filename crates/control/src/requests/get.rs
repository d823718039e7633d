//! Read one request record: anybody's, or that of an own key.

use super::found;
use super::object::RequestObject;
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<RequestObject>, Refusal> {
    query.finish()?;
    Ok(Json(RequestObject::new(&found(&call).await?)))
}
