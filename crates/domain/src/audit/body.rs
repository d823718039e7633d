//! The canonical text of a record: RFC 8785 JSON, and the personal values that stand beside it.
//!
//! Members are declared in the order of their names and hold only texts, whole numbers and truths, so that the compact
//! form of `serde_json` is the canonical one: minimal escapes, no spaces, nothing to be rounded. A text is read only if
//! writing it again gives the same bytes, which leaves no room for a second reading: no repeated member, no other order.

use super::{Action, Actor, Attribution, AuditKey, AuditRecord, Chain, Confirmed, FieldChange, Outcome};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What a salted digest begins with.
const SALTED: &str = "salted:";

/// Fields of changes whose values are words, numbers and ids: nothing a person could have typed about a person. Every
/// other field is salted, so that one that is forgotten here can be erased all the same.
const PLAIN: &[&str] = &[
    "allowed_ips_count",
    "amount",
    "at_deadline",
    "burst",
    "canary",
    "class",
    "concurrency",
    "count",
    "creators",
    "currency",
    "default_environment",
    "end_reason",
    "endpoints",
    "ends_at",
    "environment",
    "environment_id",
    "epoch",
    "expires_at",
    "exposed",
    "filter",
    "finish_when_quiet_hours",
    "format",
    "is_canary",
    "is_operator",
    "is_test",
    "key",
    "leak_action",
    "max_keys",
    "max_lifetime_days",
    "mode",
    "model",
    "model_ids",
    "models",
    "number",
    "owner",
    "permissions",
    "reach",
    "recipe",
    "require_source_tag",
    "role",
    "rows",
    "rpm",
    "secret",
    "seq",
    "signup",
    "source",
    "state",
    "suggested_expiry_days",
    "test",
    "token_type",
    "tpm",
    "version",
];

/// One personal value, beside the record that has only its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personal {
    /// Where it belongs: `ip`, `client`, `changes.0.to`.
    pub slot: String,
    /// Hexadecimal.
    pub salt: String,
    /// The value.
    pub value: String,
}

impl Personal {
    /// `salted:` and the digest of salt and value, as the record has it.
    pub fn digest(&self) -> String {
        let digest = Sha256::new().chain_update(self.salt.as_bytes()).chain_update(self.value.as_bytes()).finalize();
        format!("{SALTED}{}", hex(&digest))
    }
}

/// Why a text is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON of a record's shape.
    #[error("the record is not readable: {0}")]
    Shape(String),
    /// It reads, but these are not the bytes that were hashed.
    #[error("the record is not in its canonical form")]
    NotCanonical,
    /// A word has no meaning here.
    #[error("the record says {0}, which has no meaning here")]
    Word(String),
    /// A value beside the record is not the one its digest was made of.
    #[error("the value beside {0} is not the one that was recorded")]
    Value(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    action: String,
    actor: Who,
    at: i64,
    changes: Vec<FieldChange>,
    client: Option<String>,
    confirmation: Option<Confirmed>,
    credential: Option<String>,
    id: String,
    ip: Option<String>,
    org: Option<String>,
    outcome: String,
    prev: String,
    request_id: Option<String>,
    seq: i64,
    target: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    id: String,
    kind: String,
}

/// Collects the values that do not stand in the record itself.
struct Salting<'a> {
    key: &'a AuditKey,
    record: &'a str,
    personal: Vec<Personal>,
}

impl Salting<'_> {
    fn hide(&mut self, slot: String, value: &str) -> String {
        let salt = hex(&self.key.salt(self.record, &slot));
        let personal = Personal { slot, salt, value: value.to_owned() };
        let digest = personal.digest();
        self.personal.push(personal);
        digest
    }

    fn hide_some(&mut self, slot: &str, value: &str) -> Option<String> {
        (!value.is_empty()).then(|| self.hide(slot.to_owned(), value))
    }
}

