//! The key as every reply shows it (`keys.md` §10), never with its secret.
//!
//! Members whose features do not exist yet are there with `null`, so that a client sees one shape for good.

use claviger_domain::key::{
    Class, EndReason, Key, Limits, Owner, Policy, Restrictions, StateChange, StoredSecret, is_safe_to_end,
};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::limits;
use claviger_domain::right::Role;
use claviger_domain::time::Timestamp;
use claviger_storage::KeyOwner;
use serde::Serialize;

const DAY: i64 = 24 * 3600;

/// `organization.project.api_key`, with our members behind OpenAI's.
#[derive(Serialize)]
pub(crate) struct KeyObject {
    object: &'static str,
    id: String,
    name: String,
    redacted_value: String,
    created_at: i64,
    last_used_at: Option<i64>,
    owner: Option<OwnerObject>,
    owner_project_access: Option<&'static str>,
    class: &'static str,
    test: bool,
    canary: bool,
    state: &'static str,
    flags: Vec<&'static str>,
    environment_id: String,
    source_tag: Option<String>,
    expires_at: Option<i64>,
    role: Option<&'static str>,
    limits: LimitsObject,
    policy: PolicyObject,
    shadow: Option<ShadowObject>,
    stored_in: Option<String>,
    secrets: Vec<SecretObject>,
    created_by: String,
    state_changed: Option<StateChanged>,
    version: i64,
}

#[derive(Serialize)]
pub(super) struct LimitsObject {
    rpm: Option<u32>,
    tpm: Option<u32>,
    concurrency: Option<u32>,
    burst: Option<u32>,
    budgets: [(); 0],
}

/// OpenAI's members, where the owner was looked up, beside the id that is always there.
#[derive(Serialize)]
struct OwnerObject {
    r#type: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<OwnerDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account: Option<OwnerDetails>,
}

#[derive(Serialize)]
struct OwnerDetails {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    role: &'static str,
    created_at: i64,
}

#[derive(Serialize)]
struct Lists {
    models: Option<Vec<String>>,
    endpoints: Option<Vec<&'static str>>,
    ips: Option<Vec<String>>,
    ips_denied: Option<Vec<String>>,
}

#[derive(Serialize)]
pub(crate) struct PolicyObject {
    #[serde(flatten)]
    lists: Lists,
    reach: &'static str,
    permissions: Vec<&'static str>,
}

#[derive(Serialize)]
struct ShadowObject {
    #[serde(flatten)]
    lists: Lists,
    rpm: Option<u32>,
    tpm: Option<u32>,
    concurrency: Option<u32>,
    burst: Option<u32>,
}

#[derive(Serialize)]
struct SecretObject {
    id: String,
    number: u32,
    redacted_value: String,
    created_at: i64,
    created_by: String,
    ends_at: Option<i64>,
    ended_at: Option<i64>,
    end_reason: Option<&'static str>,
    first_used_at: Option<i64>,
    last_used_at: Option<i64>,
    safe_to_end: bool,
}

#[derive(Serialize)]
struct StateChanged {
    at: i64,
    by: String,
    reason: Option<String>,
}

impl KeyObject {
    /// The object of a key at an instant, where secrets live as long.
    pub(crate) fn new(key: &Key, lifetimes: &Lifetimes, now: Timestamp) -> Self {
        Self {
            object: "organization.project.api_key",
            id: key.id.to_string(),
            name: key.name.clone(),
            redacted_value: key.redacted().to_owned(),
            created_at: key.created_at.seconds(),
            last_used_at: key.last_used_at.map(Timestamp::seconds),
            owner: key.owner.map(OwnerObject::new),
            owner_project_access: key.owner.map(|_| "active"),
            class: key.class.name(),
            test: key.is_test,
            canary: key.is_canary,
            state: key.state_within(lifetimes, now).name(),
            flags: flags(key, lifetimes, now),
            environment_id: key.environment.to_string(),
            source_tag: key.source_tag.clone(),
            expires_at: key.expires_at.map(Timestamp::seconds),
            role: key.role.map(claviger_domain::right::Role::name),
            limits: LimitsObject::of(key),
            policy: PolicyObject::new(&key.policy),
            shadow: key.policy.shadow.as_deref().map(ShadowObject::new),
            stored_in: key.stored_in.clone(),
            secrets: key.secrets.iter().map(|secret| SecretObject::new(key, secret, now)).collect(),
            created_by: key.created_by.clone(),
            state_changed: key.state_changed.as_ref().map(StateChanged::new),
            version: key.version,
        }
    }
}

