//! What a caller may do at all: addresses, endpoints, models (`keys.md` §2.1 steps 8, 9 and 12).
//!
//! Each is judged as the key and its place enforce it; only behind that once more by the key's shadow, which refuses
//! nothing and tells the record.

use crate::node::Node;
use crate::observe::Trace;
use crate::respond::{Refusal, Rule};
use crate::snapshot::{KeyEntry, Tenant};
use claviger_domain::address::{AddressRefused, Cidr, ClientAddress, check_lists, client_address};
use claviger_domain::catalog::Model;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::key::Restrictions;
use claviger_domain::place::matches_any;
use http::HeaderMap;
use std::net::SocketAddr;

/// The client of a request: the peer, or who a trusted proxy says it is.
pub(crate) fn client_of(node: &Node, peer: SocketAddr, headers: &HeaderMap) -> ClientAddress {
    let (trusted, header) = (&node.settings.trusted_proxies, node.settings.forwarded);
    if trusted.is_empty() {
        return ClientAddress::Known(peer.ip().to_canonical());
    }
    let lines = headers.get_all(header.name()).iter().map(http::HeaderValue::as_bytes);
    client_address(peer.ip(), trusted, header, lines)
}

/// Step 8: the key's lists, then the organization's.
///
/// # Errors
/// 403 `ip_not_allowed`, `client_ip_unknown`.
pub(crate) fn check_address(key: &KeyEntry, tenant: &Tenant, trace: &mut Trace) -> Result<(), Refusal> {
    let policy = key.policy();
    let client = trace.address;
    let lists = |restrictions: &Restrictions| {
        check_lists(restrictions.ips_denied.as_deref(), restrictions.ips.as_deref(), client)
    };
    lists(&policy.enforced).map_err(|why| address_refused(why, "key", &policy.enforced))?;
    let allowed: Option<&[Cidr]> = tenant.allowed_ips.as_deref();
    check_lists(None, allowed, client).map_err(|why| address_refused(why, "organization", &Restrictions::default()))?;
    if let Some(Err(why)) = policy.shadow.as_deref().map(lists) {
        trace.note_would_refuse(match why {
            AddressRefused::NotAllowed(_) => Code::IpNotAllowed,
            AddressRefused::Unknown => Code::ClientIpUnknown,
        });
    }
    Ok(())
}

/// The message shows the address that was seen, never the list.
fn address_refused(why: AddressRefused, whose: &'static str, lists: &Restrictions) -> Refusal {
    let is_denied = |address| lists.ips_denied.iter().flatten().any(|network| network.contains(address));
    match why {
        AddressRefused::Unknown => Refusal::from(Code::ClientIpUnknown).by(Rule {
            name: if whose == "key" { "key.ips" } else { "organization.allowed_ips" },
            value: String::new(),
        }),
        AddressRefused::NotAllowed(address) => {
            let message = format!("Requests from {address} are not allowed for this {whose}.");
            let name = match whose {
                "key" if is_denied(address) => "key.ips_denied",
                "key" => "key.ips",
                _ => "organization.allowed_ips",
            };
            Refusal::from(PublicError::with_message(Code::IpNotAllowed, message))
                .by(Rule { name, value: address.to_string() })
        }
    }
}

/// Step 9: the endpoint. A key's own reading and ending are always allowed.
///
/// # Errors
/// 403 `endpoint_not_allowed`.
pub(crate) fn check_endpoint(key: &KeyEntry, operation: Operation, trace: &mut Trace) -> Result<(), Refusal> {
    let Some(endpoint) = operation.endpoint() else { return Ok(()) };
    check_endpoint_name(key, endpoint, trace)
}

/// The same for an endpoint by its name.
///
/// # Errors
/// 403 `endpoint_not_allowed`.
pub(crate) fn check_endpoint_name(key: &KeyEntry, endpoint: EndpointName, trace: &mut Trace) -> Result<(), Refusal> {
    let policy = key.policy();
    let allows =
        |restrictions: &Restrictions| restrictions.endpoints.as_ref().is_none_or(|list| list.contains(&endpoint));
    if !allows(&policy.enforced) {
        let message = format!("This key may not use the endpoint `{}`.", endpoint.name());
        return Err(Refusal::from(PublicError::with_message(Code::EndpointNotAllowed, message))
            .by(Rule { name: "key.endpoints", value: endpoint.name().to_owned() }));
    }
    if policy.shadow.as_deref().is_some_and(|shadow| !allows(shadow)) {
        trace.note_would_refuse(Code::EndpointNotAllowed);
    }
    Ok(())
}

/// Step 12: a model that the organization sees, asked for as `sent`.
///
/// # Errors
/// 403 `model_not_allowed`, of the environment or of the key.
pub(crate) fn check_model(
    (key, tenant): (&KeyEntry, &Tenant),
    sent: &str,
    model: &Model,
    trace: &mut Trace,
) -> Result<(), Refusal> {
    let policy = key.policy();
    let refused = |whose: &str, name: &'static str| {
        let message = format!("{whose} may not use the model `{sent}`.");
        Refusal::from(PublicError::with_message(Code::ModelNotAllowed, message).about("model"))
            .by(Rule { name, value: sent.to_owned() })
    };
    if tenant.places.as_ref().is_some_and(|places| !places.allows_model(key.environment(), sent, &model.id)) {
        return Err(refused("This key's environment", "environment.models"));
    }
    if !allows_model(&policy.enforced, sent, model) {
        return Err(refused("This key", "key.models"));
    }
    if policy.shadow.as_deref().is_some_and(|shadow| !allows_model(shadow, sent, model)) {
        trace.note_would_refuse(Code::ModelNotAllowed);
    }
    Ok(())
}

/// Whether the key and its environment may call a visible model, for lists.
pub(crate) fn is_callable(key: &KeyEntry, tenant: &Tenant, sent: &str, model: &Model) -> bool {
    let is_allowed_here =
        tenant.places.as_ref().is_none_or(|places| places.allows_model(key.environment(), sent, &model.id));
    is_allowed_here && allows_model(&key.policy().enforced, sent, model)
}

fn allows_model(restrictions: &Restrictions, sent: &str, model: &Model) -> bool {
    restrictions.models.as_ref().is_none_or(|list| matches_any(list, sent, &model.id))
}
