//! Take a linked account away, with a fresh sign-in.

use crate::auth::Done;
use crate::authorize::Signed;
use crate::issuers;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;

pub(crate) async fn handler(State(call): State<Call<Signed>>, query: Query) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    call.actor.require_fresh()?;
    let name = call.matched.captured("identity").unwrap_or_default();
    let issuer = issuers::find_by_name(&call.control, name).ok_or_else(Refusal::not_found)?;
    let user = call.actor.live().user.id;
    let gone = call.control.store().unlink_identity(user, &issuer.issuer, call.actor.attribution()).await;
    if gone.map_err(Refusal::of_write)? {
        Ok(Json(Done::new("identity", "unlinked")))
    } else {
        Err(Refusal::not_found())
    }
}
