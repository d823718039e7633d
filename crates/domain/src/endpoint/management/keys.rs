//! Keys. *project* on this surface is an environment (`decisions.md` §1).

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

const ADMIN: &str = "/v1/organization/admin_api_keys";
const ONE_ADMIN: &str = "/v1/organization/admin_api_keys/{key}";

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListKeys, Method::Get, "/v1/organization/api_keys", Permission::KeysRead),
    management(Operation::CreateKey, Method::Post, "/v1/organization/api_keys", Permission::KeysCreate),
    management(Operation::GetKey, Method::Get, "/v1/organization/api_keys/{key}", Permission::KeysRead),
    management(Operation::ListCallers, Method::Get, "/v1/organization/api_keys/{key}/callers", Permission::KeysRead),
    management(
        Operation::ListCallers,
        Method::Get,
        "/v1/organization/projects/{project}/api_keys/{key}/callers",
        Permission::KeysRead,
    ),
    management(Operation::RevokeKey, Method::Delete, "/v1/organization/api_keys/{key}", Permission::KeysRevoke),
    management(Operation::RevokeKey, Method::Post, "/v1/organization/api_keys/{key}/revoke", Permission::KeysRevoke),
    management(Operation::DisableKey, Method::Post, "/v1/organization/api_keys/{key}/disable", Permission::KeysUpdate),
    management(Operation::UpdateKey, Method::Post, "/v1/organization/api_keys/{key}", Permission::KeysUpdate),
    management(
        Operation::UpdateKey,
        Method::Post,
        "/v1/organization/projects/{project}/api_keys/{key}",
        Permission::KeysUpdate,
    ),
    management(Operation::RotateKey, Method::Post, "/v1/organization/api_keys/{key}/rotate", Permission::KeysRotate),
    management(Operation::ReissueKey, Method::Post, "/v1/organization/api_keys/{key}/reissue", Permission::KeysRotate),
    management(
        Operation::EndSecret,
        Method::Post,
        "/v1/organization/api_keys/{key}/secrets/{secret}/end",
        Permission::KeysRotate,
    ),
    management(
        Operation::ExtendSecret,
        Method::Post,
        "/v1/organization/api_keys/{key}/secrets/{secret}/extend",
        Permission::KeysRotate,
    ),
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
    management(Operation::LookUpKeys, Method::Post, "/v1/organization/api_keys/lookup", Permission::KeysLookup),
    management(Operation::ListAdminKeys, Method::Get, ADMIN, Permission::AdminKeysManage),
    management(Operation::CreateAdminKey, Method::Post, ADMIN, Permission::AdminKeysManage),
    management(Operation::GetAdminKey, Method::Get, ONE_ADMIN, Permission::AdminKeysManage),
    management(Operation::DeleteAdminKey, Method::Delete, ONE_ADMIN, Permission::AdminKeysManage),
    Row {
        authentication: Authentication::AnyKey,
        ..management(Operation::VerifyKey, Method::Post, "/v1/keys/verify", Permission::KeysVerify)
    },
    own(Operation::GetOwnKey, "/v1/key"),
    own(Operation::GetOwnKey, "/api/v1/key"),
    own(Operation::GetOwnUsage, "/v1/key/usage"),
    Row {
        authentication: Authentication::Possession,
        permission: None,
        ..management(Operation::RevokeOwnSecret, Method::Post, "/v1/key/revoke", Permission::KeysRevoke)
    },
];

/// What a key may always read about itself.
const fn own(operation: Operation, path: &'static str) -> Row {
    Row {
        authentication: Authentication::AnyKey,
        permission: None,
        ..management(operation, Method::Get, path, Permission::KeysRead)
    }
}
