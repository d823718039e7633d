//! The OpenAPI document, made of the endpoint table and one description per operation.
//!
//! Paths, methods, credentials and permissions come from the rows, so every row is in the document and nothing else is.
//! What a row takes and gives is said once, in the file of its area: a new operation asks for it by the exhaustive match
//! of [`describe`]. That the descriptions are true is tested: every reply of this crate's tests is compared with its own.
//! How a document is shown to people is not known here.

mod admin_keys;
mod agents;
mod audit;
mod environments;
mod inference;
mod keys;
mod leaks;
mod limits;
mod money;
mod nodes;
mod operator;
mod organization;
mod people;
mod presented;
mod providers;
mod registries;
mod shape;
mod signing_in;

#[cfg(test)]
mod tests;

use claviger_domain::endpoint::{Authentication, EndpointTable, Method, Operation, Plane, Row};
use serde_json::{Map, Value, json};
use shape::{Field, Object, Shape};
use std::collections::BTreeSet;

/// What a row takes and gives.
pub(crate) struct Description {
    /// One line for people.
    summary: &'static str,
    /// Query parameters.
    query: &'static [Field],
    /// The JSON body, if it takes one.
    body: Option<&'static Object>,
    /// What a success answers.
    reply: Reply,
}

/// What a success answers.
pub(crate) enum Reply {
    /// An object.
    One(&'static Object),
    /// `{object: "list", data, first_id, last_id, has_more}` of it.
    List(&'static Object),
    /// JSON, one object a line.
    Lines,
    /// Bytes of a kind that the answer itself names.
    Bytes,
    /// Nothing: the browser goes on at another page.
    Elsewhere,
    /// `{data}` of it, as other vendors' endpoints have it.
    Wrapped(&'static Object),
}

impl Description {
    /// Without parameters and body.
    const fn of(summary: &'static str, reply: Reply) -> Self {
        Self { summary, query: &[], body: None, reply }
    }

    const fn taking(self, body: &'static Object) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn asking(self, query: &'static [Field]) -> Self {
        Self { query, ..self }
    }
}

/// One line per area: which operations its file describes. One that no area names does not compile. Keys and
/// people name their own; keys also ask for the method, which tells apart the two ways of ending a key.
macro_rules! areas {
    ($($area:ident { $($operation:ident)* })*) => {
        /// The description of a row's operation.
        pub(crate) fn describe(operation: Operation, method: Method) -> Description {
            match operation {
                $($(Operation::$operation)|* => $area::describe(operation),)*
                keys::operations!() => keys::describe(operation, method),
                people::operations!() => people::describe(operation),
            }
        }
    };
}

areas! {
    inference {
        ChatCompletions Completions Responses CountResponseTokens CompactResponse GetResponse DeleteResponse
        CancelResponse ListInputItems Messages CountMessageTokens Embeddings Rerank
        GenerateImages EditImages Speak Transcribe Translate
        CreateVideo CreateGeneration ListVideos GetVideo GetGeneration GetVideoContent GetSignedContent CancelGeneration
        DeleteVideo CreateTask ListTasks GetTask GetTaskResult GetSignedResult CancelTask
        ListModels GetModel GetCredits
    }
    limits {
        ListRateLimits SetRateLimit GetModelPermissions SetModelPermissions DeleteModelPermissions
    }
    nodes {
        GetConfirmation ListNodes DrainNode ListLeases WriteOffLease
    }
    organization {
        GetOrganization UpdateOrganization GetPolicy UpdatePolicy CloseOrganization ListOrganizations
        CreateOrganization ReadOrganization BoundOrganization SuspendOrganization ResumeOrganization
        EndOrganization
    }
    environments {
        ListEnvironments CreateEnvironment GetEnvironment UpdateEnvironment ArchiveEnvironment AskEnvironments
    }
    agents {
        ListAgents CreateAgent GetAgent UpdateAgent DeleteAgent CreateAgentKey AskAgents ListTrusts
        CreateTrust DeleteTrust ExchangeToken
    }
    registries {
        ListRegistries CreateRegistry GetRegistry UpdateRegistry DeleteRegistry AskRegistries
    }
    providers {
        ListProviders CreateProvider GetProvider UpdateProvider DeleteProvider TestProvider
        DetectProviders ListRoutes
    }
    money {
        GetWallet GetUsage GetOwnUsage GetRequest ListRequests GetReceipt
    }
    admin_keys {
        ListAdminKeys CreateAdminKey GetAdminKey DeleteAdminKey
    }
    presented {
        GetOwnKey RevokeOwnSecret LookUpKeys VerifyKey
    }
    leaks {
        ImportKeys ReportLeaks
    }
    audit {
        ListAuditLogs ExportAuditLogs ListInstanceAudit ExportInstanceAudit VerifyAudit ListCheckpoints
    }
    signing_in {
        StartSignOn FinishSignOn ListIdentities LinkIdentity UnlinkIdentity
        BeginDevice TakeDeviceKey ApproveDevice PasskeyOptions PasskeySignIn ListPasskeys NewPasskeyOptions
        AddPasskey RemovePasskey
    }
    operator {
        SetUp CreateGrant VerifyLedger ListInDoubt RebuildUsage ListJobs RunJob ReloadConfiguration
    }
}

/// Every error's body.
const ERROR: Object = Object {
    name: "Error",
    fields: &[shape::must(
        "error",
        Shape::Of(&Object {
            name: "ErrorDetail",
            fields: &[
                shape::must("message", Shape::Text),
                shape::must("type", Shape::Text),
                shape::must("param", Shape::OrNull(&Shape::Text)),
                shape::must("code", Shape::OrNull(&Shape::Text)),
            ],
            is_open: false,
        }),
    )],
    is_open: false,
};

/// The document as text, with a line break at its end.
pub fn document() -> String {
    let mut schemas = Map::new();
    shape::define(&ERROR, &mut schemas);
    let mut paths: Map<String, Value> = Map::new();
    let mut ids = BTreeSet::new();
    for row in EndpointTable::rows() {
        let operation = operation(row, &mut ids, &mut schemas);
        let path = paths.entry(path_of(row)).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(row.method.name().to_ascii_lowercase(), operation);
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Claviger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Inference paths are also served without /v1 and below /api, /api/v1 and /openai/v1.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "x_api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-claviger" },
            },
        },
    });
    serde_json::to_string_pretty(&document).map(|text| text + "\n").unwrap_or_default()
}

