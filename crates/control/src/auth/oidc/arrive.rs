//! Who an account of an identity provider is here (`keys.md` §7): whoever it is linked to, by issuer and subject alone.
//!
//! Somebody new needs an address that the provider has proved. It opens a pending invite, or the organization that the
//! operator has for everybody of this provider, or, where anybody may sign up, one of their own. It never leads to an
//! existing person: they sign in as they are used to and link the account themselves.

use crate::auth::sign_up;
use crate::authorize::Visitor;
use crate::issuers::{Issuer, SignOn};
use crate::respond::Refusal;
use crate::serve::Call;
use crate::settings::SignUp;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::id_token::Claims;
use claviger_domain::key::Name;
use claviger_domain::person::{EmailAddress, User, UserState};
use claviger_domain::right::Role;
use claviger_storage::{Arrival, Home, Identity, NewUser};

/// The active person of an account, known or made now.
pub(super) async fn person(call: &Call<Visitor>, issuer: &Issuer, claims: &Claims) -> Result<User, Refusal> {
    let (control, store) = (&call.control, call.control.store());
    if let Some(user) = store.find_identity(&claims.issuer, &claims.subject).await? {
        return if user.state == UserState::Active { Ok(user) } else { Err(Code::InvalidLogin.into()) };
    }
    let email = claims.verified_email().and_then(EmailAddress::parse).ok_or(Code::EmailNotVerified)?;
    let domains = &issuer.sign_on.allowed_domains;
    if !domains.is_empty() && !domains.iter().any(|domain| domain.eq_ignore_ascii_case(email.domain())) {
        return Err(Code::SignUpClosed.into());
    }
    let name = claims.claim("name").and_then(|name| Name::parse(name).ok());
    let home = home(call, issuer, claims, &email).await?;
    let new = NewUser {
        id: control.draw(|random| UserId::generate(call.now.wall, random)),
        email,
        password_hash: None,
        name: name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        is_verified: true,
        is_operator: false,
    };
    let identity =
        Identity { issuer: claims.issuer.clone(), subject: claims.subject.clone(), linked_at: call.now.wall };
    let by = as_person(call, new.id);
    match store.join_by_identity(new, identity, home, &by).await.map_err(Refusal::of_write)? {
        Arrival::Joined(user) => Ok(user),
        // Nothing tells which of the two it is: that an address is known is not for whoever comes with it.
        Arrival::Known | Arrival::Uninvited => Err(Code::SignUpClosed.into()),
    }
}

/// The person as who acts.
pub(super) fn as_person(call: &Call<Visitor>, user: UserId) -> Attribution {
    Attribution { actor: Actor::User(user.to_string()), ..call.actor.attribution().clone() }
}

/// Where somebody new belongs whom nobody invited.
async fn home(
    call: &Call<Visitor>,
    issuer: &Issuer,
    claims: &Claims,
    email: &EmailAddress,
) -> Result<Option<Home>, Refusal> {
    let (control, slug) = (&call.control, &issuer.sign_on.organization);
    if !slug.is_empty() {
        let found = control.store().find_organization_by_slug(slug).await?;
        if found.is_none() {
            tracing::error!(issuer = issuer.name, slug, "the organization of an issuer does not exist");
        }
        return Ok(found.map(|found| Home::Member(found.id, role(&issuer.sign_on, claims))));
    }
    let people = &control.settings().people;
    let is_allowed = people.allowed_domains.iter().any(|domain| domain.eq_ignore_ascii_case(email.domain()));
    if people.sign_up != SignUp::Open || !people.allowed_domains.is_empty() && !is_allowed {
        return Ok(None);
    }
    let local = email.as_str().split('@').next().unwrap_or_default();
    let name = Name::parse(local).map_err(Refusal::from)?;
    Ok(Some(Home::Own(sign_up::organization(control, &name, call.now).await?)))
}

/// The role that the claim stands for, the strongest of several; else the one for everybody.
fn role(sign_on: &SignOn, claims: &Claims) -> Role {
    let meant =
        |role: &&Role| claims.texts(&sign_on.role_claim).iter().any(|value| sign_on.roles.get(*value) == Some(role));
    Role::ALL.iter().find(meant).copied().unwrap_or(sign_on.role)
}