/// The canonical text of a record, and what stands beside it.
pub(super) fn write(record: &AuditRecord, previous: &[u8; 32], key: &AuditKey) -> (String, Vec<Personal>) {
    let by = &record.attribution;
    let mut salting = Salting { key, record: &record.id, personal: Vec::new() };
    let ip = salting.hide_some("ip", &by.address);
    let client = salting.hide_some("client", &by.client);
    let mut changes = Vec::with_capacity(record.changes.len());
    for (index, change) in record.changes.iter().enumerate() {
        let mut side = |name: &str, value: &Option<String>| match value {
            Some(value) if !is_plain(&change.field) => Some(salting.hide(format!("changes.{index}.{name}"), value)),
            other => other.clone(),
        };
        let (from, to) = (side("from", &change.from), side("to", &change.to));
        changes.push(FieldChange { field: change.field.clone(), from, to });
    }
    let (kind, id) = by.actor.parts();
    let body = Body {
        action: record.action.name().to_owned(),
        actor: Who { id: id.to_owned(), kind: kind.to_owned() },
        at: by.at.0,
        changes,
        client,
        confirmation: record.confirmation.clone(),
        credential: some(&by.credential),
        id: record.id.clone(),
        ip,
        org: match record.chain {
            Chain::Instance => None,
            Chain::Organization(id) => Some(id.to_string()),
        },
        outcome: record.outcome.name().to_owned(),
        prev: hex(previous),
        request_id: some(&by.request_id),
        seq: record.sequence,
        target: record.target.clone(),
    };
    let personal = salting.personal;
    // A body of texts and whole numbers is always JSON.
    (serde_json::to_string(&body).unwrap_or_default(), personal)
}

/// A record from its canonical text, with the hash of the record before it.
pub(super) fn read(text: &str, personal: &[Personal]) -> Result<(AuditRecord, String), Unreadable> {
    let body: Body = serde_json::from_str(text).map_err(|error| Unreadable::Shape(error.to_string()))?;
    if serde_json::to_string(&body).ok().as_deref() != Some(text) {
        return Err(Unreadable::NotCanonical);
    }
    if let Some(stray) = personal.iter().find(|beside| !slots(&body).any(|slot| slot == beside.slot)) {
        return Err(Unreadable::Value(stray.slot.clone()));
    }
    let word = |what: &str, text: &str| Unreadable::Word(format!("{what} '{text}'"));
    let show = |slot: &str, digest: Option<String>| match digest {
        Some(digest) => match personal.iter().find(|beside| beside.slot == slot) {
            Some(beside) if beside.digest() == digest => Ok(Some(beside.value.clone())),
            Some(_) => Err(Unreadable::Value(slot.to_owned())),
            None => Ok(Some(digest)),
        },
        None => Ok(None),
    };
    let mut changes = Vec::with_capacity(body.changes.len());
    for (index, change) in body.changes.into_iter().enumerate() {
        let from = show(&format!("changes.{index}.from"), change.from)?;
        let to = show(&format!("changes.{index}.to"), change.to)?;
        changes.push(FieldChange { field: change.field, from, to });
    }
    let chain = match &body.org {
        None => Chain::Instance,
        Some(id) => Chain::Organization(id.parse().map_err(|_| word("organization", id))?),
    };
    let actor = Actor::from_parts(&body.actor.kind, &body.actor.id);
    let record = AuditRecord {
        id: body.id,
        chain,
        sequence: body.seq,
        attribution: Attribution {
            actor: actor.ok_or_else(|| word("actor", &body.actor.kind))?,
            credential: body.credential.unwrap_or_default(),
            address: show("ip", body.ip)?.unwrap_or_default(),
            client: show("client", body.client)?.unwrap_or_default(),
            request_id: body.request_id.unwrap_or_default(),
            at: Timestamp(body.at),
        },
        action: Action::from_name(&body.action).ok_or_else(|| word("action", &body.action))?,
        outcome: Outcome::from_name(&body.outcome).ok_or_else(|| word("outcome", &body.outcome))?,
        target: body.target,
        changes,
        confirmation: body.confirmation,
    };
    Ok((record, body.prev))
}

/// Where values may stand beside the record: wherever it has a digest.
fn slots(body: &Body) -> impl Iterator<Item = String> {
    let is_salted = |value: &Option<String>| value.as_ref().is_some_and(|value| value.starts_with(SALTED));
    let fixed = [("ip", is_salted(&body.ip)), ("client", is_salted(&body.client))];
    let fixed = fixed.into_iter().filter(|(_, is_there)| *is_there).map(|(slot, _)| slot.to_owned());
    let changes = body.changes.iter().enumerate().flat_map(move |(index, change)| {
        let sides = [("from", is_salted(&change.from)), ("to", is_salted(&change.to))];
        let there = sides.into_iter().filter(|(_, is_there)| *is_there);
        there.map(move |(side, _)| format!("changes.{index}.{side}"))
    });
    fixed.chain(changes.collect::<Vec<_>>())
}

/// Whether a field's values stand in the chain itself.
fn is_plain(field: &str) -> bool {
    PLAIN.contains(&field)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
