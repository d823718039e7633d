//! Environments, which this surface calls projects.

use super::keys::CONFIRMATION;
use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

/// The members of an environment, and with them those of replies that add some.
macro_rules! project_object {
    ($name:literal $(, $more:expr)*) => {
        object($name, &[
            must("object", Shape::Is("organization.project")),
            must("id", Shape::Text),
            must("name", Shape::Text),
            must("created_at", Shape::Time),
            must("archived_at", Shape::OrNull(&Shape::Time)),
            must("status", Shape::Word(&["active", "archived"])),
            must("version", Shape::Whole),
            $($more,)*
        ])
    };
}

const PROJECT: Object = project_object!("Project");
const ARCHIVED: Object = project_object!("ArchivedProject", must("confirmation", Shape::Of(&CONFIRMATION)));
const NAME: Object = object("NameProject", &[must("name", Shape::Text)]);
const ARCHIVE: Object = object("ArchiveProject", &[may("revoke_keys", Shape::Flag)]);

/// The body of the lists that are asked by POST.
pub(super) const ASK: Object =
    object("AskList", &[may("orgSlug", Shape::Text), may("limit", Shape::Whole), may("after", Shape::Text)]);

const LIST: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
    may("include_archived", Shape::Flag),
];

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListEnvironments => Description::of("List environments.", Reply::List(&PROJECT)).asking(LIST),
        Operation::CreateEnvironment => Description::of("Make an environment.", Reply::One(&PROJECT)).taking(&NAME),
        Operation::UpdateEnvironment => Description::of("Rename an environment.", Reply::One(&PROJECT)).taking(&NAME),
        Operation::ArchiveEnvironment => {
            Description::of("Archive an environment, for ever.", Reply::One(&ARCHIVED)).taking(&ARCHIVE)
        }
        Operation::AskEnvironments => {
            Description::of("List environments, asked by a body.", Reply::List(&PROJECT)).taking(&ASK)
        }
        _ => Description::of("Read an environment.", Reply::One(&PROJECT)),
    }
}
