//! The organization itself, and what it asks of its keys.

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

const PATH: &str = "/v1/organization";
const POLICY: &str = "/v1/organization/policy";

/// Reading is for everybody who may see the organization's people: a console shows by it what a role may do.
pub(super) const ROWS: &[Row] = &[
    management(Operation::GetOrganization, Method::Get, PATH, Permission::MembersRead),
    management(Operation::UpdateOrganization, Method::Post, PATH, Permission::OrganizationUpdate),
    management(Operation::GetPolicy, Method::Get, POLICY, Permission::MembersRead),
    management(Operation::UpdatePolicy, Method::Post, POLICY, Permission::PolicyManage),
    management(Operation::CloseOrganization, Method::Post, "/v1/organization/close", Permission::OrganizationClose),
];
