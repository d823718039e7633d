//! Look at a waiting command line, and consent to it with a fresh sign-in, or refuse it.
//!
//! Looking tells where it asked from: whoever was sent a code by somebody else shall see that the machine is not theirs.

use super::{Decision, Waiting, unhex};
use crate::auth::Tries;
use crate::authorize::Member;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Actor;
use claviger_domain::error::Code;
use claviger_domain::key::Owner;
use claviger_domain::person::token::{Token, TokenKind};
use serde::Serialize;

/// The command line that is asked about.
#[derive(Serialize)]
pub(crate) struct Device {
    object: &'static str,
    status: &'static str,
    host: String,
    address: String,
    organization: String,
    role: &'static str,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Device>, Refusal> {
    query.finish()?;
    let code = Token::parse_user_code(&fields.required_text("user_code")?);
    let decision = fields.text("decision")?;
    fields.finish(&[])?;
    // The operator at this machine is nobody whom a key could stand for.
    let (Some(Owner::User(user)), Actor::User(_)) = (call.actor.owner(), &call.actor.attribution().actor) else {
        return Err(Code::SessionRequired.into());
    };
    let (control, store, now) = (&call.control, call.control.store(), call.now.wall);
    let by = call.actor.attribution();
    let tries = Tries::take(control, by, &[&user.to_string()], call.now)?;
    let code = code.ok_or(Code::InvalidLink)?.digest();
    let meant = store.find_token(TokenKind::UserCode, &code, now).await?.ok_or(Code::InvalidLink)?;
    let device = unhex(&meant.detail).ok_or(Code::InvalidLink)?;
    let found = store.find_token(TokenKind::Device, &device, now).await?.ok_or(Code::InvalidLink)?;
    tries.give_back(control);
    let mut waiting = Waiting::read(&found.detail)?;
    let shown = |status, waiting: Waiting| {
        Ok(Json(Device {
            object: "device",
            status,
            host: waiting.host,
            address: waiting.address,
            organization: call.actor.organization().slug.clone(),
            role: call.actor.role().name(),
        }))
    };
    let (decision, status) = match decision.as_deref() {
        None => return shown("waiting", waiting),
        Some("approve") => {
            call.actor.require_fresh()?;
            call.actor.require_verified()?;
            let organization = call.actor.organization().id.to_string();
            (Decision::Granted { organization, session: by.credential.clone() }, "approved")
        }
        Some("refuse") => (Decision::Refused, "refused"),
        Some(_) => return Err(Refusal::invalid("decision", "'approve' or 'refuse'")),
    };
    // The short code decides once.
    store.take_token(TokenKind::UserCode, code, now).await.map_err(Refusal::of_write)?.ok_or(Code::InvalidLink)?;
    waiting.decision = Some(decision);
    let kept = store.amend_token(TokenKind::Device, device, user, waiting.text()?, now).await;
    if kept.map_err(Refusal::of_write)? { shown(status, waiting) } else { Err(Code::InvalidLink.into()) }
}