impl KeyObject {
    /// Tells who the owner is, and whether they are still here.
    pub(crate) fn with_owner(mut self, of: Option<&KeyOwner>) -> Self {
        if let (Some(owner), Some(of)) = (self.owner.as_mut(), of) {
            let details = OwnerDetails {
                id: of.owner.to_string(),
                name: of.name.clone(),
                email: of.email.clone(),
                role: of.role.map_or("none", Role::name),
                created_at: of.created_at.seconds(),
            };
            match of.owner {
                Owner::User(_) => owner.user = Some(details),
                Owner::Agent(_) => owner.service_account = Some(details),
            }
            self.owner_project_access = Some(if of.is_here { "active" } else { "inactive" });
        }
        self
    }
}

impl LimitsObject {
    /// A key's own.
    pub(super) fn of(key: &Key) -> Self {
        let Limits { rpm, tpm, concurrency, burst } = key.policy.enforced.limits;
        Self { rpm, tpm, concurrency, burst, budgets: [] }
    }
}

impl PolicyObject {
    /// The object of a policy.
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            lists: Lists::new(&policy.enforced),
            reach: policy.reach.name(),
            permissions: policy.permissions.iter().map(|permission| permission.name()).collect(),
        }
    }
}

impl SecretObject {
    fn new(key: &Key, secret: &StoredSecret, now: Timestamp) -> Self {
        Self {
            id: secret.id.to_string(),
            number: secret.number,
            redacted_value: secret.redacted.clone(),
            created_at: secret.created_at.seconds(),
            created_by: secret.created_by.clone(),
            ends_at: secret.ends_at.map(Timestamp::seconds),
            ended_at: secret.ended(now).map(Timestamp::seconds),
            end_reason: secret.end_reason.map(EndReason::name),
            first_used_at: secret.first_used_at.map(Timestamp::seconds),
            last_used_at: secret.last_used_at.map(Timestamp::seconds),
            safe_to_end: is_safe_to_end(key, secret, now),
        }
    }
}

impl StateChanged {
    fn new(change: &StateChange) -> Self {
        Self { at: change.at.seconds(), by: change.by.clone(), reason: change.reason.clone() }
    }
}

impl OwnerObject {
    fn new(owner: Owner) -> Self {
        let kind = match owner {
            Owner::User(_) => "user",
            Owner::Agent(_) => "service_account",
        };
        Self { r#type: kind, id: owner.to_string(), user: None, service_account: None }
    }
}

impl Lists {
    fn new(of: &Restrictions) -> Self {
        fn texts<T: ToString>(list: Option<&Vec<T>>) -> Option<Vec<String>> {
            list.map(|list| list.iter().map(ToString::to_string).collect())
        }
        Self {
            models: texts(of.models.as_ref()),
            endpoints: of.endpoints.as_ref().map(|list| list.iter().map(|name| name.name()).collect()),
            ips: texts(of.ips.as_ref()),
            ips_denied: texts(of.ips_denied.as_ref()),
        }
    }
}

impl ShadowObject {
    fn new(of: &Restrictions) -> Self {
        let Limits { rpm, tpm, concurrency, burst } = of.limits;
        Self { lists: Lists::new(of), rpm, tpm, concurrency, burst }
    }
}

/// What deserves attention, worst first (`keys.md` §4); only flags whose grounds are kept.
pub(super) fn flags(key: &Key, lifetimes: &Lifetimes, now: Timestamp) -> Vec<&'static str> {
    let age = |since: Timestamp| now.seconds().saturating_sub(since.seconds());
    let is_expiring = key
        .end_within(lifetimes, now)
        .is_some_and(|at| at > now && at.seconds().saturating_sub(now.seconds()) <= 14 * DAY);
    let is_inference = key.class == Class::Inference;
    let is_within = |at: Option<Timestamp>, shown| at.is_some_and(|at| now < at.plus(shown));
    let is_exposed = key.exposed_at.is_some_and(|at| key.live_secrets(now).any(|secret| secret.created_at <= at));
    [
        ("rate_limited", is_within(key.rate_limited_at, limits::RATE_LIMITED_SHOWN)),
        ("exposed", is_exposed),
        ("rotation_due", key.rotation_due_since.is_some()),
        ("rotating", key.live_secrets(now).nth(1).is_some()),
        ("expiring", is_expiring),
        ("idle", key.last_used_at.is_some_and(|at| age(at) >= 90 * DAY)),
        ("never_used", key.last_used_at.is_none() && age(key.created_at) > DAY),
        ("new_caller", is_within(key.new_caller_at, limits::NEW_CALLER_SHOWN)),
        ("old", key.newest().map_or(0, |secret| age(secret.created_at)) >= 365 * DAY),
        ("no_expiry", key.expires_at.is_none()),
        ("no_budget", is_inference && !key.is_test),
    ]
    .into_iter()
    .filter_map(|(flag, holds)| holds.then_some(flag))
    .collect()
}
