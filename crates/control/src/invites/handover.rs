//! Leave a sealed text for a member, and take one: how a key is handed over.
//!
//! The browser seals; what opens it stays in the link's fragment, so only ciphertext is ever here. Once, within 24 hours.

use crate::authorize::{Member, Signed};
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::HandoverId;
use claviger_domain::limits;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Left {
    object: &'static str,
    id: String,
    expires_at: i64,
}

#[derive(Serialize)]
pub(crate) struct Taken {
    object: &'static str,
    id: String,
    ciphertext: String,
}

/// Leaves one: whoever may create keys.
pub(crate) async fn create(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Left>, Refusal> {
    query.finish()?;
    let ciphertext = fields.required_text("ciphertext")?;
    fields.finish(&[])?;
    let is_text = ciphertext.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_.".contains(&byte));
    if ciphertext.is_empty() || ciphertext.len() > limits::HANDOVER_BYTES || !is_text {
        return Err(Refusal::invalid("ciphertext", "base64 of at most 4 KiB"));
    }
    let id = call.control.draw(|random| HandoverId::generate(call.now.wall, random));
    let expires_at = call.now.wall.plus(limits::HANDOVER_TTL);
    let (scope, by) = (call.actor.scope(), call.actor.attribution());
    call.control.store().create_handover(scope, id, ciphertext, expires_at, by).await.map_err(Refusal::of_write)?;
    Ok(Json(Left { object: "handover", id: id.to_string(), expires_at: expires_at.seconds() }))
}

/// Takes one: a member of its organization, whichever organization they look at.
pub(crate) async fn take(State(call): State<Call<Signed>>, query: Query) -> Result<Json<Taken>, Refusal> {
    query.finish()?;
    let id: HandoverId = call.id("handover")?;
    let user = call.actor.live().user.id;
    let taken = call.control.store().take_handover(id, user, call.actor.attribution()).await;
    let ciphertext = taken.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    Ok(Json(Taken { object: "handover", id: id.to_string(), ciphertext }))
}
