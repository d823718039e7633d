//! The keys that a member owns, or whose living secrets they made and so have seen: what leaving would touch.

use super::find;
use crate::authorize::Member;
use crate::keys::KeyObject;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<List<KeyObject>>, Refusal> {
    query.finish()?;
    let member = find(&call).await?;
    let keys = call.control.store().list_seen_keys(call.actor.scope(), member.user.id).await?;
    Ok(Json(List::whole(
        &keys,
        |key| key.id.to_string(),
        |key| KeyObject::new(key, call.actor.lifetimes(), call.now.wall),
    )))
}
