//! A command line asks for somebody's consent: anybody's may, as often as one may try to sign in.

use super::{Waiting, hex};
use crate::auth::Tries;
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::limits;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_storage::{NewToken, Replaces};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Begun {
    object: &'static str,
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Begun>, Refusal> {
    query.finish()?;
    let host = fields.required_text("host")?;
    fields.finish(&[])?;
    let is_plain = host.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.len() > limits::DEVICE_HOST_CHARACTERS || !is_plain {
        return Err(Refusal::invalid("host", "1 to 64 letters, digits and signs without spaces"));
    }
    let (control, by) = (&call.control, call.actor.attribution());
    Tries::take(control, by, &[], call.now)?;
    let (device, user) = control.draw(|random| (Token::draw(random), Token::draw_user_code(random)));
    let now = call.now.wall;
    let token = |token: &Token, kind, detail| NewToken {
        digest: token.digest(),
        kind,
        user: None,
        detail,
        created_at: now,
        expires_at: now.plus(limits::DEVICE_WAIT),
        replaces: Replaces::Nothing,
    };
    let waiting = Waiting { host, address: by.address.clone(), decision: None };
    let store = control.store();
    store.save_token(token(&device, TokenKind::Device, waiting.text()?)).await.map_err(Refusal::of_write)?;
    let meant = token(&user, TokenKind::UserCode, hex(&device.digest()));
    store.save_token(meant).await.map_err(Refusal::of_write)?;
    let page = format!("{}/device", control.settings().public_url);
    Ok(Json(Begun {
        object: "device",
        device_code: device.expose().clone(),
        user_code: user.expose().clone(),
        verification_uri_complete: format!("{page}#{}", user.expose()),
        verification_uri: page,
        expires_in: limits::DEVICE_WAIT.as_secs(),
        interval: limits::DEVICE_PAUSE.as_secs(),
    }))
}
