//! Providers that organizations bring along, what is found on the machine, and the routes in force.

use super::super::row::{Method, Operation, Row};
use super::management;
use super::operator::operator;
use crate::right::Permission;

const PATH: &str = "/v1/organization/providers";
const ONE: &str = "/v1/organization/providers/{provider}";

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListProviders, Method::Get, PATH, Permission::RegistriesRead),
    management(Operation::CreateProvider, Method::Post, PATH, Permission::RegistriesManage),
    management(Operation::GetProvider, Method::Get, ONE, Permission::RegistriesRead),
    management(Operation::UpdateProvider, Method::Post, ONE, Permission::RegistriesManage),
    management(Operation::DeleteProvider, Method::Delete, ONE, Permission::RegistriesManage),
    management(
        Operation::TestProvider,
        Method::Post,
        "/v1/organization/providers/{provider}/test",
        Permission::RegistriesManage,
    ),
    operator(Operation::DetectProviders, Method::Post, "/api/operator/providers/detect"),
    operator(Operation::ListRoutes, Method::Get, "/api/operator/routes"),
];
