//! Keys: the object of `keys.md` §10 and what its operations take.

use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::{Method, Operation};

/// The operations of this area, as a pattern.
macro_rules! operations {
    () => {
        Operation::CreateKey
            | Operation::ListKeys
            | Operation::GetKey
            | Operation::ListCallers
            | Operation::RevokeKey
            | Operation::DisableKey
            | Operation::EnableKey
            | Operation::UpdateKey
            | Operation::RotateKey
            | Operation::ReissueKey
            | Operation::EndSecret
            | Operation::ExtendSecret
            | Operation::OperatorDisableKey
            | Operation::OperatorRevokeKey
    };
}
pub(super) use operations;

const TEXTS: Shape = Shape::Many(&Shape::Text);
const TEXTS_OR_NULL: Shape = Shape::OrNull(&TEXTS);
const COUNT_OR_NULL: Shape = Shape::OrNull(&Shape::Whole);
const TIME_OR_NULL: Shape = Shape::OrNull(&Shape::Time);
const TEXT_OR_NULL: Shape = Shape::OrNull(&Shape::Text);

pub(super) const LIMITS: Object = object(
    "KeyLimits",
    &[
        must("rpm", COUNT_OR_NULL),
        must("tpm", COUNT_OR_NULL),
        must("concurrency", COUNT_OR_NULL),
        must("burst", COUNT_OR_NULL),
        may("budgets", Shape::Many(&Shape::Any)),
    ],
);

pub(super) const POLICY: Object = object(
    "KeyPolicy",
    &[
        must("models", TEXTS_OR_NULL),
        must("endpoints", TEXTS_OR_NULL),
        must("ips", TEXTS_OR_NULL),
        must("ips_denied", TEXTS_OR_NULL),
        must("reach", Shape::Word(&["organization", "environment"])),
        must("permissions", TEXTS),
    ],
);

const SECRET: Object = object(
    "KeySecret",
    &[
        must("id", Shape::Text),
        must("number", Shape::Whole),
        must("redacted_value", Shape::Text),
        must("created_at", Shape::Time),
        must("created_by", TEXT_OR_NULL),
        must("ends_at", TIME_OR_NULL),
        must("ended_at", TIME_OR_NULL),
        must("end_reason", TEXT_OR_NULL),
        must("first_used_at", TIME_OR_NULL),
        must("last_used_at", TIME_OR_NULL),
        must("safe_to_end", Shape::Flag),
    ],
);

const CALLER: Object = object(
    "KeyCaller",
    &[
        must("object", Shape::Is("api_key.caller")),
        must("secret_id", Shape::Text),
        must("network", Shape::Text),
        must("client", Shape::Text),
        must("first_seen", Shape::Time),
        must("last_seen", Shape::Time),
        must("requests", Shape::Whole),
        must("last_model", TEXT_OR_NULL),
        must("last_status", COUNT_OR_NULL),
    ],
);

const NODE: Object =
    object("ConfirmedNode", &[must("id", Shape::Text), must("how", Shape::Text), must("ms", Shape::Whole)]);

/// The proof that a change of rights is in force.
pub(super) const CONFIRMATION: Object = object(
    "Confirmation",
    &[
        must("epoch", Shape::Whole),
        must("took_ms", Shape::Whole),
        must("nodes", Shape::Many(&Shape::Of(&NODE))),
        may("running_here", COUNT_OR_NULL),
        must("cut", Shape::Flag),
    ],
);

/// The members of the key object, and with them those of replies that add some.
macro_rules! key_object {
    ($name:literal $(, $more:expr)*) => {
        object($name, &[
            must("object", Shape::Is("organization.project.api_key")),
            must("id", Shape::Text),
            must("name", Shape::Text),
            must("redacted_value", Shape::Text),
            must("created_at", Shape::Time),
            must("last_used_at", TIME_OR_NULL),
            must("owner", Shape::OrNull(&Shape::Any)),
            must("owner_project_access", TEXT_OR_NULL),
            must("class", Shape::Word(&["inference", "admin"])),
            must("test", Shape::Flag),
            must("canary", Shape::Flag),
            must("state", Shape::Word(&["active", "disabled", "expired", "revoked"])),
            must("flags", TEXTS),
            must("environment_id", Shape::Text),
            must("source_tag", TEXT_OR_NULL),
            must("expires_at", TIME_OR_NULL),
            must("role", TEXT_OR_NULL),
            must("limits", Shape::Of(&LIMITS)),
            must("policy", Shape::Of(&POLICY)),
            must("shadow", Shape::OrNull(&Shape::Any)),
            must("stored_in", TEXT_OR_NULL),
            must("secrets", Shape::Many(&Shape::Of(&SECRET))),
            must("created_by", TEXT_OR_NULL),
            must("state_changed", Shape::OrNull(&Shape::Any)),
            must("version", Shape::Whole),
            $($more,)*
        ])
    };
}

pub(super) const KEY: Object = key_object!("Key");
const CONFIRMED: Object = key_object!("ConfirmedKey", must("confirmation", Shape::Of(&CONFIRMATION)));
const CREATED: Object = key_object!(
    "CreatedKey",
    may("value", Shape::Text),
    must("reissue_until", TIME_OR_NULL),
    may("confirmation", Shape::Of(&CONFIRMATION))
);

