//! Stage 3: the credential becomes a caller, from memory alone (`keys.md` §2.1, steps 1 to 9).

use crate::alarms::Fact;
use crate::limits::{self, Pass};
use crate::matched::Matched;
use crate::node::Node;
use crate::observe::Trace;
use crate::respond::Refusal;
use crate::snapshot::{KeyEntry, Presented, Tenant, Unusable};
use claviger_domain::credential;
use claviger_domain::endpoint::Authentication;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::SecretId;
use claviger_domain::key::{self, Class, KeyState, KeyText, Prefixes, mask};
use claviger_domain::notice::NoticeKind;
use claviger_domain::tenancy::{OrganizationState, told_of_standstill};
use claviger_domain::time::Timestamp;
use http::{HeaderMap, HeaderName, header};
use std::net::IpAddr;
use std::sync::Arc;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) key: Arc<KeyEntry>,
    /// Which of the key's secrets was presented.
    pub(crate) secret: SecretId,
    pub(crate) tenant: Arc<Tenant>,
}

impl Caller {
    /// Whether a stream of this caller is to be cut, because key or secret leaked meanwhile.
    pub(crate) fn is_cut(&self, node: &Node, leaks_seen: &mut u64) -> bool {
        node.snapshot.keys.is_cut(self.key.id, self.secret, leaks_seen)
    }

    /// When what was presented stops by itself.
    pub(crate) fn stops_at(&self, node: &Node) -> Option<Timestamp> {
        let tenant = node.snapshot.find_organization(self.key.organization());
        self.key.stops_at(self.secret, tenant.as_ref().map(|tenant| &tenant.lifetimes))
    }
}

/// A request with its caller.
pub(crate) struct Authenticated {
    pub(crate) matched: Box<Matched>,
    pub(crate) caller: Caller,
    /// What it has taken of its limits.
    pub(crate) pass: Pass,
    /// Only this file makes one.
    _made_here: (),
}

impl Authenticated {
    /// Finds out who calls; no database, no byte of the body.
    ///
    /// # Errors
    /// 400 key in the URL or a repeated header; 401; 403; 503 when rights are too old to be believed.
    pub(crate) fn check(
        matched: Box<Matched>,
        node: &Node,
        trace: &mut Trace,
    ) -> Result<Self, Box<(Refusal, Box<Matched>)>> {
        let found = find_caller(&matched, node, trace).and_then(|caller| {
            node.used(&caller, trace.arrived.wall);
            let headers = &matched.received.head.headers;
            trace.counted = node.callers.seen(&caller, trace.client_ip(), headers, trace.arrived.wall);
            let pass = enter(&matched, &caller, node, trace)?;
            Ok((caller, pass))
        });
        match found {
            Ok((caller, pass)) => Ok(Self { matched, caller, pass, _made_here: () }),
            Err(refusal) => Err(Box::new((refusal, matched))),
        }
    }
}

fn find_caller(matched: &Matched, node: &Node, trace: &mut Trace) -> Result<Caller, Refusal> {
    let head = &matched.received.head;
    let prefixes = &node.settings.prefixes;
    trace.address = limits::client_of(node, trace.client, &head.headers);
    let text = credential::choose(&presented(&head.headers))?;
    #[cfg(feature = "bugs")]
    crate::bugs::secret_in_a_log_line(text);
    if is_in_the_clear(node, trace) {
        return Err(Code::TlsRequired.into());
    }
    let keys = &node.snapshot.keys;
    let id = match KeyText::parse(text, prefixes) {
        Ok(parsed) => Some(parsed.id),
        // Made elsewhere, perhaps: only an instance that holds such secrets looks, and then by digest.
        Err(_) if KeyText::may_be_foreign(text) && keys.has_foreign() => None,
        Err(diagnosis) => return Err(incorrect(text, prefixes, &diagnosis.sentence())),
    };
    let found = keys.find_presented(id, text, &node.settings.peppers);
    // The clock is read after the look-up: what was found must have been believable then.
    if !node.snapshot.is_fresh(node.monotonic()) {
        return Err(Code::AuthorizationStale.into());
    }
    if let Some(bait) = found.as_ref().filter(|found| found.key.is_canary) {
        alarm(node, trace, &head.headers, bait, NoticeKind::CanaryHit);
    }
    let found = found.filter(|found| !found.key.is_canary);
    let found = found.map(|found| (node.snapshot.find_organization(found.key.organization()), found));
    let Some((tenant, Presented { key, secret })) = found else {
        return Err(match KeyText::parse(text, prefixes) {
            Ok(_) => incorrect(text, prefixes, "No key of this server matches it."),
            Err(diagnosis) => incorrect(text, prefixes, &diagnosis.sentence()),
        });
    };
    // A key without an organization cannot be stored.
    let tenant = tenant.ok_or(Code::OrganizationSuspended)?;
    let caller = Caller { key, secret, tenant };
    // From here on the secret has matched: refusals are told why, and leave a record.
    trace.caller = Some(caller.clone());
    if let Err(refused) = check_state(&caller, node) {
        if refused.has_ended() {
            let presented = Presented { key: Arc::clone(&caller.key), secret: caller.secret };
            alarm(node, trace, &head.headers, &presented, NoticeKind::EndedKeyUsed);
        }
        return Err(refused.told(&caller.tenant, text, prefixes));
    }
    limits::check_address(&caller.key, &caller.tenant, trace)?;
    check_class(caller.key.class, matched.found.row.authentication)?;
    limits::check_endpoint(&caller.key, matched.found.row.operation, trace)?;
    Ok(caller)
}

/// Whether a request came over plain HTTP from another machine, where keys are not accepted.
fn is_in_the_clear(node: &Node, trace: &Trace) -> bool {
    node.settings.is_tls_required && is_elsewhere(trace.client.ip())
}

