//! What an audit record says of a change of a key: every field that differs, never a digest.

use super::change;
use crate::key_policy;
use crate::key_row::described;
use claviger_domain::audit::FieldChange;
use claviger_domain::key::{Key, StoredSecret};
use claviger_domain::right::Role;
use claviger_domain::time::Timestamp;

/// Every field of a key just made that has a value.
pub(super) fn of_new(key: &Key) -> Vec<FieldChange> {
    let mut all = vec![
        ("name", Some(key.name.clone())),
        ("class", Some(key.class.name().to_owned())),
        ("environment_id", Some(key.environment.to_string())),
        ("test", key.is_test.then(|| "true".to_owned())),
        ("canary", key.is_canary.then(|| "true".to_owned())),
    ];
    all.extend(fields(key).into_iter().filter(|(name, _)| !["name", "state"].contains(name)));
    all.into_iter().filter(|(_, value)| value.is_some()).map(|(name, value)| change(name, None, value)).collect()
}

/// Every field that differs.
pub(super) fn between(former: &Key, next: &Key) -> Vec<FieldChange> {
    let mut changes: Vec<FieldChange> = fields(former)
        .into_iter()
        .zip(fields(next))
        .filter(|((_, from), (_, to))| from != to)
        .map(|((name, from), (_, to))| change(name, from, to))
        .collect();
    for secret in &next.secrets {
        match former.secrets.iter().find(|candidate| candidate.id == secret.id) {
            None => changes.push(change("secrets", None, Some(format!("{} (number {})", secret.id, secret.number)))),
            Some(before) => changes.extend(between_secrets(before, secret)),
        }
    }
    changes
}

fn fields(key: &Key) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("state", Some(described(key.state))),
        ("name", Some(key.name.clone())),
        ("source_tag", key.source_tag.clone()),
        ("owner", key.owner.map(|owner| owner.to_string())),
        ("role", key.role.map(Role::name).map(str::to_owned)),
        ("expires_at", key.expires_at.map(Timestamp::rfc3339)),
        ("policy", key_policy::cell(&key.policy)),
        ("stored_in", key.stored_in.clone()),
        ("exposed_at", key.exposed_at.map(Timestamp::rfc3339)),
        ("rotation_due_since", key.rotation_due_since.map(Timestamp::rfc3339)),
    ]
}

fn between_secrets(former: &StoredSecret, next: &StoredSecret) -> Vec<FieldChange> {
    let told = |secret: &StoredSecret| {
        [
            ("ends_at", secret.ends_at.map(Timestamp::rfc3339)),
            ("ended_at", secret.ended_at.map(Timestamp::rfc3339)),
            ("end_reason", secret.end_reason.map(|reason| reason.name().to_owned())),
            ("redacted_value", Some(secret.redacted.clone())),
        ]
    };
    told(former)
        .into_iter()
        .zip(told(next))
        .filter(|((_, from), (_, to))| from != to)
        .map(|((name, from), (_, to))| change(&format!("secrets.{}.{name}", next.id), from, to))
        .collect()
}
