//! What only the operator of the instance may do.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

const fn operator(operation: Operation, method: Method, path: &'static str) -> Row {
    Row { authentication: Authentication::Operator, ..management(operation, method, path, Permission::Operate) }
}

pub(super) const ROWS: &[Row] = &[
    operator(Operation::SetUp, Method::Post, "/api/operator/setup"),
    operator(Operation::CreateGrant, Method::Post, "/api/operator/grants"),
    operator(Operation::VerifyLedger, Method::Post, "/api/operator/ledger/verify"),
    operator(Operation::ListInDoubt, Method::Get, "/api/operator/ledger/in_doubt"),
    operator(Operation::ListJobs, Method::Get, "/api/operator/jobs"),
    operator(Operation::RunJob, Method::Post, "/api/operator/jobs/{job}/run"),
];
