//! What the nodes have confirmed, who they are, and the credit they have drawn.

use super::keys::CONFIRMATION;
use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const WAIT: &[Field] = &[may("wait", Shape::Whole)];

const NODE: Object = object(
    "Node",
    &[
        must("object", Shape::Is("node")),
        must("id", Shape::Text),
        must("seat", Shape::Text),
        must("state", Shape::Text),
        must("started_at", Shape::Time),
        must("renewed_at", Shape::Time),
        must("applied_epoch", Shape::Whole),
        must("validity_ms", Shape::Whole),
    ],
);

const LEASE: Object = object(
    "Lease",
    &[
        must("object", Shape::Is("lease")),
        must("id", Shape::Text),
        must("seat", Shape::Text),
        must("organization", Shape::Text),
        must("open", Shape::Amount),
        must("granted", Shape::Amount),
        must("charged", Shape::Amount),
        must("returned", Shape::Amount),
        must("node", Shape::OrNull(&Shape::Text)),
    ],
);

const WRITTEN_OFF: Object = object(
    "WrittenOff",
    &[
        must("object", Shape::Is("lease.written_off")),
        must("seat", Shape::Text),
        must("leases", Shape::Whole),
        must("returned", Shape::Amount),
        must("requests_lost", Shape::Whole),
        must("charges_in_doubt", Shape::Whole),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListNodes => Description::of("Nodes that serve this database.", Reply::List(&NODE)),
        Operation::DrainNode => Description::of("Tell a node to let its requests end and to stop.", Reply::One(&NODE)),
        Operation::ListLeases => Description::of("Credit that nodes have drawn and not spent.", Reply::List(&LEASE)),
        Operation::WriteOffLease => Description::of(
            "Give back what a dead node had drawn, once its silence is proved.",
            Reply::One(&WRITTEN_OFF),
        ),
        _ => Description::of(
            "The proof that a change of rights is in force on every node; 202 with the nodes that are waited for.",
            Reply::One(&CONFIRMATION),
        )
        .asking(WAIT),
    }
}
