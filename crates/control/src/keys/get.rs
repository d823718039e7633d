//! Read one key: every role.

use super::{KeyObject, find};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<KeyObject>, Refusal> {
    query.finish()?;
    let key = find(&call).await?;
    let owners = call.control.store().describe_owners(call.actor.scope(), key.owner.into_iter()).await?;
    Ok(Json(KeyObject::new(&key, call.actor.lifetimes(), call.now.wall).with_owner(owners.first())))
}
