//! Remove a member: owners and admins, up to their own role. Nobody has to be left behind without an owner.
//!
//! Their access ends, admin keys they own are revoked, the invites they sent withdrawn, by one confirmation. Inference keys
//! belong to the organization and go on; those the member owns or has seen meet a decision each (`keys.md` §7). DELETE
//! keeps and flags them all; POST …/remove says `keep`, `rotate`, `transfer` or `revoke`, by default and by key. A secret is
//! only shown where it is made, so `rotate` keeps and flags a key, and the reply lists what is to be rotated.

use super::{check_role, find};
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::{KeyId, UserId};
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::Permission;
use claviger_storage::{Decisions, KeyFate, LeftKey, RemovalOutcome};
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Serialize)]
pub(crate) struct Deleted {
    object: &'static str,
    id: String,
    deleted: bool,
    keys: Vec<KeyLeft>,
    confirmation: Confirmation,
}

/// What became of one key.
#[derive(Serialize)]
struct KeyLeft {
    id: String,
    name: String,
    class: &'static str,
    done: &'static str,
    rotation_due: bool,
}

impl KeyLeft {
    fn new(left: &LeftKey) -> Self {
        Self {
            id: left.key.id.to_string(),
            name: left.key.name.clone(),
            class: left.key.class.name(),
            done: match left.fate {
                KeyFate::Keep => "kept",
                KeyFate::Transfer(_) => "transferred",
                KeyFate::Revoke => "revoked",
            },
            rotation_due: left.fate != KeyFate::Revoke,
        }
    }
}

/// OpenAI's door.
pub(crate) async fn delete(State(call): State<Call<Member>>, query: Query) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    run(&call, Decisions { default: KeyFate::Keep, by_key: Vec::new() }).await
}

/// With a decision for each key.
pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    let keys = fields.object("keys")?.unwrap_or_default();
    fields.finish(&[])?;
    let decisions = read(&call, keys).await?;
    run(&call, decisions).await
}

async fn run(call: &Call<Member>, decisions: Decisions) -> Result<Json<Deleted>, Refusal> {
    let member = find(call).await?;
    check_role(&call.actor, member.membership.role)?;
    for fate in std::iter::once(&decisions.default).chain(decisions.by_key.iter().map(|(_, fate)| fate)) {
        match fate {
            KeyFate::Keep => {}
            KeyFate::Revoke => call.actor.require(Permission::KeysRevoke)?,
            KeyFate::Transfer(_) => call.actor.require(Permission::KeysUpdate)?,
        }
    }
    let store = call.control.store();
    let removed = store.remove_member(call.actor.scope(), member.user.id, decisions, call.actor.attribution()).await;
    match removed.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)? {
        RemovalOutcome::LastOwner => Err(Code::LastOwner.into()),
        RemovalOutcome::Done { keys, epoch } => Ok(Json(Deleted {
            object: "organization.user.deleted",
            id: member.user.id.to_string(),
            deleted: true,
            keys: keys.iter().map(KeyLeft::new).collect(),
            confirmation: narrowed(call, epoch, None).await?,
        })),
    }
}

/// `{default, by_key: {key: decision}}`; a decision is a word, or `{transfer: usr_…}`.
async fn read(call: &Call<Member>, mut keys: Map<String, Value>) -> Result<Decisions, Refusal> {
    let default = match keys.remove("default") {
        None => KeyFate::Keep,
        Some(value) => fate(call, &value).await?,
    };
    let mut by_key = Vec::new();
    match keys.remove("by_key") {
        None | Some(Value::Null) => {}
        Some(Value::Object(named)) => {
            for (id, value) in named {
                let id: KeyId = id.parse().map_err(|_malformed| Refusal::not_found())?;
                by_key.push((id, fate(call, &value).await?));
            }
        }
        Some(_) => return Err(Refusal::invalid("keys", "an object of decisions by key")),
    }
    if let Some(name) = keys.keys().next() {
        return Err(Refusal::because(Code::UnknownField, format!("Unknown field: 'keys.{name}'.")).about("keys"));
    }
    Ok(Decisions { default, by_key })
}

async fn fate(call: &Call<Member>, value: &Value) -> Result<KeyFate, Refusal> {
    let expected = || Refusal::invalid("keys", "keep, rotate, revoke, or {\"transfer\": a member's id}");
    match value {
        Value::String(word) => match word.as_str() {
            "keep" | "rotate" => Ok(KeyFate::Keep),
            "revoke" => Ok(KeyFate::Revoke),
            _ => Err(expected()),
        },
        Value::Object(named) => {
            let user = named.get("transfer").and_then(Value::as_str).ok_or_else(expected)?;
            let user: UserId = user.parse().map_err(|_malformed| Refusal::not_found())?;
            let member = call.control.store().find_member(call.actor.scope(), user).await?;
            member.map(|_| KeyFate::Transfer(user)).ok_or_else(Refusal::not_found)
        }
        _ => Err(expected()),
    }
}
