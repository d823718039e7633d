//! Join by an invite's link: whoever holds it, once, with the address it was sent to.
//!
//! Somebody who is signed in joins as who they are. Somebody known, by their password. Somebody new brings a password and
//! becomes known by the act itself; that the link came by mail proves their address.

use crate::auth::{self, Tries, sign_in};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::members;
use crate::password;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use crate::session;
use axum::extract::State;
use axum::response::Response;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::key::Name;
use claviger_domain::person::invite::Invite;
use claviger_domain::person::token::Token;
use claviger_domain::right::{Creators, Role, Standing};
use claviger_domain::secret::Secret;
use claviger_domain::time::Now;
use claviger_storage::{AcceptOutcome, Joining, NewUser};
use http::HeaderMap;

/// What was typed, checked.
struct Typed {
    token: Token,
    role: Option<Role>,
    password: Option<Secret<String>>,
    name: String,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    headers: HeaderMap,
    query: Query,
    fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let typed = read(fields)?;
    let control = &call.control;
    let tries = Tries::take(control, call.actor.attribution(), &[], call.now)?;
    let invite = control.store().find_invite_by_token(&typed.token.digest()).await?;
    // A link that was replaced, or never was.
    let invite = invite.ok_or(Code::InviteWithdrawn)?;
    tries.give_back(control);
    let (role, digest) = (typed.role, typed.token.digest());
    let who = who(&call, &headers, &invite, typed).await?;
    let id = match &who {
        Joining::Known(id) => *id,
        Joining::New(new) => new.id,
    };
    let by = Attribution { actor: Actor::User(id.to_string()), ..call.actor.attribution().clone() };
    let outcome = control.store().accept_invite(digest, who, role, &by).await.map_err(Refusal::of_write)?;
    match outcome.ok_or(Code::InviteWithdrawn)? {
        AcceptOutcome::Refused(code) => Err(code.into()),
        AcceptOutcome::Joined { user, .. } => auth::begin(control, &user, &headers, &by, call.now).await,
    }
}

fn read(mut fields: Fields) -> Result<Typed, Refusal> {
    let token = Token::parse(&fields.required_text("token")?).ok_or(Code::InviteWithdrawn)?;
    let role = match fields.text("role")? {
        None => None,
        Some(text) => Some(members::named(&text).ok_or(Code::InviteMismatch)?),
    };
    let password = fields.text("password")?.map(Secret::new);
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?;
    fields.finish(&[])?;
    Ok(Typed { token, role, password, name: name.map(|name| name.as_str().to_owned()).unwrap_or_default() })
}

async fn who(call: &Call<Visitor>, headers: &HeaderMap, invite: &Invite, typed: Typed) -> Result<Joining, Refusal> {
    let control = &call.control;
    if let Some(user) = signed_in(control, call, headers, call.now).await? {
        return Ok(Joining::Known(user));
    }
    // What is wrong with the invite itself is said before anybody is asked for a password.
    let owner = Standing::Member(Role::Owner);
    if let Err(code) = invite.accept(&invite.email, typed.role, Some(&owner), Creators::Owners, call.now.wall) {
        return Err(code.into());
    }
    let password = typed.password.ok_or_else(|| {
        Refusal::because(Code::MissingRequiredParameter, "Missing required parameter: 'password'.").about("password")
    })?;
    let by = call.actor.attribution();
    if control.store().find_login(&invite.email).await?.is_some() {
        let tries = Tries::take(control, by, &[invite.email.as_str()], call.now)?;
        let user = sign_in::check(control, &invite.email, password).await?.ok_or(Code::InvalidLogin)?;
        tries.give_back(control);
        return Ok(Joining::Known(user.id));
    }
    password::check_choice(control, &password, &invite.email)?;
    let password_hash = password::hash(control, password).await?;
    Ok(Joining::New(NewUser {
        id: control.draw(|random| UserId::generate(call.now.wall, random)),
        email: invite.email.clone(),
        password_hash: Some(password_hash),
        name: typed.name,
        // Without mail the link was handed over by other ways and proves nothing.
        is_verified: control.settings().people.has_mail(),
        is_operator: false,
    }))
}

async fn signed_in(
    control: &Control,
    call: &Call<Visitor>,
    headers: &HeaderMap,
    now: Now,
) -> Result<Option<UserId>, Refusal> {
    let Some(token) = session::presented(headers, &control.settings().public_url) else { return Ok(None) };
    session::check_origin(control, call.matched.row.method, headers)?;
    Ok(session::find(control, &token, now.wall).await?.map(|live| live.user.id))
}
