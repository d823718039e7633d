//! What leaked of keys → which of the caller's own keys that is, what state they are in, and what they have spent since.
//!
//! Texts are never sent here: the caller sends ids, and SHA-256 of whole texts. A key of another organization is answered
//! as one that does not exist.

use super::KeyObject;
use crate::authorize::Member;
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::{Key, StoredSecret};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::time::Timestamp;
use claviger_storage::{Trail, UsageDimension, UsageQuery};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;

/// How far back spend is summed unless the caller says otherwise.
const SINCE: Duration = Duration::from_secs(24 * 3600);

#[derive(Serialize)]
pub(crate) struct Matches {
    object: &'static str,
    data: Vec<Match>,
    since: i64,
}

#[derive(Serialize)]
struct Match {
    object: &'static str,
    /// `exact`: the text itself leaked; `id`: only its public part is known to have.
    r#match: &'static str,
    sha256: Option<String>,
    secret_id: Option<String>,
    /// Whether what leaked admits now; of an id alone it is not known which secret leaked.
    is_live: bool,
    spend: String,
    key: KeyObject,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Matches>, Refusal> {
    query.finish()?;
    let ids = fields.texts("ids")?.unwrap_or_default();
    let hashes = fields.texts("sha256")?.unwrap_or_default();
    let since = fields.integer("since")?.map_or_else(|| call.now.wall.minus(SINCE), Timestamp::from_seconds);
    fields.finish(&[])?;
    let asked = ids.len().saturating_add(hashes.len());
    if !(1..=limits::LOOKUP_TRAILS).contains(&asked) {
        let expected = format!("1 to {} entries in 'ids' and 'sha256' together", limits::LOOKUP_TRAILS);
        return Err(Refusal::invalid("ids", expected));
    }
    let trails = trails(&call.control, &ids, &hashes)?;
    let found = call.control.store().look_up_keys(call.actor.scope(), &trails).await?;
    let seen_from = call.actor.seen_from();
    // What is asked stands in the order of `trails`: malformed ids are unknown ones and were left out of it.
    let named = ids.iter().filter(|id| id.parse::<KeyId>().is_ok()).map(|_| None);
    let sources = named.chain(hashes.iter().cloned().map(Some));
    let found: Vec<(Option<String>, Key, Option<SecretId>)> = sources
        .zip(found)
        .filter_map(|(hash, found)| found.map(|(key, secret)| (hash, key, secret)))
        .filter(|(_, key, _)| seen_from.is_none_or(|environment| environment == key.environment))
        .collect();
    let spend = spend(&call, found.iter().map(|(_, key, _)| key.id).collect(), since).await?;
    let data = found.into_iter().map(|(hash, key, secret)| shown(&call, hash, &key, secret, &spend)).collect();
    Ok(Json(Matches { object: "list", data, since: since.seconds() }))
}

fn trails(control: &Control, ids: &[String], hashes: &[String]) -> Result<Vec<Trail>, Refusal> {
    let mut trails: Vec<Trail> = ids.iter().filter_map(|id| id.parse().ok()).map(Trail::Id).collect();
    let peppers = &control.settings().peppers;
    for hash in hashes {
        let inner = super::create::inner(hash)?;
        trails.push(Trail::Digests(peppers.iter().map(|pepper| pepper.digest_of_inner(&inner)).collect()));
    }
    Ok(trails)
}

async fn spend(call: &Call<Member>, keys: Vec<KeyId>, since: Timestamp) -> Result<HashMap<KeyId, Nano>, Refusal> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let until = call.now.wall.plus(Duration::from_secs(1));
    let query = UsageQuery { keys, group_by: vec![UsageDimension::Key], ..UsageQuery::between(since, until) };
    let rows = call.control.store().usage(call.actor.scope(), &query).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.key?, row.charge))).collect())
}

fn shown(
    call: &Call<Member>,
    sha256: Option<String>,
    key: &Key,
    secret: Option<SecretId>,
    spend: &HashMap<KeyId, Nano>,
) -> Match {
    let (lifetimes, now) = (call.actor.lifetimes(), call.now.wall);
    let is_usable = key.state_within(lifetimes, now) == claviger_domain::key::KeyState::Active;
    let is_young = |secret: &&StoredSecret| lifetimes.end_of(secret.created_at).is_none_or(|(end, _)| now < end);
    let mut live = key.live_secrets(now).filter(is_young);
    let is_secret_live = match secret {
        Some(id) => live.any(|live| live.id == id),
        None => live.next().is_some(),
    };
    Match {
        object: "api_key.match",
        r#match: if secret.is_some() { "exact" } else { "id" },
        sha256,
        secret_id: secret.map(|id| id.to_string()),
        is_live: is_usable && is_secret_live,
        spend: spend.get(&key.id).copied().unwrap_or(Nano::ZERO).to_string(),
        key: KeyObject::new(key, lifetimes, now),
    }
}
