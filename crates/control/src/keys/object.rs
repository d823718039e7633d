//! The key as every reply shows it (`keys.md` §10), never with its secret.
//!
//! Members whose features do not exist yet are there with `null`, so that a client sees one shape for good.

use claviger_domain::key::{Class, EndReason, Key, StoredSecret, StoredState};
use claviger_domain::time::Timestamp;
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
    owner: Option<()>,
    owner_project_access: Option<()>,
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
    shadow: Option<()>,
    stored_in: Option<()>,
    secrets: Vec<SecretObject>,
    created_by: Option<()>,
    state_changed: Option<StateChanged>,
    version: i64,
}

#[derive(Serialize)]
struct LimitsObject {
    rpm: Option<u32>,
    tpm: Option<u32>,
    concurrency: Option<u32>,
    burst: Option<u32>,
    budgets: [(); 0],
}

#[derive(Serialize)]
struct PolicyObject {
    models: Option<()>,
    endpoints: Option<()>,
    ips: Option<()>,
    ips_denied: Option<()>,
    reach: &'static str,
    permissions: [(); 0],
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
    by: Option<()>,
    reason: Option<&'static str>,
}

impl KeyObject {
    /// The object of a key at an instant.
    pub(crate) fn new(key: &Key, now: Timestamp) -> Self {
        Self {
            object: "organization.project.api_key",
            id: key.id.to_string(),
            name: key.name.clone(),
            redacted_value: key.redacted().to_owned(),
            created_at: key.created_at.seconds(),
            last_used_at: key.last_used_at.map(Timestamp::seconds),
            owner: None,
            owner_project_access: None,
            class: key.class.name(),
            test: key.is_test,
            canary: false,
            state: key.state.at(now, key.expires_at).name(),
            flags: flags(key, now),
            environment_id: key.environment.to_string(),
            source_tag: key.source_tag.clone(),
            expires_at: key.expires_at.map(Timestamp::seconds),
            role: key.role.map(claviger_domain::right::Role::name),
            limits: LimitsObject { rpm: None, tpm: None, concurrency: None, burst: None, budgets: [] },
            policy: PolicyObject {
                models: None,
                endpoints: None,
                ips: None,
                ips_denied: None,
                reach: "organization",
                permissions: [],
            },
            shadow: None,
            stored_in: None,
            secrets: key.secrets.iter().map(SecretObject::new).collect(),
            created_by: None,
            state_changed: StateChanged::new(key.state),
            version: key.version,
        }
    }
}

impl SecretObject {
    fn new(secret: &StoredSecret) -> Self {
        Self {
            id: secret.id.to_string(),
            number: secret.number,
            redacted_value: secret.redacted.clone(),
            created_at: secret.created_at.seconds(),
            created_by: secret.created_by.clone(),
            ends_at: secret.ends_at.map(Timestamp::seconds),
            ended_at: secret.ended_at.map(Timestamp::seconds),
            end_reason: secret.end_reason.map(EndReason::name),
            first_used_at: secret.first_used_at.map(Timestamp::seconds),
            last_used_at: secret.last_used_at.map(Timestamp::seconds),
            safe_to_end: false,
        }
    }
}

impl StateChanged {
    fn new(state: StoredState) -> Option<Self> {
        match state {
            StoredState::Enabled => None,
            StoredState::Disabled { at } => Some(Self { at: at.seconds(), by: None, reason: None }),
            StoredState::Revoked { at, reason } => {
                Some(Self { at: at.seconds(), by: None, reason: Some(reason.name()) })
            }
        }
    }
}

/// What deserves attention, worst first (`keys.md` §4); only flags whose grounds are kept.
fn flags(key: &Key, now: Timestamp) -> Vec<&'static str> {
    let age = |since: Timestamp| now.seconds().saturating_sub(since.seconds());
    let is_expiring =
        key.expires_at.is_some_and(|at| at > now && at.seconds().saturating_sub(now.seconds()) <= 14 * DAY);
    let is_inference = key.class == Class::Inference;
    [
        ("expiring", is_expiring),
        ("idle", key.last_used_at.is_some_and(|at| age(at) >= 90 * DAY)),
        ("never_used", key.last_used_at.is_none() && age(key.created_at) > DAY),
        ("old", key.newest().map_or(0, |secret| age(secret.created_at)) >= 365 * DAY),
        ("no_expiry", key.expires_at.is_none()),
        ("no_budget", is_inference && !key.is_test),
    ]
    .into_iter()
    .filter_map(|(flag, holds)| holds.then_some(flag))
    .collect()
}
