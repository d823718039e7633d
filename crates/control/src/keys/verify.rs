//! Whether a key that somebody presented elsewhere is good: so that other services can use these keys (`wire.md` W45).
//!
//! Always 200, in Unkey's shape; 400, 401, 403 and 429 are about the caller alone. The running node judges as it judges a
//! request, without a hold; permissions and credit are asked of the store. Nothing is told about keys of others: they are
//! as unknown as keys that do not exist, and so are revoked ones, but for the detail.

use crate::authorize::{Member, standing_of};
use crate::body::Fields;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::Code;
use claviger_domain::gcra::Reading;
use claviger_domain::key::{KnownKey, Verdict, Verified, VerifyAsk};
use claviger_domain::limits;
use claviger_domain::right::{Extent, Permission};
use claviger_domain::secret::Secret;
use serde::Serialize;
use std::net::IpAddr;

#[derive(Serialize)]
pub(crate) struct Reply {
    meta: RequestMeta,
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestMeta {
    request_id: String,
}

/// Members that say nothing about an unknown key are absent, so that every one of them is answered alike.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    valid: bool,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Milliseconds since 1970, as Unkey has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<KeyMeta>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratelimits: Option<Vec<RateLimit>>,
}

#[derive(Serialize)]
struct KeyMeta {
    environment_id: String,
    source_tag: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    id: String,
    external_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    name: &'static str,
    limit: u32,
    /// Milliseconds of the window.
    duration: u32,
    /// Milliseconds until nothing is owed any more.
    reset: u64,
    remaining: u32,
    exceeded: bool,
    auto_apply: bool,
}

/// What the body asks.
struct Ask {
    text: Secret<String>,
    endpoints: Vec<EndpointName>,
    permissions: Vec<Permission>,
    /// A word that nothing here has as its name: no key has that permission.
    is_beyond: bool,
    model: Option<String>,
    address: Option<IpAddr>,
    is_counted: bool,
    shown: Option<Vec<String>>,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Reply>, Refusal> {
    query.finish()?;
    if let Some(caller) = call.actor.key() {
        call.control.rights().self_service(caller.id)?;
    }
    let ask = read(&mut fields)?;
    fields.finish(&[])?;
    let by = call.actor.attribution();
    let verified = call.control.rights().verify(&VerifyAsk {
        text: ask.text.expose().as_bytes(),
        organization: call.actor.scope().0,
        environment: call.actor.seen_from(),
        model: ask.model.as_deref(),
        endpoints: &ask.endpoints,
        address: ask.address,
        is_counted: ask.is_counted,
        by,
    })?;
    let data = match verified {
        Verified::Unknown => Data { code: Verdict::NotFound.name(), ..Data::default() },
        Verified::Known(known) => judged(&call, &ask, *known).await?,
    };
    Ok(Json(Reply { meta: RequestMeta { request_id: by.request_id.clone() }, data }))
}

fn read(fields: &mut Fields) -> Result<Ask, Refusal> {
    let text = Secret::new(fields.required_text("key")?);
    let words = fields.text_or_texts("permissions")?.unwrap_or_default();
    let endpoints: Vec<EndpointName> = words.iter().filter_map(|word| EndpointName::from_name(word)).collect();
    let permissions: Vec<Permission> = words.iter().filter_map(|word| Permission::from_name(word)).collect();
    let address = match fields.text("ip")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::invalid("ip", "an IPv4 or IPv6 address"))?),
    };
    let is_counted = match fields.fields("credits")? {
        None => true,
        Some(mut credits) => {
            let cost = credits.count("cost", 0, 1)?.unwrap_or(1);
            credits.finish(&[])?;
            cost > 0
        }
    };
    let shown = match fields.value("ratelimits") {
        None | Some(serde_json::Value::Null) => None,
        Some(list) => Some(names(&list).ok_or_else(|| {
            Refusal::invalid("ratelimits", "a list of objects whose 'name' is 'requests' or 'tokens'")
        })?),
    };
    // Labels for somebody's statistics: taken, and kept nowhere.
    if fields.texts("tags")?.is_some_and(|tags| tags.len() > limits::VERIFY_TAGS) {
        return Err(Refusal::invalid("tags", format_args!("at most {} texts", limits::VERIFY_TAGS)));
    }
    Ok(Ask {
        text,
        is_beyond: endpoints.len() + permissions.len() < words.len(),
        endpoints,
        permissions,
        model: fields.text("model")?,
        address,
        is_counted,
        shown,
    })
}

