//! Keys from elsewhere, and keys seen elsewhere (`keys.md` §4, §10).

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

pub(super) const ROWS: &[Row] = &[
    management(Operation::ImportKeys, Method::Post, "/v1/organization/api_keys/import", Permission::KeysImport),
    Row {
        authentication: Authentication::Signature,
        permission: None,
        ..management(Operation::ReportLeaks, Method::Post, "/api/github/secret_scanning", Permission::KeysRevoke)
    },
];
