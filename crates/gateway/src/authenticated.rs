//! Stage 3: the credential becomes a caller, from memory alone (`keys.md` §2.1, steps 1 to 9).

use crate::matched::Matched;
use crate::node::Node;
use crate::observe::Trace;
use crate::respond::Refusal;
use crate::snapshot::KeyEntry;
use claviger_domain::credential::{self, Presented};
use claviger_domain::endpoint::Authentication;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::key::{Class, KeyState, KeyText, Prefixes, mask};
use claviger_domain::tenancy::OrganizationState;
use http::{HeaderMap, header};
use std::sync::Arc;

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) key: Arc<KeyEntry>,
}

/// A request with its caller.
pub(crate) struct Authenticated {
    pub(crate) matched: Box<Matched>,
    pub(crate) caller: Caller,
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
        match find_caller(&matched, node, trace) {
            Ok(caller) => {
                caller.key.used(trace.arrived.wall);
                trace.caller = Some(caller.clone());
                Ok(Self { matched, caller, _made_here: () })
            }
            Err(refusal) => Err(Box::new((refusal, matched))),
        }
    }
}

fn find_caller(matched: &Matched, node: &Node, trace: &mut Trace) -> Result<Caller, Refusal> {
    let head = &matched.received.head;
    let prefixes = &node.settings.prefixes;
    let text = credential::choose(&presented(&head.headers))?;
    if node.settings.is_tls_required && !trace.client.ip().is_loopback() {
        return Err(Code::TlsRequired.into());
    }
    let parsed =
        KeyText::parse(text, prefixes).map_err(|diagnosis| incorrect(text, prefixes, &diagnosis.sentence()))?;
    let found = node.snapshot.keys.find_presented(parsed.id, text, &node.settings.peppers);
    // The clock is read after the look-up: what was found must have been believable then.
    let now = node.now();
    if !node.snapshot.is_fresh(now.monotonic) {
        return Err(Code::AuthorizationStale.into());
    }
    let Some(key) = found else {
        return Err(incorrect(text, prefixes, "No key of this server matches it."));
    };
    let caller = Caller { key };
    // From here on the secret has matched: refusals are told why, and leave a record.
    trace.caller = Some(caller.clone());
    check_state(&caller.key, node).map_err(|refused| refused.told(text, prefixes))?;
    check_class(caller.key.class, matched.found.row.authentication)?;
    Ok(caller)
}

/// A key that may not be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotUsable {
    /// The key's own state.
    State(KeyState),
    /// Its organization is suspended or closed.
    Suspended,
}

impl NotUsable {
    /// The refusal; the presented text, if there is one, begins its message.
    pub(crate) fn told(self, text: &[u8], prefixes: &Prefixes) -> Refusal {
        let (code, reason) = match self {
            Self::Suspended => return Code::OrganizationSuspended.into(),
            Self::State(KeyState::Revoked { at }) => {
                (Code::KeyRevoked, format!("This key was revoked on {}.", at.date()))
            }
            Self::State(KeyState::Expired { at }) => {
                (Code::KeyExpired, format!("This key expired at {}.", at.rfc3339()))
            }
            Self::State(_) => (
                Code::KeyDisabled,
                "This key is disabled; an administrator of its organization can enable it.".to_owned(),
            ),
        };
        let shown = mask(text, prefixes);
        PublicError::with_message(code, format!("Incorrect API key provided: {shown}. {reason}")).into()
    }
}

/// Steps 6 and 7; asked at authentication and once more at the hold.
pub(crate) fn check_state(key: &KeyEntry, node: &Node) -> Result<(), NotUsable> {
    match key.state(node.now().wall) {
        KeyState::Active => {}
        state => return Err(NotUsable::State(state)),
    }
    let state = node.snapshot.find_organization(key.organization).map(|organization| organization.state);
    match state {
        Some(OrganizationState::Active | OrganizationState::SetUp) => Ok(()),
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

fn presented(headers: &HeaderMap) -> Presented<'_> {
    let mut x_api_key = headers.get_all("x-api-key").iter();
    let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
    Presented {
        x_api_key: x_api_key.next().map(|line| line.as_bytes()),
        authorization: authorization.next().map(|line| line.as_bytes()),
        is_repeated: x_api_key.next().is_some() || authorization.next().is_some(),
    }
}

fn incorrect(text: &[u8], prefixes: &Prefixes, sentence: &str) -> Refusal {
    let shown = mask(text, prefixes);
    PublicError::with_message(Code::InvalidApiKey, format!("Incorrect API key provided: {shown}. {sentence}")).into()
}
