//! Set the first organization up: its name, its owner, an admin key, and what else the operator gives it at once.
//!
//! Works once: with an owner in place it is refused. The admin key, and the inference key if one is asked for, are
//! shown in this reply and never again.

use super::grants::amount;
use crate::authorize::Operator;
use crate::body::Fields;
use crate::keys::create::{self, Ask};
use crate::password;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::{GrantId, UserId};
use claviger_domain::key::{Class, MintedKey, Name, NewKey};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::person::EmailAddress;
use claviger_domain::right::Role;
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::{Organization, OrganizationState, slug_of};
use claviger_domain::time::Now;
use claviger_storage::{Grant, NewUser, SetUp, SetUpOutcome};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Reply {
    object: &'static str,
    organization: OrganizationReply,
    owner: OwnerReply,
    admin_key: KeyReply,
    key: Option<KeyReply>,
    credit: Option<String>,
    console: String,
}

#[derive(Serialize)]
struct OrganizationReply {
    id: String,
    slug: String,
    name: String,
}

#[derive(Serialize)]
struct OwnerReply {
    id: String,
    email: String,
}

#[derive(Serialize)]
struct KeyReply {
    id: String,
    name: String,
    value: String,
}

/// What the operator typed, checked.
struct Typed {
    organization: Name,
    email: EmailAddress,
    password: Secret<String>,
    credit: Option<Nano>,
    key_name: Option<Name>,
}

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Reply>, Refusal> {
    query.finish()?;
    let typed = read(fields)?;
    let first = unfinished(&call.control).await?;
    password::check_choice(&call.control, &typed.password, &typed.email)?;
    let password_hash = password::hash(&call.control, typed.password).await?;
    let slug = slug_of(typed.organization.as_str());
    let (admin_text, admin_key) = mint(&call.control, &Name::parse("setup")?, Class::Admin, call.now)?;
    let key = typed.key_name.map(|name| mint(&call.control, &name, Class::Inference, call.now)).transpose()?;
    let owner = call.control.draw(|random| UserId::generate(call.now.wall, random));
    let grant = typed.credit.map(|amount| Grant {
        id: call.control.draw(|random| GrantId::generate(call.now.wall, random)),
        amount,
        reason: "set-up".to_owned(),
        at: call.now.wall,
    });
    let admin_reply = shown(&admin_text, &admin_key);
    let key_reply = key.as_ref().map(|(text, key)| shown(text, key));
    let act = SetUp {
        organization: first.id,
        name: typed.organization.as_str().to_owned(),
        slug: slug.clone(),
        owner: NewUser {
            id: owner,
            email: typed.email.clone(),
            password_hash: Some(password_hash),
            name: String::new(),
            is_verified: false,
            is_operator: true,
        },
        admin_key: Some(admin_key),
        key: key.map(|(_, key)| key),
        grant,
    };
    let outcome = call.control.store().set_up(act, call.actor.attribution()).await.map_err(Refusal::of_write)?;
    let SetUpOutcome::Done(epoch) = outcome else { return Err(Code::AlreadySetUp.into()) };
    // The keys are stored; a node that learns of them a moment later is no failure.
    let _ = call.control.rights().confirmed(epoch, limits::EPOCH_APPLIED).await;
    Ok(Json(Reply {
        object: "setup",
        console: format!("{}/o/{slug}", call.control.settings().public_url),
        organization: OrganizationReply {
            id: first.id.to_string(),
            slug,
            name: typed.organization.as_str().to_owned(),
        },
        owner: OwnerReply { id: owner.to_string(), email: typed.email.to_string() },
        admin_key: admin_reply,
        key: key_reply,
        credit: typed.credit.map(|amount| amount.to_string()),
    }))
}

fn read(mut fields: Fields) -> Result<Typed, Refusal> {
    let organization = Name::parse(&fields.required_text("organization")?);
    let organization = organization.map_err(|code| Refusal::from(code).about("organization"))?;
    let email = email(&fields.required_text("email")?)?;
    let password = Secret::new(fields.required_text("password")?);
    let credit = fields.text("credit")?.map(|text| amount("credit", &text)).transpose()?;
    let key_name = fields.text("key_name")?.map(|text| Name::parse(&text)).transpose();
    let key_name = key_name.map_err(|code| Refusal::from(code).about("key_name"))?;
    fields.finish(&[])?;
    Ok(Typed { organization, email, password, credit, key_name })
}

fn email(text: &str) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(text).ok_or_else(|| Refusal::invalid("email", "an e-mail address"))
}

/// The organization that the first start made and nobody has named yet.
async fn unfinished(control: &Control) -> Result<Organization, Refusal> {
    let organizations = control.store().list_organizations().await?;
    let found = organizations.into_iter().find(|candidate| candidate.state == OrganizationState::SetUp);
    found.ok_or_else(|| Code::AlreadySetUp.into())
}

fn mint(control: &Control, name: &Name, class: Class, now: Now) -> Result<(MintedKey, NewKey), Refusal> {
    let role = (class == Class::Admin).then_some(Role::Owner);
    let ask = Ask { role, ..Ask::new(name.clone(), class) };
    create::mint(control, &ask, now)
}

fn shown(minted: &MintedKey, key: &NewKey) -> KeyReply {
    KeyReply { id: key.id.to_string(), name: key.name.as_str().to_owned(), value: minted.text.expose().clone() }
}
