//! Sign out: ends the session of this request, here and not only in the browser.

use super::{Done, with_cookie};
use crate::authorize::Signed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use crate::session;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use claviger_domain::error::Code;
use claviger_domain::person::session::SessionEnd;

pub(crate) async fn handler(State(call): State<Call<Signed>>, query: Query) -> Result<Response, Refusal> {
    query.finish()?;
    let live = call.actor.live();
    let store = call.control.store();
    store
        .end_session(live.user.id, live.session.id, SessionEnd::SignedOut, call.actor.attribution())
        .await
        .map_err(Refusal::of_write)?;
    let cookie = session::clear(&call.control.settings().public_url).ok_or(Code::InternalError)?;
    Ok(with_cookie(Json(Done::new("session", "ended")), cookie))
}
