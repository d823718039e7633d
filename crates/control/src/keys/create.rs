//! Create a key: owners, and whoever the organization's policy lets. The reply holds its text, once.

use super::outcome::{check_within, limit_reached};
use super::writable::{READ_ONLY, check_owner, edit};
use super::{Confirmation, KeyObject, fixed_environment, require_for};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::once::{Idempotency, Running, replayed};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::audit::Attribution;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, KeyId, SecretId};
use claviger_domain::key::{
    Class, Edit, Key, MintedKey, Name, NewKey, Owner, Policy, Recipe, Set, SourceTag, StoredIn, StoredSecret,
};
use claviger_domain::limits;
use claviger_domain::revocation::Epoch;
use claviger_domain::right::{Permission, Role};
use claviger_domain::rights::Rights;
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::{Now, Timestamp};
use claviger_storage::{CreateKeyOutcome, Demand, Once};
use serde::Serialize;

/// Draws of an id before giving up; one collision in 62¹² is already unlikely.
const ID_DRAWS: usize = 4;

/// What the caller asks for.
pub(crate) struct Ask {
    pub(crate) name: Name,
    pub(crate) environment: Option<EnvironmentId>,
    pub(crate) source_tag: Option<SourceTag>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) class: Class,
    pub(crate) role: Option<Role>,
    pub(crate) is_test: bool,
    pub(crate) is_canary: bool,
    pub(crate) owner: Option<Owner>,
    pub(crate) policy: Policy,
    pub(crate) stored_in: Option<StoredIn>,
    /// SHA-256 of a text made elsewhere: then there is none to show.
    pub(crate) sha256: Option<[u8; 32]>,
}

impl Ask {
    /// A key of this class and name, without more.
    pub(crate) fn new(name: Name, class: Class) -> Self {
        Self {
            name,
            environment: None,
            source_tag: None,
            expires_at: None,
            class,
            role: None,
            is_test: false,
            is_canary: false,
            owner: None,
            policy: Policy::default(),
            stored_in: None,
            sha256: None,
        }
    }
}

/// What whoever makes a key may when the request comes in, and what they must be when it is made.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub(crate) rights: &'a Rights,
    pub(crate) demand: Demand,
}

/// A key and its text.
pub(crate) struct Created {
    pub(crate) key: Key,
    pub(crate) value: Secret<String>,
    pub(crate) epoch: Epoch,
}

/// A key made now, or before under the same Idempotency-Key: then its text is not known any more.
pub(crate) enum Made {
    Now(Created),
    Before(Key),
}

/// A key with its text, or with the time until which a lost one is issued again.
#[derive(Serialize)]
pub(crate) struct Reply {
    #[serde(flatten)]
    key: KeyObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    reissue_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<Confirmation>,
}

impl Reply {
    pub(crate) fn shown(call: &Call<Member>, key: &Key, value: Option<String>, confirmation: Confirmation) -> Response {
        let reissue_until = key.newest().and_then(|secret| secret.reissue_until).map(Timestamp::seconds);
        let key = KeyObject::new(key, call.actor.lifetimes(), call.now.wall);
        Json(Self { key, value, reissue_until, confirmation: Some(confirmation) }).into_response()
    }

    /// The replay of W31.
    pub(crate) fn repeated(call: &Call<Member>, key: &Key) -> Response {
        let reissue_until = key.newest().and_then(|secret| secret.reissue_until).map(Timestamp::seconds);
        let key = KeyObject::new(key, call.actor.lifetimes(), call.now.wall);
        replayed(Json(Self { key, value: None, reissue_until, confirmation: None }))
    }
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once = idempotency.of(&call, &fields);
    let fixed = fixed_environment(&call).await?;
    let mut ask = read(fields, &call.actor, call.now)?;
    if let Some(fixed) = fixed {
        if ask.environment.is_some_and(|named| named != fixed) {
            return Err(Refusal::invalid("environment_id", "the environment of the path, or nothing"));
        }
        ask.environment = Some(fixed);
    }
    settle_owner(&call.actor, &mut ask)?;
    check_owner(&call, ask.owner).await?;
    finish(&call, ask, once).await
}

