//! Rate limits and model permissions.

use super::keys::CONFIRMATION;
use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const LIMIT: Shape = Shape::OrNull(&Shape::Whole);

const RATE_LIMIT: Object = object(
    "RateLimit",
    &[
        must("object", Shape::Is("project.rate_limit")),
        must("id", Shape::Text),
        must("model", Shape::Text),
        must("max_requests_per_1_minute", LIMIT),
        must("max_tokens_per_1_minute", LIMIT),
        must("max_concurrent_requests", LIMIT),
        must("set_by", Shape::OrNull(&Shape::Text)),
        must("set_at", Shape::OrNull(&Shape::Time)),
        may("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const SET_RATE_LIMIT: Object = object(
    "SetRateLimit",
    &[
        may("max_requests_per_1_minute", LIMIT),
        may("max_tokens_per_1_minute", LIMIT),
        may("max_concurrent_requests", LIMIT),
    ],
);

const MODE: Shape = Shape::Word(&["allow_list", "deny_list"]);

const PERMISSIONS: Object = object(
    "ModelPermissions",
    &[
        must("object", Shape::Is("project.model_permissions")),
        must("mode", MODE),
        must("model_ids", Shape::Many(&Shape::Text)),
        must("set_by", Shape::OrNull(&Shape::Text)),
        must("set_at", Shape::OrNull(&Shape::Time)),
        may("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const SET_PERMISSIONS: Object =
    object("SetModelPermissions", &[must("mode", MODE), must("model_ids", Shape::Many(&Shape::Text))]);

const DELETED: Object = object(
    "ModelPermissionsDeleted",
    &[
        must("object", Shape::Is("project.model_permissions.deleted")),
        must("deleted", Shape::Flag),
        must("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const LIST: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
];

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListRateLimits => {
            Description::of("List limits, that on all models first.", Reply::List(&RATE_LIMIT)).asking(LIST)
        }
        Operation::SetRateLimit => {
            Description::of("Limit a model, or `*` for all together; null lifts a limit.", Reply::One(&RATE_LIMIT))
                .taking(&SET_RATE_LIMIT)
        }
        Operation::GetModelPermissions => {
            Description::of("Which models the environment may call.", Reply::One(&PERMISSIONS))
        }
        Operation::SetModelPermissions => {
            Description::of("Allow or deny models.", Reply::One(&PERMISSIONS)).taking(&SET_PERMISSIONS)
        }
        _ => Description::of("Allow every visible model again.", Reply::One(&DELETED)),
    }
}
