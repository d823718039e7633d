//! The audit log, its export, its proof (`keys.md` §9, §10).

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

const fn operator(operation: Operation, method: Method, path: &'static str) -> Row {
    Row { authentication: Authentication::Operator, ..management(operation, method, path, Permission::Operate) }
}

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListAuditLogs, Method::Get, "/v1/organization/audit_logs", Permission::AuditRead),
    management(Operation::ExportAuditLogs, Method::Get, "/v1/organization/audit_logs/export", Permission::AuditExport),
    operator(Operation::ListInstanceAudit, Method::Get, "/api/operator/audit_logs"),
    operator(Operation::ExportInstanceAudit, Method::Get, "/api/operator/audit_logs/export"),
    operator(Operation::VerifyAudit, Method::Post, "/api/operator/audit/verify"),
    operator(Operation::ListCheckpoints, Method::Get, "/api/operator/audit/checkpoints"),
];