/// Whether a peer is another machine. The kernel of a listener on both protocols writes `::ffff:127.0.0.1`.
fn is_elsewhere(peer: IpAddr) -> bool {
    !peer.to_canonical().is_loopback()
}

/// Whether a request to the management plane brings a key over plain HTTP from another machine.
pub(crate) fn brings_key_in_the_clear(node: &Node, trace: &Trace, headers: &HeaderMap) -> bool {
    is_in_the_clear(node, trace) && credential::choose(&presented(headers)).is_ok()
}

/// Notes what the owners of a key want to know.
pub(crate) fn alarm(node: &Node, trace: &Trace, headers: &HeaderMap, presented: &Presented, kind: NoticeKind) {
    let (key, organization) = (presented.key.id, presented.key.organization());
    let fact = || Fact {
        kind,
        organization,
        key,
        secret: presented.secret,
        path: trace.operation.map_or("", |operation| operation.name()),
        by: node.stranger(trace.client_ip(), headers, (*trace.request_id_text).to_owned()),
    };
    node.alarms.raise(node.now().monotonic, fact, key, kind);
}

/// A key in the URL that is a real one is exposed: URLs end up in logs (W2).
pub(crate) fn alarm_of_url(node: &Node, trace: &Trace, headers: &HeaderMap, query: &[u8]) {
    for leak in key::leak::find(query, &node.settings.prefixes) {
        let text = query.get(leak.range.clone()).unwrap_or_default();
        let found = node.snapshot.keys.find_presented(Some(leak.key.id), text, &node.settings.peppers);
        if let Some(presented) = found {
            let kind = if presented.key.is_canary { NoticeKind::CanaryHit } else { NoticeKind::KeyExposed };
            alarm(node, trace, headers, &presented, kind);
        }
    }
}

/// Step 10. What a key asks about itself counts in a limit of its own.
fn enter(matched: &Matched, caller: &Caller, node: &Node, trace: &mut Trace) -> Result<Pass, Refusal> {
    match matched.found.row.operation {
        operation if operation.is_inference() => {
            let pass = limits::enter(node, &caller.key, &caller.tenant)?;
            if pass.would_refuse() {
                trace.note_would_refuse(Code::RateLimitExceeded);
            }
            Ok(pass)
        }
        _ => limits::self_service(node, &caller.key).map(|()| Pass::default()),
    }
}

/// A key that may not be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotUsable {
    /// The key, or the secret that was presented.
    Key(Unusable),
    /// Its organization is suspended or closed.
    Suspended,
}

impl NotUsable {
    /// Whether somebody ended it: whoever still uses it may not be meant to.
    fn has_ended(self) -> bool {
        matches!(self, Self::Key(Unusable::State(KeyState::Revoked { .. }) | Unusable::SecretEnded { .. }))
    }

    /// The refusal; the presented text, if there is one, begins its message.
    pub(crate) fn told(self, tenant: &Tenant, text: &[u8], prefixes: &Prefixes) -> Refusal {
        let (code, reason) = match self {
            Self::Suspended => {
                let told = told_of_standstill(tenant.state, tenant.state_reason.as_deref());
                let error = PublicError::new(Code::OrganizationSuspended);
                return told.map_or(error, |told| PublicError::with_message(Code::OrganizationSuspended, told)).into();
            }
            Self::Key(Unusable::State(state)) => state.told(),
            Self::Key(Unusable::SecretEnded { at }) => key::told_of_ended_secret(at),
            Self::Key(Unusable::TooOld { at, days }) => key::told_of_old_secret(at, days),
        };
        let shown = mask(text, prefixes);
        PublicError::with_message(code, format!("Incorrect API key provided: {shown}. {reason}")).into()
    }
}

/// Steps 6 and 7; asked at authentication and once more at the hold.
pub(crate) fn check_state(caller: &Caller, node: &Node) -> Result<(), NotUsable> {
    let Caller { key, secret, tenant } = caller;
    key.check(*secret, &tenant.lifetimes, node.latest()).map_err(NotUsable::Key)?;
    match tenant.state {
        OrganizationState::Active | OrganizationState::SetUp => Ok(()),
        _ => Err(NotUsable::Suspended),
    }
}

fn check_class(class: Class, accepted: Authentication) -> Result<(), Refusal> {
    match (accepted, class) {
        (Authentication::InferenceKey, Class::Admin) => Err(Code::InferenceKeyRequired.into()),
        (Authentication::AdminKey | Authentication::Operator, Class::Inference) => Err(Code::AdminKeyRequired.into()),
        _ => Ok(()),
    }
}

fn presented(headers: &HeaderMap) -> credential::Presented<'_> {
    let mut x_api_key = headers.get_all(X_API_KEY).iter();
    let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
    credential::Presented {
        x_api_key: x_api_key.next().map(|line| line.as_bytes()),
        authorization: authorization.next().map(|line| line.as_bytes()),
        is_repeated: x_api_key.next().is_some() || authorization.next().is_some(),
    }
}

fn incorrect(text: &[u8], prefixes: &Prefixes, sentence: &str) -> Refusal {
    let shown = mask(text, prefixes);
    PublicError::with_message(Code::InvalidApiKey, format!("Incorrect API key provided: {shown}. {sentence}")).into()
}

#[cfg(test)]
mod tests {
    use super::is_elsewhere;

    #[test]
    fn plain_http_is_for_callers_on_this_machine() {
        for peer in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert!(!is_elsewhere(peer.parse().unwrap()), "{peer}");
        }
        for peer in ["10.0.0.1", "192.0.2.2", "fd00::2", "::ffff:10.0.0.1", "0.0.0.0"] {
            assert!(is_elsewhere(peer.parse().unwrap()), "{peer}");
        }
    }
}
