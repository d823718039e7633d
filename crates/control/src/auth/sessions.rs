//! A person's own sessions: listed, and ended from elsewhere.

use super::Done;
use crate::authorize::Signed;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::SessionId;
use claviger_domain::person::session::{Session, SessionEnd, Standing};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct SessionObject {
    object: &'static str,
    id: String,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    fresh_until: i64,
    address: String,
    client: String,
    /// Whether it is the one that asks.
    current: bool,
}

impl SessionObject {
    pub(crate) fn new(session: &Session, current: SessionId) -> Self {
        Self {
            object: "session",
            id: session.id.to_string(),
            created_at: session.created_at.seconds(),
            last_seen_at: session.last_seen_at.seconds(),
            expires_at: session.expires_at.seconds(),
            fresh_until: session.fresh_until.seconds(),
            address: session.address.clone(),
            client: session.agent.clone(),
            current: session.id == current,
        }
    }
}

/// Lists those that live.
pub(crate) async fn list(State(call): State<Call<Signed>>, query: Query) -> Result<Json<List<SessionObject>>, Refusal> {
    query.finish()?;
    let live = call.actor.live();
    let rules = &call.control.settings().people.sessions;
    let mut sessions = call.control.store().list_sessions(live.user.id, call.now.wall).await?;
    sessions.retain(|session| rules.standing(session, call.now.wall) != Standing::Over);
    Ok(Json(List::whole(
        &sessions,
        |session| session.id.to_string(),
        |session| SessionObject::new(session, live.session.id),
    )))
}

/// Ends one of them.
pub(crate) async fn end(State(call): State<Call<Signed>>, query: Query) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    let id: SessionId = call.id("session")?;
    let (user, by) = (call.actor.live().user.id, call.actor.attribution());
    let is_ended =
        call.control.store().end_session(user, id, SessionEnd::Ended, by).await.map_err(Refusal::of_write)?;
    if is_ended { Ok(Json(Done::new("session", "ended"))) } else { Err(Refusal::not_found()) }
}

/// Ends all but the one that asks.
pub(crate) async fn end_others(State(call): State<Call<Signed>>, query: Query) -> Result<Json<Done>, Refusal> {
    query.finish()?;
    let live = call.actor.live();
    let store = call.control.store();
    let ended = store.end_sessions(live.user.id, Some(live.session.id), SessionEnd::Ended, call.actor.attribution());
    ended.await.map_err(Refusal::of_write)?;
    Ok(Json(Done::new("session", "ended")))
}
