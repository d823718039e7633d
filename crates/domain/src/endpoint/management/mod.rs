//! The rows of the management plane (`keys.md` §10, `money.md` §4), matched byte for byte: one file an area.

mod agents;
mod audit;
mod environments;
mod keys;
mod leaks;
mod limits;
mod money;
mod nodes;
mod operator;
mod organization;
mod people;
mod providers;
mod registries;

use super::row::{Authentication, ErrorShape, Method, Operation, Plane, Row};
use crate::right::Permission;

/// Every area's rows.
pub(super) const AREAS: &[&[Row]] = &[
    keys::ROWS,
    leaks::ROWS,
    limits::ROWS,
    organization::ROWS,
    environments::ROWS,
    agents::ROWS,
    registries::ROWS,
    providers::ROWS,
    money::ROWS,
    audit::ROWS,
    people::ROWS,
    nodes::ROWS,
    operator::ROWS,
];

const fn management(operation: Operation, method: Method, path: &'static str, permission: Permission) -> Row {
    Row {
        operation,
        method,
        path,
        plane: Plane::Management,
        authentication: Authentication::AdminKey,
        permission: Some(permission),
        body_bytes_max: crate::limits::MANAGEMENT_BODY_BYTES,
        error_shape: ErrorShape::OpenAi,
    }
}
