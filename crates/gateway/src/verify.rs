//! What this node says of a key that was presented to somebody else (`keys.md` §4, *verify*): the checks of an admission,
//! from memory, without a hold.
//!
//! The same functions judge as judge a request. Who asks, what permissions the key carries and whether its organization
//! has credit is not known here.

use crate::admitted::find_permitted_model;
use crate::alarms::Fact;
use crate::authenticated::{Caller, check_state};
use crate::limits::{self, Seen};
use crate::node::{Gateway, Node};
use crate::observe::Trace;
use crate::respond::Refusal;
use crate::snapshot::Presented;
use claviger_domain::address::ClientAddress;
use claviger_domain::catalog::Pricing;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::KeyId;
use claviger_domain::key::{Class, KeyText, KnownKey, Verified, VerifyAsk};
use claviger_domain::notice::NoticeKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

impl Gateway {
    /// Takes one of the requests that a key may make about itself.
    ///
    /// # Errors
    /// 429.
    pub fn self_service(&self, key: KeyId) -> Result<(), PublicError> {
        let Some(entry) = self.0.snapshot.keys.find(key) else { return Ok(()) };
        limits::self_service(&self.0, &entry).map_err(|refusal| refusal.error)
    }

    /// Whether secrets made elsewhere are known: only then is a text of a foreign shape worth a look-up.
    pub fn has_foreign_keys(&self) -> bool {
        self.0.snapshot.keys.has_foreign()
    }

    /// What this node says of a presented key.
    ///
    /// # Errors
    /// 503 when rights are too old to be believed.
    pub fn verify(&self, ask: &VerifyAsk<'_>) -> Result<Verified, PublicError> {
        let node = &self.0;
        let keys = &node.snapshot.keys;
        let id = match KeyText::parse(ask.text, &node.settings.prefixes) {
            Ok(parsed) => Some(parsed.id),
            Err(_) if KeyText::may_be_foreign(ask.text) && keys.has_foreign() => None,
            Err(_) => return Ok(Verified::Unknown),
        };
        let found = keys.find_presented(id, ask.text, &node.settings.peppers);
        if !node.snapshot.is_fresh(node.monotonic()) {
            return Err(Code::AuthorizationStale.into());
        }
        let Some(Presented { key, secret }) = found else { return Ok(Verified::Unknown) };
        if key.is_canary {
            let fact = || Fact {
                kind: NoticeKind::CanaryHit,
                organization: key.organization(),
                key: key.id,
                secret,
                path: "keys.verify",
                by: ask.by.clone(),
            };
            node.alarms.raise(node.monotonic(), fact, key.id, NoticeKind::CanaryHit);
            return Ok(Verified::Unknown);
        }
        let is_elsewhere = ask.environment.is_some_and(|environment| environment != key.environment());
        let tenant = node.snapshot.find_organization(key.organization());
        let Some(tenant) = tenant.filter(|tenant| tenant.id == ask.organization && !is_elsewhere) else {
            return Ok(Verified::Unknown);
        };
        Ok(Verified::Known(Box::new(known(node, &Caller { key, secret, tenant }, ask))))
    }
}

fn known(node: &Node, caller: &Caller, ask: &VerifyAsk<'_>) -> KnownKey {
    let key = &caller.key;
    let mut judged = Judged { is_free: key.is_test, seen: Seen::default() };
    let refused = judge(node, caller, ask, &mut judged).err().map(|refusal| refusal.error.code);
    if judged.seen.shown.is_none() {
        judged.seen.shown = limits::look(node, key, &caller.tenant).shown;
    }
    let shown = judged.seen.shown.unwrap_or_default();
    KnownKey {
        id: key.id,
        name: key.name().to_owned(),
        is_enabled: key.is_enabled(),
        expires_at: caller.stops_at(node),
        environment: key.environment(),
        source_tag: key.source_tag().map(str::to_owned),
        owner: key.owner(),
        is_free: judged.is_free,
        refused,
        requests: shown.requests,
        tokens: shown.tokens,
    }
}

/// What was found out on the way.
struct Judged {
    is_free: bool,
    seen: Seen,
}

/// Steps 6 to 12 of `keys.md` §2.1, as far as was asked.
fn judge(node: &Node, caller: &Caller, ask: &VerifyAsk<'_>, judged: &mut Judged) -> Result<(), Refusal> {
    let Caller { key, tenant, .. } = caller;
    check_state(caller, node).map_err(|refused| refused.told(&caller.tenant, &[], &node.settings.prefixes))?;
    let mut trace = Trace::new(node, SocketAddr::new(ask.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0));
    if let Some(address) = ask.address {
        trace.address = ClientAddress::Known(address.to_canonical());
        limits::check_address(key, tenant, &mut trace)?;
    }
    if key.class == Class::Admin && (ask.model.is_some() || !ask.endpoints.is_empty()) {
        return Err(Code::InferenceKeyRequired.into());
    }
    for endpoint in ask.endpoints {
        limits::check_endpoint_name(key, *endpoint, &mut trace)?;
    }
    if ask.is_counted {
        // Places are free again at once; the request of the rate stays taken.
        let mut pass = limits::enter(node, key, tenant)?;
        limits::owe(node, &mut pass);
        judged.seen.shown = pass.shown();
        node.used(caller, trace.arrived.wall);
    } else {
        judged.seen = limits::look(node, key, tenant);
        if judged.seen.is_exhausted {
            return Err(Code::RateLimitExceeded.into());
        }
    }
    if let Some(id) = ask.model {
        let model = find_permitted_model(node, caller, id, &mut trace)?;
        judged.is_free |= matches!(model.pricing, Pricing::Free);
    }
    Ok(())
}
