//! Sign up: anybody, where the operator leaves it open; the person and an organization of their own.
//!
//! With mail the answer is the same whether the address is known or not: what is said about it goes to the address.
//! Without mail there is nobody to tell it to, so a taken address is refused; five tries a minute bound what can be
//! learned by that.

use super::{Done, Tries, begin};
use crate::authorize::Visitor;
use crate::body::Fields;
use crate::mail;
use crate::password;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use crate::settings::SignUp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, GrantId, OrganizationId, UserId};
use claviger_domain::key::Name;
use claviger_domain::money::Nano;
use claviger_domain::person::EmailAddress;
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::{OrganizationState, slug_of};
use claviger_domain::time::Now;
use claviger_storage::{Grant, NewOrganization, NewUser, Own};
use http::HeaderMap;

/// What was typed, checked.
struct Typed {
    email: EmailAddress,
    password: Secret<String>,
    name: String,
    organization: Name,
}

pub(crate) async fn handler(
    State(call): State<Call<Visitor>>,
    headers: HeaderMap,
    query: Query,
    fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let people = &call.control.settings().people;
    if people.sign_up != SignUp::Open {
        return Err(Code::SignUpClosed.into());
    }
    let typed = read(fields)?;
    let is_allowed = people.allowed_domains.iter().any(|domain| domain.eq_ignore_ascii_case(typed.email.domain()));
    if !people.allowed_domains.is_empty() && !is_allowed {
        return Err(Refusal::invalid("email", "an address of a domain that may sign up here"));
    }
    password::check_choice(&call.control, &typed.password, &typed.email)?;
    let by = call.actor.attribution();
    let tries = Tries::take(&call.control, by, &[typed.email.as_str()], call.now)?;
    let password_hash = password::hash(&call.control, typed.password).await?;
    let user = NewUser {
        id: call.control.draw(|random| UserId::generate(call.now.wall, random)),
        email: typed.email,
        password_hash: Some(password_hash),
        name: typed.name,
        is_verified: false,
        is_operator: false,
    };
    let by = Attribution { actor: Actor::User(user.id.to_string()), ..by.clone() };
    let organization = organization(&call.control, &typed.organization, call.now).await?;
    let made = call.control.store().sign_up(user, organization, people.has_mail(), &by).await;
    let made = made.map_err(Refusal::of_write)?;
    if people.has_mail() {
        mail::ring(&call.control);
        return Ok(Json(Done::new("sign_up", "check_mail")).into_response());
    }
    let user = made.ok_or_else(|| Refusal::invalid("email", "an address that nobody has signed up with"))?;
    tries.give_back(&call.control);
    begin(&call.control, &user, &headers, &by, call.now).await
}

fn read(mut fields: Fields) -> Result<Typed, Refusal> {
    let email = EmailAddress::parse(&fields.required_text("email")?);
    let email = email.ok_or_else(|| Refusal::invalid("email", "an e-mail address"))?;
    let password = Secret::new(fields.required_text("password")?);
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?;
    let organization = Name::parse(&fields.required_text("organization")?);
    let organization = organization.map_err(|code| Refusal::from(code).about("organization"))?;
    fields.finish(&[])?;
    Ok(Typed { email, password, name: name.map(|name| name.as_str().to_owned()).unwrap_or_default(), organization })
}

/// A new organization of this name, under a slug that nobody has, with the credit that the operator starts it with.
pub(crate) async fn organization(control: &Control, name: &Name, now: Now) -> Result<Own, Refusal> {
    let (id, environment) =
        control.draw(|random| (OrganizationId::generate(now.wall, random), EnvironmentId::generate(now.wall, random)));
    let mut slug = slug_of(name.as_str());
    if control.store().find_organization_by_slug(&slug).await?.is_some() {
        // The last symbols of an id are random.
        let symbols = id.symbols();
        let tail: String = symbols.iter().skip(16).map(|symbol| char::from(symbol.to_ascii_lowercase())).collect();
        let stem: String = slug.chars().take(33).collect();
        slug = format!("{}-{tail}", stem.trim_end_matches('-'));
    }
    let organization = NewOrganization {
        id,
        slug,
        name: name.as_str().to_owned(),
        state: OrganizationState::Active,
        environment,
        keys_max: control.settings().people.keys_max,
        at: now.wall,
    };
    let amount = control.settings().people.starting_credit;
    let credit = (amount > Nano::ZERO).then(|| Grant {
        id: control.draw(|random| GrantId::generate(now.wall, random)),
        amount,
        reason: "starting credit".to_owned(),
        at: now.wall,
    });
    Ok(Own { organization, credit })
}
