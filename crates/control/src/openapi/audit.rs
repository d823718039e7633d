//! The audit log, its export, its proof.

use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

/// Open: the member named by `type` holds what changed.
const AUDIT_LOG: Object = Object {
    name: "AuditLog",
    fields: &[
        must("object", Shape::Is("organization.audit_log")),
        must("id", Shape::Text),
        must("type", Shape::Text),
        must("effective_at", Shape::Time),
        must("actor", Shape::Any),
        must("project", Shape::Any),
        must("outcome", Shape::Word(&["succeeded", "denied", "failed"])),
        must("request_id", Shape::OrNull(&Shape::Text)),
        must("seq", Shape::Whole),
        must("hash", Shape::Text),
    ],
    is_open: true,
};

const REPORT: Object = object(
    "AuditReport",
    &[
        must("object", Shape::Is("audit.report")),
        must("ok", Shape::Flag),
        must("chains", Shape::Whole),
        must("records", Shape::Whole),
        must("checkpoints", Shape::Whole),
        must(
            "faults",
            Shape::Many(&Shape::Of(&object(
                "AuditFault",
                &[must("chain", Shape::Text), must("seq", Shape::Whole), must("what", Shape::Text)],
            ))),
        ),
    ],
);

const CHECKPOINTS: Object = object(
    "AuditCheckpoints",
    &[
        must("object", Shape::Is("list")),
        must("public_key", Shape::Text),
        must(
            "data",
            Shape::Many(&Shape::Of(&object(
                "AuditCheckpoint",
                &[
                    must("object", Shape::Is("audit.checkpoint")),
                    must("number", Shape::Whole),
                    must("created_at", Shape::Time),
                    must("heads", Shape::Whole),
                    must("root", Shape::Text),
                ],
            ))),
        ),
        must("has_more", Shape::Flag),
    ],
);

const FILTERS: &[Field] = &[
    may("effective_at[gt]", Shape::Time),
    may("effective_at[gte]", Shape::Time),
    may("effective_at[lt]", Shape::Time),
    may("effective_at[lte]", Shape::Time),
    may("project_ids[]", Shape::Many(&Shape::Text)),
    may("event_types[]", Shape::Many(&Shape::Text)),
    may("actor_ids[]", Shape::Many(&Shape::Text)),
    may("actor_emails[]", Shape::Many(&Shape::Text)),
    may("resource_ids[]", Shape::Many(&Shape::Text)),
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
];

const NUMBER: &[Field] = &[may("after_number", Shape::Whole)];

const EXPORT: &[Field] = &[may("after_seq", Shape::Whole)];

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListAuditLogs => {
            Description::of("The organization's audit log.", Reply::List(&AUDIT_LOG)).asking(FILTERS)
        }
        Operation::ListInstanceAudit => {
            Description::of("The instance's own audit log.", Reply::List(&AUDIT_LOG)).asking(FILTERS)
        }
        Operation::VerifyAudit => Description::of("Prove every audit chain again.", Reply::One(&REPORT)),
        Operation::ListCheckpoints => {
            Description::of("Signed checkpoints, oldest first.", Reply::One(&CHECKPOINTS)).asking(NUMBER)
        }
        Operation::ExportInstanceAudit => {
            Description::of("The instance's own audit log to take along.", Reply::Lines).asking(EXPORT)
        }
        _ => Description::of("The audit log to take along, with its signed checkpoint.", Reply::Lines).asking(EXPORT),
    }
}
