//! Create a key: owners, and whoever the organization's policy lets. The only reply that holds a secret.

use super::{KeyObject, fixed_environment, require_for};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Attribution;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, KeyId, SecretId};
use claviger_domain::key::{Class, Key, MintedKey, Name, NewKey, Owner, SourceTag, StoredSecret};
use claviger_domain::limits;
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::{Role, Standing};
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::{Now, Timestamp};
use claviger_storage::CreateKeyOutcome;
use serde::Serialize;

/// Draws of an id before giving up; one collision in 62¹² is already unlikely.
const ID_DRAWS: usize = 4;

/// Members of the key object that a body must not set.
const READ_ONLY: &[&str] = &[
    "id",
    "object",
    "redacted_value",
    "value",
    "created_at",
    "last_used_at",
    "owner_project_access",
    "state",
    "flags",
    "secrets",
    "created_by",
    "state_changed",
    "version",
];

/// What the caller asks for.
pub(crate) struct Ask {
    pub(crate) name: Name,
    pub(crate) environment: Option<EnvironmentId>,
    pub(crate) source_tag: Option<SourceTag>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) class: Class,
    pub(crate) role: Option<Role>,
    pub(crate) is_test: bool,
    /// Whose it is: whoever made it in person.
    pub(crate) owner: Option<Owner>,
}

/// A key and its text.
pub(crate) struct Created {
    pub(crate) key: Key,
    pub(crate) value: Secret<String>,
    pub(crate) epoch: claviger_domain::revocation::Epoch,
}

#[derive(Serialize)]
pub(crate) struct Reply {
    #[serde(flatten)]
    key: KeyObject,
    value: String,
    confirmation: Confirmation,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    fields: Fields,
) -> Result<Json<Reply>, Refusal> {
    query.finish()?;
    let fixed = fixed_environment(&call).await?;
    let mut ask = read(fields, &call.actor, call.now)?;
    ask.owner = call.actor.user().map(Owner::User);
    if let Some(fixed) = fixed {
        if ask.environment.is_some_and(|named| named != fixed) {
            return Err(Refusal::invalid("environment_id", "the environment of the path, or nothing"));
        }
        ask.environment = Some(fixed);
    }
    let created = run(&call.control, call.actor.scope(), ask, call.actor.attribution(), call.now).await?;
    let confirmation = widened(&call, created.epoch).await;
    let value = created.value.expose().clone();
    Ok(Json(Reply { key: KeyObject::new(&created.key, call.now.wall), value, confirmation }))
}

/// Mints, stores and returns the key. The text exists nowhere else.
pub(crate) async fn run(
    control: &Control,
    scope: TenantScope,
    ask: Ask,
    by: &Attribution,
    now: Now,
) -> Result<Created, Refusal> {
    for _ in 0..ID_DRAWS {
        let (minted, new) = mint(control, &ask, now)?;
        match control.store().create_key(scope, new, by).await.map_err(Refusal::of_write)? {
            CreateKeyOutcome::Created { key, epoch } => return Ok(Created { key, value: minted.text, epoch }),
            CreateKeyOutcome::IdTaken => {}
            CreateKeyOutcome::UnknownEnvironment => return Err(Refusal::not_found()),
            CreateKeyOutcome::LimitReached { limit, unused } => {
                return Err(limit_reached(limit, unused));
            }
        }
    }
    tracing::error!("no free key id in {ID_DRAWS} draws: the source of randomness is broken");
    Err(Code::InternalError.into())
}

/// Says how many keys there are, and how many of them nobody seems to need.
pub(crate) fn limit_reached(limit: u32, unused: u32) -> Refusal {
    let message = format!(
        "This organization has {limit} of {limit} API keys; {unused} were not used for 90 days. Revoke one or ask the \
         operator for more."
    );
    Refusal::because(Code::KeyLimitReached, message)
}

