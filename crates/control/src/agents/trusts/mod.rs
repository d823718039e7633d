//! Trusts of agents: which tokens of which issuer become their keys. One file per operation, and the object they show.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;

use crate::keys::PolicyObject;
use claviger_domain::key::Limits;
use claviger_domain::trust::Trust;
use serde::Serialize;
use std::collections::BTreeMap;

/// `organization.project.service_account.trust`.
#[derive(Serialize)]
pub(crate) struct TrustObject {
    object: &'static str,
    id: String,
    service_account_id: String,
    issuer: String,
    audience: String,
    subject: String,
    claims: BTreeMap<String, String>,
    ttl_seconds: u64,
    single_use: bool,
    source_tag: Option<String>,
    limits: LimitsObject,
    policy: PolicyObject,
    created_at: i64,
    created_by: String,
}

#[derive(Serialize)]
struct LimitsObject {
    rpm: Option<u32>,
    tpm: Option<u32>,
    concurrency: Option<u32>,
    burst: Option<u32>,
}

impl TrustObject {
    /// The object of a trust.
    fn new(trust: &Trust) -> Self {
        let Limits { rpm, tpm, concurrency, burst } = trust.policy.enforced.limits;
        Self {
            object: "organization.project.service_account.trust",
            id: trust.id.to_string(),
            service_account_id: trust.agent.to_string(),
            issuer: trust.issuer.clone(),
            audience: trust.audience.clone(),
            subject: trust.subject.to_string(),
            claims: trust.claims.clone(),
            ttl_seconds: trust.ttl.as_secs(),
            single_use: trust.is_single_use,
            source_tag: trust.source_tag.clone(),
            limits: LimitsObject { rpm, tpm, concurrency, burst },
            policy: PolicyObject::new(&trust.policy),
            created_at: trust.created_at.seconds(),
            created_by: trust.created_by.clone(),
        }
    }
}
