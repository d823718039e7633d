//! The organization and its key policy, as every reply shows them.

use claviger_domain::tenancy::{Organization, OrganizationPolicy};
use serde::Serialize;

/// `organization`.
#[derive(Serialize)]
pub(crate) struct OrganizationObject {
    object: &'static str,
    id: String,
    slug: String,
    name: String,
    state: &'static str,
    reason: Option<String>,
    reporting_zone: String,
    max_keys: u32,
    live_keys: u32,
    key_prefix: Option<String>,
    default_environment_id: String,
    created_at: i64,
    version: i64,
}

impl OrganizationObject {
    /// The object of an organization with as many live keys.
    pub(crate) fn new(organization: &Organization, live_keys: u32) -> Self {
        Self {
            object: "organization",
            id: organization.id.to_string(),
            slug: organization.slug.clone(),
            name: organization.name.clone(),
            state: organization.state.name(),
            reason: organization.state_reason.clone(),
            reporting_zone: organization.reporting_zone.clone(),
            max_keys: organization.keys_max,
            live_keys,
            key_prefix: organization.key_prefix.clone(),
            default_environment_id: organization.default_environment.to_string(),
            created_at: organization.created_at.seconds(),
            version: organization.version,
        }
    }
}

/// `organization.policy`.
#[derive(Serialize)]
pub(crate) struct PolicyObject {
    object: &'static str,
    creators: &'static str,
    max_lifetime_days: Option<u32>,
    max_lifetime_binds_at: Option<i64>,
    suggested_expiry_days: Option<u32>,
    require_source_tag: bool,
    allowed_ips: Option<Vec<String>>,
    leak_action: &'static str,
    finish_when_quiet_hours: Option<u32>,
    developers_see_all: bool,
    version: i64,
}

impl PolicyObject {
    /// The object of a policy, at the organization's version.
    pub(crate) fn new(policy: &OrganizationPolicy, version: i64) -> Self {
        Self {
            object: "organization.policy",
            creators: policy.creators.name(),
            max_lifetime_days: policy.lifetimes.current.map(|current| current.days),
            max_lifetime_binds_at: policy.lifetimes.current.map(|current| current.binds_at.seconds()),
            suggested_expiry_days: policy.suggested_expiry_days,
            require_source_tag: policy.require_source_tag,
            allowed_ips: policy.allowed_ips.as_ref().map(|list| list.iter().map(ToString::to_string).collect()),
            leak_action: policy.leak_action.name(),
            finish_when_quiet_hours: policy.finish_when_quiet_hours,
            developers_see_all: policy.developers_see_all,
            version,
        }
    }
}
