//! Set the instance up by the link that the server prints: whoever holds it, once, within 15 minutes.
//!
//! It names the first organization and makes its owner, who is also the operator of the instance, and signs them in. A link
//! made by force adds an owner where there is one already.

use super::{Tries, begin};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::password;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::extract::State;
use axum::response::Response;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::UserId;
use claviger_domain::key::Name;
use claviger_domain::person::EmailAddress;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::{Organization, OrganizationState, TenantScope, slug_of};
use claviger_storage::{NewUser, SetUp, SetUpOutcome};
use http::HeaderMap;

/// What was typed, checked.
struct Typed {
    code: Token,
    organization: Name,
    email: EmailAddress,
    password: Secret<String>,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    headers: HeaderMap,
    query: Query,
    fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let typed = read(fields)?;
    let (control, by) = (&call.control, call.actor.attribution());
    let tries = Tries::take(control, by, &[], call.now)?;
    let store = control.store();
    let code = store.find_token(TokenKind::SetUp, &typed.code.digest(), call.now.wall).await?;
    let is_forced = code.ok_or(Code::InvalidLink)?.detail == "forced";
    tries.give_back(control);
    password::check_choice(control, &typed.password, &typed.email)?;
    let place = place(control, is_forced).await?;
    let password_hash = password::hash(control, typed.password).await?;
    let owner = NewUser {
        id: control.draw(|random| UserId::generate(call.now.wall, random)),
        email: typed.email,
        password_hash: Some(password_hash),
        name: String::new(),
        is_verified: false,
        is_operator: true,
    };
    let id = owner.id;
    let by = Attribution { actor: Actor::User(id.to_string()), ..by.clone() };
    // Used up before anything is made: of two who hold the link, one goes on.
    let taken = store.take_token(TokenKind::SetUp, typed.code.digest(), call.now.wall).await?;
    taken.ok_or(Code::InvalidLink)?;
    if place.state == OrganizationState::SetUp {
        let act = SetUp {
            organization: place.id,
            name: typed.organization.as_str().to_owned(),
            slug: slug_of(typed.organization.as_str()),
            owner,
            admin_key: None,
            key: None,
            grant: None,
        };
        let outcome = store.set_up(act, &by).await.map_err(Refusal::of_write)?;
        let SetUpOutcome::Done(_) = outcome else { return Err(Code::AlreadySetUp.into()) };
    } else {
        let made = store.create_user(owner, &by).await.map_err(Refusal::of_write)?;
        made.ok_or_else(|| Refusal::invalid("email", "an address that nobody has"))?;
        store.make_owner(TenantScope(place.id), id, &by).await.map_err(Refusal::of_write)?;
    }
    let user = store.find_user(id).await?.ok_or(Code::InternalError)?;
    begin(control, &user, &headers, &by, call.now).await
}

fn read(mut fields: Fields) -> Result<Typed, Refusal> {
    let code = Token::parse_code(&fields.required_text("code")?).ok_or(Code::InvalidLink)?;
    let organization = Name::parse(&fields.required_text("organization")?);
    let organization = organization.map_err(|code| Refusal::from(code).about("organization"))?;
    let email = EmailAddress::parse(&fields.required_text("email")?);
    let email = email.ok_or_else(|| Refusal::invalid("email", "an e-mail address"))?;
    let password = Secret::new(fields.required_text("password")?);
    fields.finish(&[])?;
    Ok(Typed { code, organization, email, password })
}

/// The organization that nobody has named yet; by force the oldest there is.
async fn place(control: &Control, is_forced: bool) -> Result<Organization, Refusal> {
    let mut organizations = control.store().list_organizations().await?.into_iter();
    let found = if is_forced {
        organizations.next()
    } else {
        organizations.find(|candidate| candidate.state == OrganizationState::SetUp)
    };
    found.ok_or_else(|| Code::AlreadySetUp.into())
}
