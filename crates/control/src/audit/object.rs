//! An audit record in the shape of OpenAI's audit log, with its place in the chain besides.

use claviger_domain::audit::{Actor, AuditRecord};
use claviger_storage::AuditEntry;
use serde_json::{Map, Value, json};

/// `{id, type, effective_at, actor, project, "<type>": {…}, seq, hash}`. `users` are the people the page speaks of.
pub(super) fn shown(entry: &AuditEntry, environment_name: impl Fn(&str) -> Option<String>) -> Value {
    let record = &entry.record;
    let kind = record.action.name();
    let mut object = Map::new();
    object.insert("object".to_owned(), json!("organization.audit_log"));
    object.insert("id".to_owned(), json!(record.id));
    object.insert("type".to_owned(), json!(kind));
    object.insert("effective_at".to_owned(), json!(record.attribution.at.seconds()));
    object.insert("actor".to_owned(), actor(record));
    let project = entry.environment.as_ref().map(|id| json!({ "id": id, "name": environment_name(id) }));
    object.insert("project".to_owned(), project.unwrap_or(Value::Null));
    object.insert(kind.to_owned(), detail(record));
    object.insert("outcome".to_owned(), json!(record.outcome.name()));
    object.insert("request_id".to_owned(), some(&record.attribution.request_id));
    object.insert("seq".to_owned(), json!(record.sequence));
    object.insert("hash".to_owned(), json!(hex(&entry.hash)));
    Value::Object(object)
}

fn actor(record: &AuditRecord) -> Value {
    let by = &record.attribution;
    let (kind, id) = by.actor.parts();
    match &by.actor {
        Actor::Key(key) => json!({
            "type": "api_key",
            "api_key": { "id": key, "type": "user" },
            "ip_address": some(&by.address),
            "user_agent": some(&by.client),
        }),
        Actor::User(user) | Actor::Operator(user) => json!({
            "type": "session",
            "session": {
                "id": some(&by.credential),
                "user": { "id": user },
                "ip_address": some(&by.address),
                "user_agent": some(&by.client),
            },
        }),
        _ => json!({
            "type": kind,
            kind: { "id": id },
            "ip_address": some(&by.address),
            "user_agent": some(&by.client),
        }),
    }
}

fn detail(record: &AuditRecord) -> Value {
    let mut requested = Map::new();
    for change in &record.changes {
        requested.insert(change.field.clone(), json!({ "from": change.from, "to": change.to }));
    }
    let mut detail = Map::new();
    detail.insert("id".to_owned(), json!(record.target));
    detail.insert("changes_requested".to_owned(), Value::Object(requested));
    if let Some(confirmed) = &record.confirmation {
        detail.insert("confirmation".to_owned(), json!(confirmed));
    }
    Value::Object(detail)
}

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
