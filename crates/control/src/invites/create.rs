//! Invite somebody: owners and admins, into roles up to their own.
//!
//! The link goes out by mail. Where no mail goes out it is in the reply, to be handed over by other ways. A pending invite
//! of the same address is replaced. How many go out in a day is bounded, by organization and by address.

use super::{InviteObject, inviter, too_many};
use crate::authorize::Member;
use crate::body::Fields;
use crate::mail;
use crate::members::{check_role, role};
use crate::once::{Idempotency, Running, replayed};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::error::Code;
use claviger_domain::id::InviteId;
use claviger_domain::person::EmailAddress;
use claviger_domain::person::invite::Invite;
use claviger_domain::person::token::Token;
use claviger_storage::{InviteOutcome, NewInvite};

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once = idempotency.of(&call, &fields);
    let email = EmailAddress::parse(&fields.required_text("email")?);
    let email = email.ok_or_else(|| Refusal::invalid("email", "an e-mail address"))?;
    let role = role(&mut fields)?;
    fields.finish(&["object", "id", "status", "created_at", "expires_at", "accepted_at", "url"])?;
    check_role(&call.actor, role)?;
    let _running = Running::begin(&call.control, once.as_ref())?;
    let (control, now) = (&call.control, call.now.wall);
    let people = &control.settings().people;
    let invite = Invite {
        id: control.draw(|random| InviteId::generate(now, random)),
        organization: call.actor.organization().id,
        email,
        role,
        invited_by: inviter(&call.actor.attribution().actor),
        created_at: now,
        expires_at: now.plus(people.invite_ttl),
        accepted_at: None,
        accepted_by: None,
        withdrawn_at: None,
    };
    let token = (!people.has_mail()).then(|| control.draw(|random| Token::draw(random)));
    let new = NewInvite { invite: invite.clone(), digest: token.as_ref().map(Token::digest) };
    let made = control.store().create_invite(new, people.has_mail(), once, call.actor.attribution()).await;
    match made.map_err(Refusal::of_write)? {
        InviteOutcome::Sent => {}
        InviteOutcome::AlreadyMember => return Err(Refusal::from(Code::AlreadyMember).about("email")),
        InviteOutcome::TooMany => return Err(too_many()),
        InviteOutcome::OtherBody => return Err(Code::IdempotencyKeyReused.into()),
        // A link was shown then, or went out by mail; one that was lost is sent again.
        InviteOutcome::Repeated(former) => return Ok(replayed(Json(InviteObject::new(&former, now)))),
    }
    mail::ring(control);
    let url = token.map(|token| mail::link(control, "invite", &token));
    Ok(Json(InviteObject::new(&invite, now).with_url(url)).into_response())
}
