//! Environments, which this surface calls projects.

use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const PROJECT: Object = object(
    "Project",
    &[
        must("object", Shape::Is("organization.project")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("created_at", Shape::Time),
        must("archived_at", Shape::OrNull(&Shape::Time)),
        must("status", Shape::Word(&["active", "archived"])),
    ],
);

const LIST: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
    may("include_archived", Shape::Flag),
];

pub(super) fn describe(_operation: Operation) -> Description {
    Description::of("List environments.", Reply::List(&PROJECT)).asking(LIST)
}
