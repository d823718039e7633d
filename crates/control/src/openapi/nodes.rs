//! What the nodes have confirmed.

use super::keys::CONFIRMATION;
use super::shape::{Field, Shape, may};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const WAIT: &[Field] = &[may("wait", Shape::Whole)];

pub(super) fn describe(_operation: Operation) -> Description {
    Description::of(
        "The proof that a change of rights is in force on every node; 202 with the nodes that are waited for.",
        Reply::One(&CONFIRMATION),
    )
    .asking(WAIT)
}
