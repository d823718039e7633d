//! Read one provider: every role.

use super::{ProviderObject, find};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<ProviderObject>, Refusal> {
    query.finish()?;
    let (found, _) = find(&call).await?;
    Ok(Json(ProviderObject::new(&found)))
}
