//! Who calls, asked of the store: management needs the current truth, not a node's memory.
//!
//! What they may do is not decided here.

use crate::authorize::require_moving;
use crate::leaks;
use crate::presented::{self, Presented, UNKNOWN};
use crate::respond::Refusal;
use crate::serve::{Control, Origin};
use crate::session::{self, LiveSession};
use claviger_domain::address::{ClientAddress, check_lists};
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::credential;
use claviger_domain::endpoint::{Authentication, Row};
use claviger_domain::error::Code;
use claviger_domain::id::RequestId;
use claviger_domain::key::{
    Class, Key, KeyState, Prefixes, StoredSecret, mask, told_of_ended_secret, told_of_old_secret,
};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::limits;
use claviger_domain::notice::NoticeKind;
use claviger_domain::tenancy::Organization;
use claviger_domain::time::{Now, Timestamp};
use claviger_storage::SecretUse;
use http::{HeaderMap, header};

/// A caller whose credential is good, or who needs none.
pub(crate) enum Caller {
    /// Whoever it is: the row asks for no credential, or the body carries its own proof.
    Nobody {
        /// For the audit record.
        attribution: Attribution,
    },
    /// Whoever can read the data directory.
    LocalOperator {
        /// For the audit record.
        attribution: Attribution,
    },
    /// A key of a class that the row takes.
    Key {
        /// The key as the store has it now.
        key: Box<Key>,
        /// Its organization.
        organization: Box<Organization>,
        /// For the audit record.
        attribution: Attribution,
    },
    /// A signed-in person.
    Session {
        /// The session and its user.
        live: Box<LiveSession>,
        /// For the audit record.
        attribution: Attribution,
    },
}

/// Decides who calls, in the order of `keys.md` §2.1.
pub(crate) async fn authenticate(
    control: &Control,
    origin: Origin,
    row: &Row,
    headers: &HeaderMap,
    request_id: RequestId,
    now: Now,
) -> Result<Caller, Refusal> {
    let attribution = |actor| Attribution::local(actor, request_id.to_string(), now.wall);
    let (address, is_known) = match origin {
        Origin::LocalOperator => {
            return Ok(Caller::LocalOperator { attribution: attribution(Actor::LocalOperator) });
        }
        Origin::Network { address, is_known } => (address, is_known),
    };
    let accepted = row.authentication;
    match accepted {
        Authentication::Public | Authentication::Signature | Authentication::Possession => {
            let (address, client) = (address.ip().to_string(), client(headers));
            return Ok(Caller::Nobody { attribution: Attribution { address, client, ..attribution(Actor::Nobody) } });
        }
        Authentication::InferenceKey
        | Authentication::AnyKey
        | Authentication::AdminKey
        | Authentication::Session
        | Authentication::Operator => {}
    }
    let signed = |actor, credential| Attribution {
        credential,
        address: address.ip().to_string(),
        client: client(headers),
        ..attribution(actor)
    };
    if let Some(live) = signed_in(control, row, headers, now).await? {
        let attribution = signed(Actor::User(live.user.id.to_string()), live.session.id.to_string());
        return Ok(Caller::Session { live: Box::new(live), attribution });
    }
    if accepted == Authentication::Session {
        return Err(Code::SessionRequired.into());
    }
    let text = presented_text(headers)?;
    let prefixes = &control.settings().prefixes;
    let found = presented::find(control, text).await?;
    let Presented { key, secret, organization } = found.map_err(|sentence| incorrect(text, prefixes, &sentence))?;
    if key.is_canary {
        leaks::alarms::raise(control, NoticeKind::CanaryHit, &key, row.path, signed(Actor::Nobody, String::new()));
        return Err(incorrect(text, prefixes, UNKNOWN));
    }
    let at = control.rights().latest(now);
    check_state(&key, &secret, &organization.policy.lifetimes, at).map_err(|(code, reason)| {
        Refusal::because(code, format!("Incorrect API key provided: {}. {reason}", mask(text, prefixes)))
    })?;
    require_moving(&organization)?;
    let client = if is_known { ClientAddress::Known(address.ip().to_canonical()) } else { ClientAddress::Unknown };
    check_address(&key, &organization, client)?;
    if key.class != Class::Admin && accepted != Authentication::AnyKey {
        return Err(Code::AdminKeyRequired.into());
    }
    stamp(control, &key, &secret, now.wall).await;
    let attribution = signed(Actor::Key(key.id.to_string()), key.id.to_string());
    Ok(Caller::Key { key: Box::new(key), organization: Box::new(organization), attribution })
}

