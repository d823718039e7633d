//! Registries: an organization's own sources of models.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

const PATH: &str = "/v1/organization/registries";
const ONE: &str = "/v1/organization/registries/{registry}";

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListRegistries, Method::Get, PATH, Permission::RegistriesRead),
    management(Operation::CreateRegistry, Method::Post, PATH, Permission::RegistriesManage),
    management(Operation::GetRegistry, Method::Get, ONE, Permission::RegistriesRead),
    management(Operation::UpdateRegistry, Method::Post, ONE, Permission::RegistriesManage),
    management(Operation::DeleteRegistry, Method::Delete, ONE, Permission::RegistriesManage),
    Row {
        authentication: Authentication::AnyKey,
        ..management(Operation::AskRegistries, Method::Post, "/api/registries/list", Permission::RegistriesRead)
    },
];
