//! What an issuer publishes: its endpoints and its keys (OpenID Connect Discovery §4, RFC 7517), fetched within bounds and
//! kept for an hour.
//!
//! One question at a time goes to an issuer, however many ask. A token that names a key we do not know makes us look
//! again, at most every 30 seconds, the first answer apart: an issuer rotates its keys before it signs with the new one, and whoever invents names
//! of keys shall not make us flood it. When an issuer is silent, what it said in the last hour still counts.

use super::Issuer;
use super::verify::Disbelief;
use crate::ports::{AskIssuers, Question};
use claviger_domain::limits;
use claviger_domain::time::{Monotonic, Now};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The documents of every issuer that was asked.
#[derive(Debug, Default)]
pub(crate) struct Documents(parking_lot::Mutex<HashMap<String, Arc<Mutex<Known>>>>);

/// What one issuer said.
#[derive(Debug, Default)]
struct Known {
    said: Option<Said>,
    /// When it was last asked in doubt or in vain.
    asked_at: Option<Monotonic>,
}

#[derive(Clone, Debug)]
struct Said {
    endpoints: Endpoints,
    keys: Arc<[Jwk]>,
    at: Monotonic,
}

/// Where an issuer is asked for what.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// Where people are sent.
    pub(crate) authorization: Option<String>,
    /// Where a code becomes a token.
    pub(crate) token: Option<String>,
}

/// The discovery document, as far as we read it.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
}

/// A set of keys; each is read by itself, so that a kind we do not know spoils no other.
#[derive(Deserialize)]
struct KeySet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl Documents {
    /// Where the issuer is asked for what.
    pub(super) async fn endpoints(
        &self,
        issuer: &Issuer,
        ask: &dyn AskIssuers,
        now: Now,
    ) -> Result<Endpoints, Disbelief> {
        let known = self.of(&issuer.issuer);
        let mut known = known.lock().await;
        Ok(known.look(issuer, ask, now, false).await?.endpoints)
    }

    /// The issuer's keys that a token may name: those of this id, or all that have none if it names none.
    pub(super) async fn keys(
        &self,
        issuer: &Issuer,
        ask: &dyn AskIssuers,
        id: Option<&str>,
        now: Now,
    ) -> Result<Vec<Jwk>, Disbelief> {
        let known = self.of(&issuer.issuer);
        let mut known = known.lock().await;
        let found = named(&known.look(issuer, ask, now, false).await?.keys, id);
        if !found.is_empty() || id.is_none() {
            return Ok(found);
        }
        Ok(named(&known.look(issuer, ask, now, true).await?.keys, id))
    }

    fn of(&self, issuer: &str) -> Arc<Mutex<Known>> {
        Arc::clone(self.0.lock().entry(issuer.to_owned()).or_default())
    }
}

impl Known {
    /// What the issuer says: what is known, while it is young and `must_ask` does not doubt it.
    async fn look(
        &mut self,
        issuer: &Issuer,
        ask: &dyn AskIssuers,
        now: Now,
        must_ask: bool,
    ) -> Result<Said, Disbelief> {
        let young = self.said.as_ref().filter(|said| now.monotonic.since(said.at) < limits::ISSUER_DOCUMENTS).cloned();
        let was_asked = self.asked_at.is_some_and(|at| now.monotonic.since(at) < limits::ISSUER_LOOK_AGAIN);
        match young {
            Some(said) if !must_ask || was_asked => return Ok(said),
            None if was_asked => return Err(Disbelief::unavailable(issuer, "it was asked a moment ago")),
            _ => {}
        }
        let fetched = fetch(issuer, ask, now).await;
        if must_ask || fetched.is_err() {
            self.asked_at = Some(now.monotonic);
        }
        match fetched {
            Ok(said) => Ok(self.said.insert(said).clone()),
            Err(why) => {
                tracing::warn!(issuer = issuer.issuer, why, "an issuer of tokens could not be asked: {why}");
                young.ok_or_else(|| Disbelief::unavailable(issuer, &why))
            }
        }
    }
}

fn named(keys: &[Jwk], id: Option<&str>) -> Vec<Jwk> {
    let is_meant = |key: &&Jwk| match (id, key.common.key_id.as_deref()) {
        (Some(id), Some(own)) => id == own,
        // An issuer with a single key may name it nowhere (RFC 7515 §4.1.4).
        (None, _) => keys.len() == 1,
        (Some(_), None) => false,
    };
    keys.iter().filter(is_meant).cloned().collect()
}

async fn fetch(issuer: &Issuer, ask: &dyn AskIssuers, now: Now) -> Result<Said, String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.issuer.trim_end_matches('/'));
    let discovery = get(ask, url).await?;
    let discovery: Discovery = serde_json::from_slice(&discovery)
        .map_err(|error| format!("its discovery document cannot be read: {error}"))?;
    if discovery.issuer != issuer.issuer {
        return Err(format!("its discovery document is of another issuer, `{}`", discovery.issuer));
    }
    let set = get(ask, discovery.jwks_uri).await?;
    let set: KeySet<'_> = serde_json::from_slice(&set).map_err(|error| format!("its keys cannot be read: {error}"))?;
    if set.keys.len() > limits::ISSUER_KEYS {
        return Err(format!("it shows {} keys, more than {}", set.keys.len(), limits::ISSUER_KEYS));
    }
    let keys = set.keys.iter().filter_map(|text| serde_json::from_str::<Jwk>(text.get()).ok());
    let keys = keys.filter(|key| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption)));
    let endpoints = Endpoints { authorization: discovery.authorization_endpoint, token: discovery.token_endpoint };
    Ok(Said { endpoints, keys: keys.collect(), at: now.monotonic })
}

async fn get(ask: &dyn AskIssuers, url: String) -> Result<bytes::Bytes, String> {
    let told = ask.ask(Question { url: url.clone(), form: None, authorization: None }).await;
    let told = told.map_err(|error| format!("{url}: {}", error.0))?;
    if told.status == 200 { Ok(told.body) } else { Err(format!("{url} answered {}", told.status)) }
}
