//! Registries of the organization.

use super::environments::ASK;
use super::shape::{Object, PAGE, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const STATE: Shape = Shape::Word(&["active", "disabled"]);

const REGISTRY: Object = object(
    "Registry",
    &[
        must("object", Shape::Is("organization.registry")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("slug", Shape::Text),
        must("prefix", Shape::Text),
        must("environment_id", Shape::OrNull(&Shape::Text)),
        must("state", STATE),
        must("created_at", Shape::Time),
        must("version", Shape::Whole),
    ],
);

const CREATE: Object = object(
    "CreateRegistry",
    &[must("name", Shape::Text), may("slug", Shape::Text), may("environment_id", Shape::Text)],
);

const UPDATE: Object = object("UpdateRegistry", &[may("name", Shape::Text), may("state", STATE)]);

const DELETED: Object = object(
    "DeletedRegistry",
    &[
        must("object", Shape::Is("organization.registry.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListRegistries => Description::of("List registries.", Reply::List(&REGISTRY)).asking(PAGE),
        Operation::CreateRegistry => Description::of("Make a registry.", Reply::One(&REGISTRY)).taking(&CREATE),
        Operation::UpdateRegistry => {
            Description::of("Rename a registry, take it in and out of use.", Reply::One(&REGISTRY)).taking(&UPDATE)
        }
        Operation::DeleteRegistry => Description::of("End a registry.", Reply::One(&DELETED)),
        Operation::AskRegistries => {
            Description::of("List registries, asked by a body.", Reply::List(&REGISTRY)).taking(&ASK)
        }
        _ => Description::of("Read a registry.", Reply::One(&REGISTRY)),
    }
}
