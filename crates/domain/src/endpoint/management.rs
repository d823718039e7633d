//! The rows of the management plane (`keys.md` §10, `money.md` §4), matched byte for byte.

use super::row::{Authentication, ErrorShape, Method, Operation, Plane, Row};
use crate::limits;
use crate::right::Permission;

const fn management(operation: Operation, method: Method, path: &'static str, permission: Permission) -> Row {
    Row {
        operation,
        method,
        path,
        plane: Plane::Management,
        authentication: Authentication::AdminKey,
        permission: Some(permission),
        body_bytes_max: limits::MANAGEMENT_BODY_BYTES,
        error_shape: ErrorShape::OpenAi,
    }
}

const fn operator(operation: Operation, method: Method, path: &'static str) -> Row {
    Row { authentication: Authentication::Operator, ..management(operation, method, path, Permission::Operate) }
}

/// *project* on this surface is an environment (`decisions.md` §1).
pub(super) const ROWS: &[Row] = &[
    management(Operation::ListKeys, Method::Get, "/v1/organization/api_keys", Permission::KeysRead),
    management(Operation::CreateKey, Method::Post, "/v1/organization/api_keys", Permission::KeysCreate),
    management(Operation::GetKey, Method::Get, "/v1/organization/api_keys/{key}", Permission::KeysRead),
    management(Operation::RevokeKey, Method::Delete, "/v1/organization/api_keys/{key}", Permission::KeysRevoke),
    management(Operation::RevokeKey, Method::Post, "/v1/organization/api_keys/{key}/revoke", Permission::KeysRevoke),
    management(Operation::DisableKey, Method::Post, "/v1/organization/api_keys/{key}/disable", Permission::KeysUpdate),
    management(Operation::EnableKey, Method::Post, "/v1/organization/api_keys/{key}/enable", Permission::KeysUpdate),
    management(Operation::ListKeys, Method::Get, "/v1/organization/projects/{project}/api_keys", Permission::KeysRead),
    management(
        Operation::CreateKey,
        Method::Post,
        "/v1/organization/projects/{project}/api_keys",
        Permission::KeysCreate,
    ),
    management(
        Operation::GetKey,
        Method::Get,
        "/v1/organization/projects/{project}/api_keys/{key}",
        Permission::KeysRead,
    ),
    management(
        Operation::RevokeKey,
        Method::Delete,
        "/v1/organization/projects/{project}/api_keys/{key}",
        Permission::KeysRevoke,
    ),
    management(Operation::ListEnvironments, Method::Get, "/v1/organization/projects", Permission::EnvironmentsRead),
    management(Operation::GetWallet, Method::Get, "/v1/organization/credits", Permission::CreditsRead),
    management(Operation::GetUsage, Method::Get, "/v1/organization/usage/completions", Permission::UsageRead),
    management(Operation::ListRequests, Method::Get, "/v1/organization/requests", Permission::RequestsRead),
    management(Operation::GetRequest, Method::Get, "/v1/organization/requests/{request}", Permission::RequestsRead),
    management(
        Operation::GetReceipt,
        Method::Get,
        "/v1/organization/requests/{request}/receipt",
        Permission::RequestsRead,
    ),
    operator(Operation::SetUp, Method::Post, "/api/operator/setup"),
    operator(Operation::CreateGrant, Method::Post, "/api/operator/grants"),
    operator(Operation::VerifyLedger, Method::Post, "/api/operator/ledger/verify"),
    operator(Operation::ListInDoubt, Method::Get, "/api/operator/ledger/in_doubt"),
];
