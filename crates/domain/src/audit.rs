//! The audit record and its hash chain (`keys.md` §9).
//!
//! One gapless chain per organization and one for the instance: `hash = SHA-256(previous ‖ canonical record)`, the first
//! previous being 32 zero bytes, `mac = HMAC-SHA-256(audit key, hash)`. Where records are kept is not known here.

use crate::right::words;
use crate::time::Timestamp;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

words! {
    /// What was done; OpenAI's words where they exist.
    Action {
        /// A key was made.
        KeyCreated = "api_key.created";
        /// A key was changed.
        KeyUpdated = "api_key.updated";
        /// A key was revoked.
        KeyDeleted = "api_key.deleted";
        /// A key was disabled.
        KeyDisabled = "api_key.disabled";
        /// A key was enabled.
        KeyEnabled = "api_key.enabled";
        /// An organization was made.
        OrganizationCreated = "organization.created";
        /// An organization was named or changed.
        OrganizationUpdated = "organization.updated";
        /// A person joined.
        UserAdded = "user.added";
        /// A wallet was funded.
        GrantCreated = "grant.created";
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A key of the organization, by its id.
    Key(String),
    /// The operator at this machine.
    LocalOperator,
    /// The program itself: first start, jobs.
    System,
    /// Nobody known: an endpoint that asks for no credential.
    Nobody,
}

impl Actor {
    /// Kind and id as the record has them.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Key(id) => ("key", id),
            Self::LocalOperator => ("operator", "local"),
            Self::System => ("system", "claviger"),
            Self::Nobody => ("nobody", ""),
        }
    }
}

/// Who did it, from where, in which request: what every administrative act brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Who acts.
    pub actor: Actor,
    /// The client's address, as text; empty for local acts.
    pub address: String,
    /// The request id of the act.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
}

/// One field that changed; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// Its former value.
    pub from: Option<String>,
    /// Its new value.
    pub to: Option<String>,
}

/// One administrative act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its id as text.
    pub id: String,
    /// Its place in the chain, from 1, without gaps.
    pub sequence: i64,
    /// Who, whence, when.
    pub attribution: Attribution,
    /// What.
    pub action: Action,
    /// The object's id.
    pub target: String,
    /// What changed.
    pub changes: Vec<FieldChange>,
}

/// A link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The hash of the record before; 32 zero bytes for the first.
    pub previous: [u8; 32],
    /// This record's hash.
    pub hash: [u8; 32],
    /// `HMAC-SHA-256(audit key, hash)`.
    pub mac: [u8; 32],
}

/// The hash of the (missing) record before the first.
pub const CHAIN_START: [u8; 32] = [0; 32];

impl AuditRecord {
    /// The record as canonical JSON (RFC 8785: members sorted, no spaces, minimal escapes).
    pub fn canonical(&self) -> String {
        let (actor_kind, actor_id) = self.attribution.actor.parts();
        let changes: Vec<String> = self
            .changes
            .iter()
            .map(|change| {
                format!(
                    "{{\"field\":{},\"from\":{},\"to\":{}}}",
                    quoted(&change.field),
                    change.from.as_deref().map_or_else(|| "null".to_owned(), quoted),
                    change.to.as_deref().map_or_else(|| "null".to_owned(), quoted)
                )
            })
            .collect();
        format!(
            "{{\"action\":{},\"actor_id\":{},\"actor_kind\":{},\"address\":{},\"at\":{},\"changes\":[{}],\"id\":{},\"request_id\":{},\"sequence\":{},\"target\":{}}}",
            quoted(self.action.name()),
            quoted(actor_id),
            quoted(actor_kind),
            quoted(&self.attribution.address),
            // RFC 8785 numbers are IEEE doubles: microseconds since 1970 pass 2^53 only in 2255, so they stand as text.
            quoted(&self.attribution.at.0.to_string()),
            changes.join(","),
            quoted(&self.id),
            quoted(&self.attribution.request_id),
            self.sequence,
            quoted(&self.target),
        )
    }

    /// Links the record behind `previous`.
    pub fn link(&self, previous: [u8; 32], audit_key: &[u8; 32]) -> Link {
        let hash: [u8; 32] =
            Sha256::new().chain_update(previous).chain_update(self.canonical().as_bytes()).finalize().into();
        let mac = Hmac::<Sha256>::new_from_slice(audit_key)
            .map(|mac| mac.chain_update(hash).finalize().into_bytes().into())
            .unwrap_or([0; 32]);
        Link { previous, hash, mac }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{9}' => out.push_str("\\t"),
            '\u{A}' => out.push_str("\\n"),
            '\u{C}' => out.push_str("\\f"),
            '\u{D}' => out.push_str("\\r"),
            control if control < '\u{20}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_breaks_the_link() {
        let record = AuditRecord {
            id: "aud_1".into(),
            sequence: 1,
            attribution: Attribution {
                actor: Actor::LocalOperator,
                address: String::new(),
                request_id: "req_1".into(),
                at: Timestamp(5),
            },
            action: Action::KeyCreated,
            target: "key_1".into(),
            changes: vec![FieldChange { field: "name".into(), from: None, to: Some("a \"b\"\n".into()) }],
        };
        let link = record.link(CHAIN_START, &[1; 32]);
        let mut other = record.clone();
        other.target = "key_2".into();
        assert_ne!(other.link(CHAIN_START, &[1; 32]).hash, link.hash);
        assert_ne!(record.link([9; 32], &[1; 32]).hash, link.hash);
        assert_ne!(record.link(CHAIN_START, &[2; 32]).mac, link.mac);
        assert_eq!(
            record.canonical(),
            r#"{"action":"api_key.created","actor_id":"local","actor_kind":"operator","address":"","at":"5","changes":[{"field":"name","from":null,"to":"a \"b\"\n"}],"id":"aud_1","request_id":"req_1","sequence":1,"target":"key_1"}"#
        );
    }
}
