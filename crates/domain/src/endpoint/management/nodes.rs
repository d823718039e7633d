//! What the nodes have confirmed.

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

pub(super) const ROWS: &[Row] = &[management(
    Operation::GetConfirmation,
    Method::Get,
    "/v1/organization/confirmations/{epoch}",
    Permission::KeysRead,
)];
