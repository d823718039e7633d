//! Remove one of one's passkeys, with a fresh sign-in. Every other session ends.

use crate::auth::Done;
use crate::authorize::Signed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::PasskeyId;

pub(crate) async fn handler(State(call): State<Call<Signed>>, query: Query) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    call.actor.require_fresh()?;
    let id: PasskeyId = call.id("passkey")?;
    let (live, store) = (call.actor.live(), call.control.store());
    let removed = store.remove_passkey(live.user.id, id, Some(live.session.id), call.actor.attribution()).await;
    if removed.map_err(Refusal::of_write)? {
        Ok(Json(Done::new("passkey", "removed")))
    } else {
        Err(Refusal::not_found())
    }
}