const DELETED: Object = object(
    "DeletedKey",
    &[
        must("object", Shape::Is("organization.project.api_key.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
        must("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const CREATE: Object = object(
    "CreateKey",
    &[
        must("name", Shape::Text),
        may("environment_id", Shape::Text),
        may("source_tag", Shape::Text),
        may("expires_at", Shape::Time),
        may("expires_in_seconds", Shape::Whole),
        may("class", Shape::Word(&["inference", "admin"])),
        may("role", Shape::Word(&["owner", "admin", "developer", "billing", "viewer"])),
        may("test", Shape::Flag),
        may("canary", Shape::Flag),
        may("owner", TEXT_OR_NULL),
        may("stored_in", TEXT_OR_NULL),
        may("limits", Shape::Any),
        may("policy", Shape::Any),
        may("shadow", Shape::OrNull(&Shape::Any)),
        may("sha256", Shape::Text),
    ],
);

const UPDATE: Object = object(
    "UpdateKey",
    &[
        may("name", Shape::Text),
        may("source_tag", TEXT_OR_NULL),
        may("expires_at", TIME_OR_NULL),
        may("expires_in_seconds", Shape::Whole),
        may("role", Shape::Word(&["owner", "admin", "developer", "billing", "viewer"])),
        may("owner", TEXT_OR_NULL),
        may("stored_in", TEXT_OR_NULL),
        may("limits", Shape::Any),
        may("policy", Shape::Any),
        may("shadow", Shape::OrNull(&Shape::Any)),
    ],
);

const ROTATE: Object = object(
    "RotateKey",
    &[
        may("overlap_seconds", Shape::Whole),
        may("finish_when_quiet_hours", Shape::Whole),
        may("at_deadline", Shape::Word(&["end", "extend"])),
        may("reason", Shape::Text),
    ],
);

const EXTEND: Object = object("ExtendSecret", &[must("ends_at", Shape::Time)]);

const REASON: Object = object(
    "RevokeKey",
    &[
        may("reason", Shape::Word(&["unused", "replaced", "member_left", "compromised", "other"])),
        may("note", Shape::Text),
    ],
);

/// Why the operator acts, for the organization to read.
pub(super) const WHY: Object = object("Why", &[must("reason", Shape::Text)]);

const LIST: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
    may("state", TEXTS),
    may("class", Shape::Word(&["inference", "admin"])),
    may("environment_id", Shape::Text),
    may("source_tag", Shape::Text),
    may("q", Shape::Text),
    may("owner", Shape::Text),
    may("test", Shape::Flag),
    may("unused_days", Shape::Whole),
    may("expiring_days", Shape::Whole),
    may("older_than_days", Shape::Whole),
    may("no_budget", Shape::Flag),
    may("exchanged", Shape::Flag),
    may("owner_project_access", Shape::Word(&["active", "inactive", "any"])),
];

pub(super) fn describe(operation: Operation, method: Method) -> Description {
    match (operation, method) {
        (Operation::ListKeys, _) => Description::of("List keys.", Reply::List(&KEY)).asking(LIST),
        (Operation::ListCallers, _) => {
            Description::of("List who uses a key: networks and clients, of each secret.", Reply::List(&CALLER))
        }
        (Operation::CreateKey, _) => {
            Description::of("Create a key; its text is in this reply only.", Reply::One(&CREATED)).taking(&CREATE)
        }
        (Operation::RevokeKey, Method::Delete) => Description::of("Revoke a key for ever.", Reply::One(&DELETED)),
        (Operation::RevokeKey, _) => {
            Description::of("Revoke a key for ever, with a reason.", Reply::One(&CONFIRMED)).taking(&REASON)
        }
        (Operation::OperatorDisableKey, _) => {
            Description::of("Disable a key of any organization.", Reply::One(&CONFIRMED)).taking(&WHY)
        }
        (Operation::OperatorRevokeKey, _) => {
            Description::of("Revoke a key of any organization.", Reply::One(&CONFIRMED)).taking(&WHY)
        }
        (Operation::DisableKey, _) => {
            Description::of("Disable a key, reversibly.", Reply::One(&CONFIRMED)).taking(&REASON)
        }
        (Operation::EnableKey, _) => Description::of("Enable a disabled key.", Reply::One(&CONFIRMED)).taking(&REASON),
        (Operation::UpdateKey, _) => Description::of("Change a key.", Reply::One(&CONFIRMED)).taking(&UPDATE),
        (Operation::RotateKey, _) => {
            Description::of("Give a key a new secret; its text is in this reply only.", Reply::One(&CREATED))
                .taking(&ROTATE)
        }
        (Operation::ReissueKey, _) => Description::of("Give a lost, unused secret another text.", Reply::One(&CREATED)),
        (Operation::EndSecret, _) => Description::of("End one older secret.", Reply::One(&CONFIRMED)),
        (Operation::ExtendSecret, _) => {
            Description::of("Let an older secret live longer.", Reply::One(&CONFIRMED)).taking(&EXTEND)
        }
        _ => Description::of("Read a key.", Reply::One(&KEY)),
    }
}
