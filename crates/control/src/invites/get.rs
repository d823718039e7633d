//! One invite: owners and admins.

use super::{InviteObject, find};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<InviteObject>, Refusal> {
    query.finish()?;
    Ok(Json(InviteObject::new(&find(&call).await?, call.now.wall)))
}
