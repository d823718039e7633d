//! One member: every role.

use super::{MemberObject, find};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<MemberObject>, Refusal> {
    query.finish()?;
    Ok(Json(MemberObject::new(&find(&call).await?)))
}
