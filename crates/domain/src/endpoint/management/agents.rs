//! Agents, which this surface calls service accounts, and whom they trust.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::limits;
use crate::right::Permission;

const PATH: &str = "/v1/organization/projects/{project}/service_accounts";
const TRUSTS: &str = "/v1/organization/projects/{project}/service_accounts/{agent}/trusts";
const ONE: &str = "/v1/organization/projects/{project}/service_accounts/{agent}";

pub(super) const ROWS: &[Row] = &[
    management(Operation::ListAgents, Method::Get, PATH, Permission::AgentsRead),
    management(Operation::CreateAgent, Method::Post, PATH, Permission::AgentsManage),
    management(Operation::GetAgent, Method::Get, ONE, Permission::AgentsRead),
    management(Operation::UpdateAgent, Method::Post, ONE, Permission::AgentsManage),
    management(Operation::DeleteAgent, Method::Delete, ONE, Permission::AgentsManage),
    management(
        Operation::CreateAgentKey,
        Method::Post,
        "/v1/organization/projects/{project}/service_accounts/{agent}/api_keys",
        Permission::KeysCreate,
    ),
    management(Operation::ListTrusts, Method::Get, TRUSTS, Permission::AgentsManage),
    management(Operation::CreateTrust, Method::Post, TRUSTS, Permission::AgentsManage),
    management(
        Operation::DeleteTrust,
        Method::Delete,
        "/v1/organization/projects/{project}/service_accounts/{agent}/trusts/{trust}",
        Permission::AgentsManage,
    ),
    Row {
        authentication: Authentication::Public,
        permission: None,
        body_bytes_max: limits::EXCHANGE_BODY_BYTES,
        ..management(Operation::ExchangeToken, Method::Post, "/v1/agents/exchange", Permission::AgentsRead)
    },
    Row {
        authentication: Authentication::AnyKey,
        ..management(Operation::AskAgents, Method::Post, "/api/agents/list", Permission::AgentsRead)
    },
];
