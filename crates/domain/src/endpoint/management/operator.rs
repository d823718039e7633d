//! What only the operator of the instance may do.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

pub(super) const fn operator(operation: Operation, method: Method, path: &'static str) -> Row {
    Row { authentication: Authentication::Operator, ..management(operation, method, path, Permission::Operate) }
}

const ORGANIZATIONS: &str = "/api/operator/organizations";

pub(super) const ROWS: &[Row] = &[
    operator(Operation::SetUp, Method::Post, "/api/operator/setup"),
    operator(Operation::CreateGrant, Method::Post, "/api/operator/grants"),
    operator(Operation::VerifyLedger, Method::Post, "/api/operator/ledger/verify"),
    operator(Operation::ListOrganizations, Method::Get, ORGANIZATIONS),
    operator(Operation::CreateOrganization, Method::Post, ORGANIZATIONS),
    operator(Operation::ReadOrganization, Method::Get, "/api/operator/organizations/{organization}"),
    operator(Operation::BoundOrganization, Method::Post, "/api/operator/organizations/{organization}"),
    operator(Operation::SuspendOrganization, Method::Post, "/api/operator/organizations/{organization}/suspend"),
    operator(Operation::ResumeOrganization, Method::Post, "/api/operator/organizations/{organization}/resume"),
    operator(Operation::EndOrganization, Method::Post, "/api/operator/organizations/{organization}/close"),
    operator(
        Operation::OperatorDisableKey,
        Method::Post,
        "/api/operator/organizations/{organization}/keys/{key}/disable",
    ),
    operator(
        Operation::OperatorRevokeKey,
        Method::Post,
        "/api/operator/organizations/{organization}/keys/{key}/revoke",
    ),
    operator(Operation::ListInDoubt, Method::Get, "/api/operator/ledger/in_doubt"),
    operator(Operation::RebuildUsage, Method::Post, "/api/operator/usage/rebuild"),
    operator(Operation::ListJobs, Method::Get, "/api/operator/jobs"),
    operator(Operation::RunJob, Method::Post, "/api/operator/jobs/{job}/run"),
    operator(Operation::ReloadConfiguration, Method::Post, "/api/operator/reload"),
];