/// Makes the key and shows it, once.
pub(crate) async fn finish(call: &Call<Member>, ask: Ask, once: Option<Once>) -> Result<Response, Refusal> {
    if !ask.is_test {
        call.actor.require_verified()?;
    }
    let _running = Running::begin(&call.control, once.as_ref())?;
    let maker = call.actor.rights().clone();
    let is_foreign = ask.sha256.is_some();
    let scope = call.actor.scope();
    let maker = Maker { rights: &maker, demand: Demand::to_make(ask.class) };
    match make(&call.control, scope, ask, once, maker, call.actor.attribution(), call.now).await? {
        Made::Now(created) => {
            let confirmation = widened(call, created.epoch).await;
            let value = (!is_foreign).then(|| created.value.expose().clone());
            Ok(Reply::shown(call, &created.key, value, confirmation))
        }
        Made::Before(key) => Ok(Reply::repeated(call, &key)),
    }
}

/// Mints, stores and returns the key. The text exists nowhere else.
pub(crate) async fn make(
    control: &Control,
    scope: TenantScope,
    ask: Ask,
    once: Option<Once>,
    maker: Maker<'_>,
    by: &Attribution,
    now: Now,
) -> Result<Made, Refusal> {
    for _ in 0..ID_DRAWS {
        let (minted, new) = mint(control, &ask, now)?;
        check_within(&as_key(&new, scope), maker.rights)?;
        let made = control.store().create_key_once(scope, new, once.clone(), maker.demand, by).await;
        match made.map_err(Refusal::of_write)? {
            CreateKeyOutcome::Created { key, epoch } => {
                return Ok(Made::Now(Created { key, value: minted.text, epoch }));
            }
            CreateKeyOutcome::Repeated { key } => return Ok(Made::Before(key)),
            CreateKeyOutcome::OtherBody => return Err(Code::IdempotencyKeyReused.into()),
            CreateKeyOutcome::IdTaken if ask.sha256.is_some() => {
                return Err(Refusal::invalid("sha256", "a text that no other key has"));
            }
            CreateKeyOutcome::IdTaken => {}
            CreateKeyOutcome::UnknownEnvironment => return Err(Refusal::not_found()),
            CreateKeyOutcome::LimitReached { limit, unused } => return Err(limit_reached(limit, unused)),
        }
    }
    tracing::error!("no free key id in {ID_DRAWS} draws: the source of randomness is broken");
    Err(Code::InternalError.into())
}

/// A key text with a fresh id, and the row to be stored for it.
pub(crate) fn mint(control: &Control, ask: &Ask, now: Now) -> Result<(MintedKey, NewKey), Refusal> {
    let pepper = control.pepper()?;
    let prefix = control.settings().prefixes.current();
    let (minted, secret) = control.draw(|random| {
        let id = KeyId::generate(random);
        (MintedKey::mint(prefix, ask.is_test, id, random), SecretId::generate(now.wall, random))
    });
    let mut stored = match &ask.sha256 {
        None => {
            let digest = pepper.digest(minted.text.expose().as_bytes());
            StoredSecret::new(secret, digest, pepper.version, minted.redacted.clone(), now.wall)
        }
        Some(inner) => {
            let digest = pepper.digest_of_inner(inner);
            let stored = StoredSecret::new(secret, digest, pepper.version, "…".to_owned(), now.wall);
            StoredSecret { recipe: Recipe::Sha256, ..stored }
        }
    };
    if ask.sha256.is_none() {
        stored.reissue_until = Some(now.wall.plus(limits::REISSUE_WINDOW));
    }
    let new = NewKey {
        environment: ask.environment,
        class: ask.class,
        is_test: ask.is_test,
        is_canary: ask.is_canary,
        source_tag: ask.source_tag.clone(),
        owner: ask.owner,
        role: ask.role,
        expires_at: ask.expires_at,
        policy: ask.policy.clone(),
        stored_in: ask.stored_in.clone(),
        ..NewKey::new(minted.id, ask.name.clone(), stored)
    };
    Ok((minted, new))
}

