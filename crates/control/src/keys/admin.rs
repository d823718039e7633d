//! Admin keys as OpenAI's Administration API has them: list, make, read, end. Everything else about them is done as to any
//! key, by the key's own rows.
//!
//! Making and ending one needs a fresh sign-in of whoever does it by a session (`keys.md` §7). An inference key is no admin
//! key: here it does not exist.

use super::create::{Ask, Made, Maker, make};
use super::object::flags;
use super::outcome::{Denied, changed};
use super::rotate::who;
use super::writable::expiry;
use super::{require_for, require_over};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::{narrowed, widened};
use crate::once::{Idempotency, Running, replayed};
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::Action;
use claviger_domain::error::Code;
use claviger_domain::id::KeyId;
use claviger_domain::key::{self, Class, Key, Name, Owner, RevocationReason, Set};
use claviger_domain::limits;
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::{Permission, Role};
use claviger_domain::time::Timestamp;
use claviger_storage::{Demand, KeyAct, KeyFilter};
use serde::Serialize;

const OBJECT: &str = "organization.admin_api_key";

#[derive(Serialize)]
pub(crate) struct AdminKey {
    object: &'static str,
    id: String,
    name: String,
    redacted_value: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    owner: OwnerObject,
    role: Option<&'static str>,
    state: &'static str,
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<Confirmation>,
}

/// Whose it is; a key of the set-up has no recorded owner.
#[derive(Serialize)]
struct OwnerObject {
    r#type: &'static str,
    object: &'static str,
    id: Option<String>,
    name: Option<String>,
    role: Option<&'static str>,
    created_at: Option<i64>,
}

#[derive(Serialize)]
struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
    confirmation: Confirmation,
}

pub(crate) async fn list(State(call): State<Call<Member>>, mut query: Query) -> Result<Json<List<AdminKey>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let filter = KeyFilter {
        class: Some(Class::Admin),
        environment: call.actor.seen_from(),
        lifetimes: call.actor.lifetimes().clone(),
        now: call.now.wall,
        ..KeyFilter::default()
    };
    let found = call.control.store().list_keys(call.actor.scope(), &filter, &page).await?;
    let found = found.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |key| key.id.to_string(), |key| AdminKey::new(&call, key))))
}

pub(crate) async fn get(State(call): State<Call<Member>>, query: Query) -> Result<Json<AdminKey>, Refusal> {
    query.finish()?;
    Ok(Json(AdminKey::new(&call, &find(&call).await?)))
}

pub(crate) async fn create(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    require_for(&call.actor, Class::Admin)?;
    call.actor.require_verified()?;
    let once = idempotency.of(&call, &fields);
    let name = fields.required_text("name")?;
    let name = Name::parse(&name).map_err(|code| Refusal::from(code).about("name"))?;
    let expires_at = match expiry(&mut fields, call.now)? {
        Set::To(at) if at > call.now.wall.plus(limits::ADMIN_KEY_LIFE_MAX) => {
            return Err(Refusal::invalid("expires_in_seconds", "at most 31536000"));
        }
        other => other.or_none(),
    };
    let role = match fields.text("role")? {
        None => call.actor.role(),
        Some(text) => Role::from_name(&text)
            .ok_or_else(|| Refusal::invalid("role", "owner, admin, developer, billing or viewer"))?,
    };
    fields.finish(&["id", "object", "value", "redacted_value", "created_at", "last_used_at", "owner"])?;
    let ask = Ask { role: Some(role), expires_at, owner: call.actor.owner(), ..Ask::new(name, Class::Admin) };
    let _running = Running::begin(&call.control, once.as_ref())?;
    let maker = Maker { rights: call.actor.rights(), demand: Demand::to_make(Class::Admin) };
    let by = call.actor.attribution();
    match make(&call.control, call.actor.scope(), ask, once, maker, by, call.now).await? {
        Made::Now(created) => {
            let confirmation = Some(widened(&call, created.epoch).await);
            let value = Some(created.value.expose().clone());
            Ok(Json(AdminKey { value, confirmation, ..AdminKey::new(&call, &created.key) }).into_response())
        }
        Made::Before(key) => Ok(replayed(Json(AdminKey::new(&call, &key)))),
    }
}

pub(crate) async fn delete(State(call): State<Call<Member>>, query: Query) -> Result<Response, Refusal> {
    query.finish()?;
    let key = find(&call).await?;
    require_over(&call, &key).await?;
    let (by, now) = (who(call.actor.attribution()), call.now.wall);
    let decide = move |key: &Key| Ok::<_, Denied>(key::revoke(key, RevocationReason::Other, &by, now));
    let act = KeyAct::asking(Action::KeyDeleted, Demand::Permission(Permission::AdminKeysManage));
    let store = call.control.store();
    let outcome = store.change_key(call.actor.scope(), key.id, act, decide, call.actor.attribution()).await;
    let changed = changed(outcome.map_err(Refusal::of_write)?)?;
    let confirmation = narrowed(&call, changed.epoch, Some(key.id)).await?;
    let object = "organization.admin_api_key.deleted";
    Ok(Json(Deleted { object, id: key.id.to_string(), deleted: true, confirmation }).into_response())
}

/// The admin key of the path.
async fn find(call: &Call<Member>) -> Result<Key, Refusal> {
    let id: KeyId = call.id("key")?;
    let key = call.control.store().find_key(call.actor.scope(), id).await?;
    let seen_from = call.actor.seen_from();
    let is_seen =
        |key: &Key| key.class == Class::Admin && seen_from.is_none_or(|environment| environment == key.environment);
    key.filter(is_seen).ok_or_else(Refusal::not_found)
}

impl AdminKey {
    fn new(call: &Call<Member>, key: &Key) -> Self {
        let (lifetimes, now) = (call.actor.lifetimes(), call.now.wall);
        Self {
            object: OBJECT,
            id: key.id.to_string(),
            name: key.name.clone(),
            redacted_value: key.redacted().to_owned(),
            created_at: key.created_at.seconds(),
            expires_at: key.expires_at.map(Timestamp::seconds),
            last_used_at: key.last_used_at.map(Timestamp::seconds),
            owner: OwnerObject::of(key),
            role: key.role.map(Role::name),
            state: key.state_within(lifetimes, now).name(),
            flags: flags(key, lifetimes, now),
            value: None,
            confirmation: None,
        }
    }
}

impl OwnerObject {
    fn of(key: &Key) -> Self {
        let (kind, object) = match key.owner {
            Some(Owner::Agent(_)) => ("service_account", "organization.project.service_account"),
            Some(Owner::User(_)) | None => ("user", "organization.user"),
        };
        let id = key.owner.map(|owner| owner.to_string());
        Self { r#type: kind, object, id, name: None, role: key.role.map(Role::name), created_at: None }
    }
}
