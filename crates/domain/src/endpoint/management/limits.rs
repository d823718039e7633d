//! Rate limits of organizations and environments, and which models an environment may call.

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

const PERMISSIONS: &str = "/v1/organization/projects/{project}/model_permissions";

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListRateLimits, Method::Get, "/v1/organization/rate_limits", Permission::EnvironmentsRead),
    management(
        Operation::SetRateLimit,
        Method::Post,
        "/v1/organization/rate_limits/{model*}",
        Permission::LimitsManage,
    ),
    management(
        Operation::ListRateLimits,
        Method::Get,
        "/v1/organization/projects/{project}/rate_limits",
        Permission::EnvironmentsRead,
    ),
    management(
        Operation::SetRateLimit,
        Method::Post,
        "/v1/organization/projects/{project}/rate_limits/{model*}",
        Permission::LimitsManage,
    ),
    management(Operation::GetModelPermissions, Method::Get, PERMISSIONS, Permission::EnvironmentsRead),
    management(Operation::SetModelPermissions, Method::Post, PERMISSIONS, Permission::LimitsManage),
    management(Operation::DeleteModelPermissions, Method::Delete, PERMISSIONS, Permission::LimitsManage),
];