/// The key that the store would make, for judging its rights.
fn as_key(new: &NewKey, scope: TenantScope) -> Key {
    new.made(scope.0, new.environment.unwrap_or(EnvironmentId::from_u128(0)), Timestamp(0), "")
}

/// A person's key is theirs unless it is said to be another's; who may make keys of their own only, makes no others.
fn settle_owner(actor: &Member, ask: &mut Ask) -> Result<(), Refusal> {
    ask.owner = ask.owner.or(actor.owner());
    actor.require_own(Permission::KeysCreate, actor.owns(ask.owner))
}

fn read(mut fields: Fields, actor: &Member, now: Now) -> Result<Ask, Refusal> {
    let edited = edit(&mut fields, now)?;
    let environment = match fields.text("environment_id")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::not_found())?),
    };
    let class = match fields.text("class")? {
        None => Class::Inference,
        Some(text) => Class::from_name(&text).ok_or_else(|| Refusal::invalid("class", "'inference' or 'admin'"))?,
    };
    require_for(actor, class)?;
    let role = role(&mut fields, class, actor)?;
    let (is_test, is_canary) = (fields.flag("test")?, fields.flag("canary")?);
    if (is_test || is_canary) && class == Class::Admin {
        return Err(Refusal::invalid(if is_test { "test" } else { "canary" }, "false for an admin key"));
    }
    let sha256 = fields.text("sha256")?.map(|text| inner(&text)).transpose()?;
    fields.finish(READ_ONLY)?;
    let name = edited.name.clone().ok_or_else(|| {
        Refusal::because(Code::MissingRequiredParameter, "Missing required parameter: 'name'.").about("name")
    })?;
    let mut ask = Ask { environment, role, is_test, is_canary, sha256, ..Ask::new(name, class) };
    take(&mut ask, edited);
    let is_tag_needed = actor.organization().policy.require_source_tag && class == Class::Inference;
    if is_tag_needed && ask.source_tag.is_none() {
        return Err(Refusal::from(Code::SourceTagRequired).about("source_tag"));
    }
    Ok(ask)
}

fn take(ask: &mut Ask, edited: Edit) {
    edited.source_tag.onto(&mut ask.source_tag);
    edited.expires_at.onto(&mut ask.expires_at);
    edited.owner.onto(&mut ask.owner);
    edited.stored_in.onto(&mut ask.stored_in);
    edited.enforced.onto(&mut ask.policy.enforced);
    if let Set::To(shadow) = edited.shadow {
        ask.policy.shadow = Some(Box::new(shadow));
    }
    ask.policy.reach = edited.reach.unwrap_or(ask.policy.reach);
    ask.policy.permissions = edited.permissions.unwrap_or_default();
}

pub(super) fn inner(text: &str) -> Result<[u8; 32], Refusal> {
    let expected = || Refusal::invalid("sha256", "64 hexadecimal digits");
    let mut inner = [0_u8; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(expected());
    }
    for (place, byte) in inner.iter_mut().enumerate() {
        let pair = text.get(place * 2..place * 2 + 2).ok_or_else(expected)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| expected())?;
    }
    Ok(inner)
}

/// An admin key's role, the caller's when absent; that it is at most theirs is checked with all its rights.
fn role(fields: &mut Fields, class: Class, actor: &Member) -> Result<Option<Role>, Refusal> {
    let text = fields.text("role")?;
    match (class, text) {
        (Class::Inference, None) => Ok(None),
        (Class::Inference, Some(_)) => Err(Refusal::invalid("role", "nothing for an inference key")),
        (Class::Admin, None) => Ok(Some(actor.role())),
        (Class::Admin, Some(text)) => {
            let expected = || Refusal::invalid("role", "owner, admin, developer, billing or viewer");
            Role::from_name(&text).ok_or_else(expected).map(Some)
        }
    }
}