/// Step 8: the key's lists, then the organization's.
fn check_address(key: &Key, organization: &Organization, client: ClientAddress) -> Result<(), Refusal> {
    let lists = &key.policy.enforced;
    let own = check_lists(lists.ips_denied.as_deref(), lists.ips.as_deref(), client).map_err(|_| "key");
    let checked = own.and_then(|()| {
        check_lists(None, organization.policy.allowed_ips.as_deref(), client).map_err(|_| "organization")
    });
    match (checked, client) {
        (Err(whose), ClientAddress::Known(address)) => {
            let message = format!("Requests from {address} are not allowed for this {whose}.");
            Err(Refusal::because(Code::IpNotAllowed, message))
        }
        (Err(_), ClientAddress::Unknown) => Err(Code::ClientIpUnknown.into()),
        (Ok(()), _) => Ok(()),
    }
}

/// The session of the request's cookie, which counts only where no key header came. An ended one is refused, so that a
/// browser learns of it.
async fn signed_in(
    control: &Control,
    row: &Row,
    headers: &HeaderMap,
    now: Now,
) -> Result<Option<LiveSession>, Refusal> {
    let has_key = headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION);
    let Some(token) = session::presented(headers, &control.settings().public_url).filter(|_| !has_key) else {
        return Ok(None);
    };
    session::check_origin(control, row.method, headers)?;
    let live = session::find(control, &token, now.wall).await?.ok_or(Code::SessionRequired)?;
    Ok(Some(live))
}

/// What the client calls itself: at most 40 characters of the first product of its user agent (`keys.md` §3).
pub(crate) fn client(headers: &HeaderMap) -> String {
    let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(' ').next().unwrap_or_default().chars().take(limits::CLIENT_CHARACTERS).collect()
}

/// Writes the last use, at most once in the interval that last uses may be late by.
async fn stamp(control: &Control, key: &Key, secret: &StoredSecret, now: Timestamp) {
    if secret.last_used_at.is_some_and(|at| now < at.plus(limits::LAST_USE_FLUSH)) {
        return;
    }
    let used = SecretUse { key: key.id, secret: secret.id, at: now };
    if let Err(error) = control.store().stamp_last_uses(&[used]).await {
        // A stamp is worth less than the answer; the next use stamps again.
        tracing::warn!(error = %error, key = %key.id, "a last use could not be written");
    }
}

/// The credential that counts.
pub(crate) fn presented_text(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    let all = |name: &str| headers.get_all(name).iter().count();
    let first = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    let x_api_key = "x-api-key";
    let authorization = header::AUTHORIZATION.as_str();
    let presented = credential::Presented {
        x_api_key: first(x_api_key),
        authorization: first(authorization),
        is_repeated: all(x_api_key) > 1 || all(authorization) > 1,
    };
    Ok(credential::choose(&presented)?)
}

/// The code and sentence of a state that admits nothing, worst first (`keys.md` §2.1 step 6).
fn check_state(key: &Key, secret: &StoredSecret, lifetimes: &Lifetimes, now: Timestamp) -> Result<(), (Code, String)> {
    let state = key.state_at(now);
    if matches!(state, KeyState::Revoked { .. }) {
        return Err(state.told());
    }
    if let Some(at) = secret.ended(now) {
        return Err(told_of_ended_secret(at));
    }
    let too_old = lifetimes.end_of(secret.created_at);
    match (state, too_old) {
        (KeyState::Expired { .. }, _) => Err(state.told()),
        (_, Some((at, days))) if now >= at => Err(told_of_old_secret(at, days)),
        (KeyState::Active, _) => Ok(()),
        _ => Err(state.told()),
    }
}

/// A text that is no key of this server's.
pub(crate) fn incorrect(text: &[u8], prefixes: &Prefixes, sentence: &str) -> Refusal {
    Refusal::because(Code::InvalidApiKey, format!("Incorrect API key provided: {}. {sentence}", mask(text, prefixes)))
}