/// A key text with a fresh id, and the row to be stored for it.
pub(crate) fn mint(control: &Control, ask: &Ask, now: Now) -> Result<(MintedKey, NewKey), Refusal> {
    let pepper = control.pepper()?;
    let prefix = control.settings().prefixes.current();
    let (minted, secret) = control.draw(|random| {
        let id = KeyId::generate(random);
        (MintedKey::mint(prefix, ask.is_test, id, random), SecretId::generate(now.wall, random))
    });
    let digest = pepper.digest(minted.text.expose().as_bytes());
    let stored = StoredSecret::new(secret, digest, pepper.version, minted.redacted.clone(), now.wall);
    let new = NewKey {
        environment: ask.environment,
        class: ask.class,
        is_test: ask.is_test,
        source_tag: ask.source_tag.clone(),
        role: ask.role,
        owner: ask.owner,
        expires_at: ask.expires_at,
        ..NewKey::new(minted.id, ask.name.clone(), stored)
    };
    Ok((minted, new))
}

fn read(mut fields: Fields, actor: &Member, now: Now) -> Result<Ask, Refusal> {
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    let source_tag = fields.text("source_tag")?.map(|text| SourceTag::parse(&text)).transpose();
    let source_tag = source_tag.map_err(|code| Refusal::from(code).about("source_tag"))?;
    let environment = match fields.text("environment_id")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::not_found())?),
    };
    let expires_at = expiry(&mut fields, now)?;
    let class = match fields.text("class")? {
        None => Class::Inference,
        Some(text) => Class::from_name(&text).ok_or_else(|| Refusal::invalid("class", "'inference' or 'admin'"))?,
    };
    require_for(actor, class)?;
    let role = role(&mut fields, class, actor)?;
    let is_test = fields.flag("test")?;
    if is_test && class == Class::Admin {
        return Err(Refusal::invalid("test", "false for an admin key"));
    }
    fields.finish(READ_ONLY)?;
    Ok(Ask { name, environment, source_tag, expires_at, class, role, is_test, owner: None })
}

/// `expires_at` in seconds since 1970, or `expires_in_seconds`; not both.
pub(crate) fn expiry(fields: &mut Fields, now: Now) -> Result<Option<Timestamp>, Refusal> {
    let at = fields.integer("expires_at")?;
    let within = fields.integer("expires_in_seconds")?;
    let (param, at) = match (at, within) {
        (None, None) => return Ok(None),
        (Some(at), None) => ("expires_at", Timestamp::from_seconds(at)),
        (None, Some(seconds)) => {
            let at = now.wall.0.checked_add(Timestamp::from_seconds(seconds).0).map(Timestamp);
            ("expires_in_seconds", at.unwrap_or(Timestamp(i64::MAX)))
        }
        (Some(_), Some(_)) => return Err(Refusal::invalid("expires_in_seconds", "nothing beside 'expires_at'")),
    };
    let is_possible = at >= now.wall.plus(limits::KEY_LIFE_MIN) && at <= now.wall.plus(limits::KEY_LIFE_MAX);
    if is_possible { Ok(Some(at)) } else { Err(Refusal::invalid(param, "an expiry in 60 seconds to 10 years")) }
}

/// An admin key's role: at most the caller's, theirs when absent. Inference keys have none.
fn role(fields: &mut Fields, class: Class, actor: &Member) -> Result<Option<Role>, Refusal> {
    let text = fields.text("role")?;
    match (class, text) {
        (Class::Inference, None) => Ok(None),
        (Class::Inference, Some(_)) => Err(Refusal::invalid("role", "nothing for an inference key")),
        (Class::Admin, None) => Ok(Some(actor.role())),
        (Class::Admin, Some(text)) => {
            let role = Role::from_name(&text)
                .ok_or_else(|| Refusal::invalid("role", "owner, admin, developer, billing or viewer"))?;
            // No key is stronger than its maker (`keys.md` §8).
            let creators = actor.organization().policy.creators;
            if Standing::Member(role).is_at_most(actor.standing(), creators) {
                Ok(Some(role))
            } else {
                Err(Refusal::because(
                    Code::PermissionDenied,
                    format!(
                        "A key with the role {} would be allowed more than your role {}.",
                        role.name(),
                        actor.role().name()
                    ),
                ))
            }
        }
    }
}
