//! Agents, which this surface calls service accounts.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::right::Permission;

const PATH: &str = "/v1/organization/projects/{project}/service_accounts";
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
    Row {
        authentication: Authentication::AnyKey,
        ..management(Operation::AskAgents, Method::Post, "/api/agents/list", Permission::AgentsRead)
    },
];
