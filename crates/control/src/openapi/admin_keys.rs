//! Admin keys in OpenAI's shape.

use super::keys::CONFIRMATION;
use super::shape::{Object, PAGE, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const TIME_OR_NULL: Shape = Shape::OrNull(&Shape::Time);
const TEXT_OR_NULL: Shape = Shape::OrNull(&Shape::Text);
const ROLES: &[&str] = &["owner", "admin", "developer", "billing", "viewer"];

const OWNER: Object = object(
    "AdminKeyOwner",
    &[
        must("type", Shape::Word(&["user", "service_account"])),
        must("object", Shape::Text),
        must("id", TEXT_OR_NULL),
        must("name", TEXT_OR_NULL),
        must("role", TEXT_OR_NULL),
        must("created_at", TIME_OR_NULL),
    ],
);

const KEY: Object = object(
    "AdminKey",
    &[
        must("object", Shape::Is("organization.admin_api_key")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("redacted_value", Shape::Text),
        must("created_at", Shape::Time),
        must("expires_at", TIME_OR_NULL),
        must("last_used_at", TIME_OR_NULL),
        must("owner", Shape::Of(&OWNER)),
        must("role", TEXT_OR_NULL),
        must("state", Shape::Word(&["active", "disabled", "expired", "revoked"])),
        must("flags", Shape::Many(&Shape::Text)),
        may("value", Shape::Text),
        may("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const CREATE: Object = object(
    "CreateAdminKey",
    &[
        must("name", Shape::Text),
        may("expires_in_seconds", Shape::Whole),
        may("expires_at", Shape::Time),
        may("role", Shape::Word(ROLES)),
    ],
);

const DELETED: Object = object(
    "DeletedAdminKey",
    &[
        must("object", Shape::Is("organization.admin_api_key.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
        must("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListAdminKeys => Description::of("List admin keys.", Reply::List(&KEY)).asking(PAGE),
        Operation::CreateAdminKey => {
            Description::of("Make an admin key; its text is in this reply only.", Reply::One(&KEY)).taking(&CREATE)
        }
        Operation::GetAdminKey => Description::of("Read an admin key.", Reply::One(&KEY)),
        _ => Description::of("Revoke an admin key for ever.", Reply::One(&DELETED)),
    }
}
