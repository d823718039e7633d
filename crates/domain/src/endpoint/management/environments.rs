//! Environments, which this surface calls projects.

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

pub(super) const ROWS: &[Row] =
    &[management(Operation::ListEnvironments, Method::Get, "/v1/organization/projects", Permission::EnvironmentsRead)];
