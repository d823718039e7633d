//! Send an invite again: a new link and a new week; the old link is dead.

use super::{InviteObject, find, too_many};
use crate::authorize::Member;
use crate::mail;
use crate::members::check_role;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::person::invite::InviteStatus;
use claviger_domain::person::token::Token;
use claviger_storage::ResendOutcome;

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<InviteObject>, Refusal> {
    query.finish()?;
    let invite = find(&call).await?;
    check_role(&call.actor, invite.role)?;
    let (control, now) = (&call.control, call.now.wall);
    let people = &control.settings().people;
    let token = (!people.has_mail()).then(|| control.draw(|random| Token::draw(random)));
    let (scope, by) = (call.actor.scope(), call.actor.attribution());
    let expires_at = now.plus(people.invite_ttl);
    let digest = token.as_ref().map(Token::digest);
    let renewed = control.store().resend_invite(scope, invite.id, digest, expires_at, people.has_mail(), by).await;
    let renewed = match renewed.map_err(Refusal::of_write)? {
        ResendOutcome::Sent(renewed) => renewed,
        ResendOutcome::TooOften => return Err(too_many()),
        ResendOutcome::NotPending => {
            let is_used = invite.status(now) == InviteStatus::Accepted;
            return Err(if is_used { Code::InviteUsed } else { Code::InviteWithdrawn }.into());
        }
    };
    mail::ring(control);
    let url = token.map(|token| mail::link(control, "invite", &token));
    Ok(Json(InviteObject::new(&renewed, now).with_url(url)))
}
