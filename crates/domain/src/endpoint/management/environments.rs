//! Environments, which this surface calls projects.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

const PATH: &str = "/v1/organization/projects";
const ONE: &str = "/v1/organization/projects/{project}";

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListEnvironments, Method::Get, PATH, Permission::EnvironmentsRead),
    management(Operation::CreateEnvironment, Method::Post, PATH, Permission::EnvironmentsManage),
    management(Operation::GetEnvironment, Method::Get, ONE, Permission::EnvironmentsRead),
    management(Operation::UpdateEnvironment, Method::Post, ONE, Permission::EnvironmentsManage),
    management(
        Operation::ArchiveEnvironment,
        Method::Post,
        "/v1/organization/projects/{project}/archive",
        Permission::EnvironmentsManage,
    ),
    Row {
        authentication: Authentication::AnyKey,
        ..management(Operation::AskEnvironments, Method::Post, "/api/environments/list", Permission::EnvironmentsRead)
    },
];