/// The canonical path of a row: inference rows stand below `/v1`.
fn path_of(row: &Row) -> String {
    match row.plane {
        Plane::Inference => format!("/v1/{}", row.path),
        Plane::Management => row.path.replace("*}", "}"),
    }
}

fn operation(row: &Row, ids: &mut BTreeSet<String>, schemas: &mut Map<String, Value>) -> Value {
    let description = describe(row.operation, row.method);
    let mut parameters: Vec<Value> = row
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_end_matches('*'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for field in description.query {
        let schema = field.shape.schema(schemas);
        parameters.push(json!({ "name": field.name, "in": "query", "required": field.is_required, "schema": schema }));
    }
    let media = match description.reply {
        Reply::Lines => "application/jsonl",
        Reply::Bytes => "application/octet-stream",
        _ => "application/json",
    };
    let reply = reply(&description.reply, schemas);
    let success = match description.reply {
        Reply::Elsewhere => ("303", json!({ "description": "The browser goes on at `Location`." })),
        _ => ("200", json!({ "description": "Done.", "content": { media: { "schema": reply } } })),
    };
    let mut operation = json!({
        "operationId": operation_id(row, ids),
        "summary": description.summary,
        "parameters": parameters,
        "security": security(row),
        "responses": {
            success.0: success.1,
            "default": {
                "description": "Refused: docs/errors.md lists the codes.",
                "content": { "application/json": { "schema": ERROR.reference() } },
            },
        },
    });
    let Some(members) = operation.as_object_mut() else { return operation };
    if let Some(permission) = row.permission {
        members.insert("x-permission".to_owned(), json!(permission.name()));
    }
    if let Some(body) = description.body {
        shape::define(body, schemas);
        let taken = if row.operation.takes_form() { "multipart/form-data" } else { "application/json" };
        let is_required = body.fields.iter().any(|field| field.is_required);
        members.insert(
            "requestBody".to_owned(),
            json!({ "required": is_required, "content": { taken: { "schema": body.reference() } } }),
        );
    }
    operation
}

/// Unique: the operation's name, and for further rows what tells them apart.
fn operation_id(row: &Row, ids: &mut BTreeSet<String>) -> String {
    let name = row.operation.name();
    let method = row.method.name().to_ascii_lowercase();
    let place = if row.path.contains("{project}") { "in_project" } else { "in_organization" };
    let candidates =
        [name.to_owned(), format!("{name}.{place}"), format!("{name}.{method}"), format!("{name}.{place}.{method}")];
    let free = candidates.into_iter().find(|candidate| !ids.contains(candidate));
    let id = free.unwrap_or_else(|| format!("{name}.{}", ids.len()));
    ids.insert(id.clone());
    id
}

fn reply(reply: &Reply, schemas: &mut Map<String, Value>) -> Value {
    match reply {
        Reply::One(object) => {
            shape::define(object, schemas);
            object.reference()
        }
        Reply::List(object) => {
            shape::define(object, schemas);
            let id = json!({ "type": ["string", "null"] });
            json!({
                "type": "object",
                "required": ["object", "data", "first_id", "last_id", "has_more"],
                "properties": {
                    "object": { "const": "list" },
                    "data": { "type": "array", "items": object.reference() },
                    "first_id": id,
                    "last_id": id,
                    "has_more": { "type": "boolean" },
                },
            })
        }
        Reply::Lines | Reply::Elsewhere => json!({ "type": "string" }),
        Reply::Bytes => json!({ "type": "string", "format": "binary" }),
        Reply::Wrapped(object) => {
            shape::define(object, schemas);
            json!({ "type": "object", "required": ["data"], "properties": { "data": object.reference() } })
        }
    }
}

fn security(row: &Row) -> Value {
    let key = [json!({ "bearer": [] }), json!({ "x_api_key": [] })];
    let session = json!({ "session": [] });
    match row.authentication {
        // The path is the secret.
        Authentication::Possession if row.path.ends_with("{link}") => json!([]),
        Authentication::InferenceKey | Authentication::Possession => json!(key),
        Authentication::AnyKey | Authentication::AdminKey => json!([key[0], key[1], session]),
        Authentication::Session | Authentication::Operator => json!([session]),
        Authentication::Signature | Authentication::Public => json!([]),
    }
}

/// A body that a row's description allows, with what it must have and nothing else.
#[cfg(test)]
pub(crate) fn sample(operation: Operation, method: Method) -> Value {
    describe(operation, method).body.map_or(Value::Null, Object::sample)
}

/// Compares a success with its description: `Err` names the first member that differs.
#[cfg(test)]
pub(crate) fn compare(operation: Operation, method: Method, body: &Value) -> Result<(), String> {
    match describe(operation, method).reply {
        Reply::One(object) => object.compare(body),
        Reply::Wrapped(object) => object.compare(&body["data"]),
        Reply::Lines | Reply::Bytes | Reply::Elsewhere => Ok(()),
        Reply::List(object) => {
            let members: Vec<&str> = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            if members != ["data", "first_id", "has_more", "last_id", "object"] {
                return Err(format!("a list has the members {members:?}"));
            }
            body["data"].as_array().into_iter().flatten().try_for_each(|row| object.compare(row))
        }
    }
}
