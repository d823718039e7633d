//! Wallet, usage, requests and receipts.

use super::super::row::{Method, Operation, Row};
use super::management;
use crate::right::Permission;

const fn usage(path: &'static str) -> Row {
    management(Operation::GetUsage, Method::Get, path, Permission::UsageRead)
}

pub(super) const ROWS: &[Row] = &[
    management(Operation::GetWallet, Method::Get, "/v1/organization/credits", Permission::CreditsRead),
    usage("/v1/organization/usage/completions"),
    usage("/v1/organization/usage/embeddings"),
    usage("/v1/organization/usage/images"),
    usage("/v1/organization/usage/audio_speeches"),
    usage("/v1/organization/usage/audio_transcriptions"),
    usage("/v1/organization/usage/moderations"),
    usage("/v1/organization/usage/rerank"),
    usage("/v1/organization/usage/videos"),
    usage("/v1/organization/usage/requests"),
    management(Operation::ListRequests, Method::Get, "/v1/organization/requests", Permission::RequestsRead),
    management(Operation::GetRequest, Method::Get, "/v1/organization/requests/{request}", Permission::RequestsRead),
    management(
        Operation::GetReceipt,
        Method::Get,
        "/v1/organization/requests/{request}/receipt",
        Permission::RequestsRead,
    ),
];