fn names(list: &serde_json::Value) -> Option<Vec<String>> {
    let name = |item: &serde_json::Value| {
        let name = item.get("name")?.as_str()?;
        ["requests", "tokens"].contains(&name).then(|| name.to_owned())
    };
    list.as_array()?.iter().map(name).collect()
}

/// What the node said, and what only the store knows: permissions, credit.
async fn judged(call: &Call<Member>, ask: &Ask, known: KnownKey) -> Result<Data, Refusal> {
    let store = call.control.store();
    let Some(key) = store.find_key(call.actor.scope(), known.id).await? else {
        // It was made or moved this very moment; a node that knows it is ahead of this reading.
        return Ok(Data { code: Verdict::NotFound.name(), ..Data::default() });
    };
    let standing = standing_of(&call.control, &key).await?;
    let creators = call.actor.organization().policy.creators;
    let has = |permission: &Permission| standing.extent(*permission, creators) != Extent::None;
    let mut refusals: Vec<Code> = known.refused.into_iter().collect();
    if ask.is_beyond || !ask.permissions.iter().all(has) {
        refusals.push(Code::PermissionDenied);
    }
    if !known.is_free && store.wallet(call.actor.scope()).await?.balance.0 <= 0 {
        refusals.push(Code::InsufficientQuota);
    }
    let mut told = (Verdict::Valid, None);
    for code in refusals {
        // What is about this server and not about the key has no word.
        let verdict = Verdict::of(Some(code)).ok_or(code)?;
        if verdict.step() < told.0.step() {
            told = (verdict, Some(code.text()));
        }
    }
    let permissions = Permission::ALL.iter().filter(|permission| has(permission)).map(|one| one.name()).collect();
    Ok(data(ask, known, told, permissions))
}

fn data(
    ask: &Ask,
    known: KnownKey,
    (verdict, detail): (Verdict, Option<&'static str>),
    permissions: Vec<&'static str>,
) -> Data {
    let is_asked = |name: &str| ask.shown.as_ref().is_none_or(|names| names.iter().any(|asked| asked == name));
    let limits = [("requests", known.requests), ("tokens", known.tokens)];
    let limits = limits.into_iter().filter_map(|(name, reading)| Some((name, reading?)));
    Data {
        valid: verdict == Verdict::Valid,
        code: verdict.name(),
        detail,
        key_id: Some(known.id.to_string()),
        name: Some(known.name),
        enabled: Some(known.is_enabled),
        expires: known.expires_at.map(|at| at.0 / 1000),
        meta: Some(KeyMeta { environment_id: known.environment.to_string(), source_tag: known.source_tag }),
        identity: known.owner.map(|owner| Identity { id: owner.to_string(), external_id: owner.to_string() }),
        permissions: Some(permissions),
        ratelimits: Some(
            limits.filter(|(name, _)| is_asked(name)).map(|(name, reading)| RateLimit::of(name, reading)).collect(),
        ),
    }
}

impl RateLimit {
    fn of(name: &'static str, reading: Reading) -> Self {
        Self {
            name,
            limit: reading.limit,
            duration: 60_000,
            reset: u64::try_from(reading.reset.as_millis()).unwrap_or(u64::MAX),
            remaining: reading.remaining,
            exceeded: reading.remaining == 0,
            auto_apply: true,
        }
    }
}
