//! Wallet, usage, requests and receipts.

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

pub(super) const ROWS: &[Row] = &[
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
];
