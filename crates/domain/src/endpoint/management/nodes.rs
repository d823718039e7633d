//! What the nodes have confirmed, who they are, and the credit they have drawn.

use super::super::row::{Method, Operation, Row};
use super::management;
use super::operator::operator;
use crate::right::Permission;

pub(super) const ROWS: &[Row] = &[
    management(Operation::GetConfirmation, Method::Get, "/v1/organization/confirmations/{epoch}", Permission::KeysRead),
    operator(Operation::ListNodes, Method::Get, "/api/operator/nodes"),
    operator(Operation::DrainNode, Method::Post, "/api/operator/nodes/{node}/drain"),
    operator(Operation::ListLeases, Method::Get, "/api/operator/leases"),
    operator(Operation::WriteOffLease, Method::Post, "/api/operator/leases/{seat}/write_off"),
];
