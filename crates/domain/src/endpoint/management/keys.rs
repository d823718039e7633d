//! Keys. *project* on this surface is an environment (`decisions.md` §1).

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListKeys, Method::Get, "/v1/organization/api_keys", Permission::KeysRead),
    management(Operation::CreateKey, Method::Post, "/v1/organization/api_keys", Permission::KeysCreate),
    management(Operation::GetKey, Method::Get, "/v1/organization/api_keys/{key}", Permission::KeysRead),
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
];
