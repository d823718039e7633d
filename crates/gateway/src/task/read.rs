//! What a key may ask about its organization's videos: read, list, end, delete. All of it is free, outlives the key that
//! asked for the video, and knows nothing of other organizations'.

use super::{act, asked, content, look};
use crate::authenticated::Authenticated;
use crate::flow::Flow;
use crate::node::Node;
use crate::respond::{self, Refusal};
use bytes::Bytes;
use claviger_domain::endpoint::{EndpointName, Method, Operation};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::Reach;
use claviger_domain::task::{Task, TaskEvent};
use claviger_domain::tenancy::TenantScope;
use claviger_storage::{Error, KeptTask, Order, PageRequest, TaskFilter};
use claviger_wire::video;
use http::{HeaderName, HeaderValue, Response};
use std::sync::Arc;

/// How long SDKs wait between two looks at a running one.
const POLL_AFTER: HeaderName = HeaderName::from_static("openai-poll-after-ms");

/// Rows of a page, when nobody says how many.
const PAGE: u32 = 20;

/// Whether an operation is answered here.
pub(crate) const fn is_read(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::ListVideos
            | Operation::GetVideo
            | Operation::GetGeneration
            | Operation::GetVideoContent
            | Operation::CancelGeneration
            | Operation::DeleteVideo
            | Operation::ListTasks
            | Operation::GetTask
            | Operation::GetTaskResult
            | Operation::CancelTask
    )
}

/// Answers one of them.
pub(crate) async fn answer(node: &Arc<Node>, from: &Authenticated) -> Result<Response<Flow>, Refusal> {
    let operation = from.matched.found.row.operation;
    if operation == Operation::ListVideos {
        return list(node, from).await;
    }
    let is_task = |operation| {
        matches!(
            operation,
            Operation::ListTasks | Operation::GetTask | Operation::GetTaskResult | Operation::CancelTask
        )
    };
    if is_task(operation) {
        return asked::answer(node, from).await;
    }
    let kept = find(node, from).await?;
    // A call that is no video has no shape here.
    if kept.task.terms.is_none() {
        return Err(Code::NotFound.into());
    }
    match operation {
        Operation::GetVideoContent => content::answer(node, &kept.task).await,
        Operation::CancelGeneration => Ok(shown(node, &cancel(node, kept).await?, operation)),
        Operation::DeleteVideo => delete(node, kept).await,
        _ => Ok(shown(node, &kept.task, operation)),
    }
}

/// One task as the route of an operation has it.
pub(super) fn shown_body(node: &Node, task: &Task, operation: Operation) -> Bytes {
    let is_openai = matches!(operation, Operation::CreateVideo | Operation::GetVideo);
    Bytes::from(match is_openai {
        true => video::video(task),
        false => video::generation(task, content::url(node, task).as_deref()),
    })
}

/// The same as an answer.
pub(crate) fn shown(node: &Node, task: &Task, operation: Operation) -> Response<Flow> {
    let mut reply = respond::json(shown_body(node, task, operation));
    if task.state.is_open() {
        reply.headers_mut().insert(POLL_AFTER, HeaderValue::from_static("2000"));
    }
    reply
}

pub(super) fn unavailable(error: &Error) -> Refusal {
    tracing::warn!(%error, "tasks could not be read or written");
    Code::ServiceUnavailable.into()
}

/// A task of the caller's organization, within its key's reach. Foreign, unknown and malformed ids are the same.
pub(super) async fn find(node: &Node, from: &Authenticated) -> Result<KeptTask, Refusal> {
    let key = &from.caller.key;
    let Some(id) = from.matched.found.captured("id").and_then(|id| id.parse().ok()) else {
        return Err(Code::NotFound.into());
    };
    let found = node.store.find_task(TenantScope(key.organization()), id).await.map_err(|error| unavailable(&error))?;
    found.filter(|kept| is_reached(from, kept)).ok_or_else(|| Code::NotFound.into())
}

/// Within the key's reach, and on its side of the wall between test keys and live ones.
fn is_reached(from: &Authenticated, kept: &KeptTask) -> bool {
    let is_seen = reach_of(from).is_none_or(|environment| environment == kept.task.environment);
    is_seen && from.caller.key.is_test == kept.record.is_test
}

/// The one environment that a key reaches, if it does not reach all.
pub(super) fn reach_of(from: &Authenticated) -> Option<EnvironmentId> {
    let key = &from.caller.key;
    (key.policy().reach != Reach::Organization).then(|| key.environment())
}

/// The page that a query asks for; what else it says is not looked at.
pub(super) fn page_of(query: &str) -> Result<PageRequest, Refusal> {
    let mut page = PageRequest { limit: PAGE, ..PageRequest::default() };
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("limit", limit)) => {
                let number = limit.parse().ok().filter(|limit| (1..=100).contains(limit));
                page.limit = number.ok_or_else(|| wrong("limit", "a whole number from 1 to 100"))?;
            }
            Some(("after", after)) => page.after = Some(after.to_owned()),
            Some(("order", "asc")) => page.order = Order::Ascending,
            Some(("order", "desc")) => page.order = Order::Descending,
            Some(("order", _)) => return Err(wrong("order", "'asc' or 'desc'")),
            _ => {}
        }
    }
    Ok(page)
}

async fn list(node: &Node, from: &Authenticated) -> Result<Response<Flow>, Refusal> {
    let page = page_of(from.matched.received.head.uri.query().unwrap_or_default())?;
    let key = &from.caller.key;
    let filter = TaskFilter { environment: reach_of(from), kind: Some(EndpointName::Video), states: Vec::new() };
    let scope = TenantScope(key.organization());
    let found = node.store.page_tasks(scope, &filter, &page).await.map_err(|error| unavailable(&error))?;
    let found = found.ok_or_else(|| PublicError::new(Code::InvalidCursor).about("after"))?;
    let tasks: Vec<Task> = found.data.into_iter().map(|kept| kept.task).collect();
    Ok(respond::json(Bytes::from(video::video_list(&tasks, found.has_more))))
}

pub(super) fn wrong(param: &str, expected: &str) -> Refusal {
    let message = format!("Invalid value for '{param}': expected {expected}.");
    PublicError::with_message(Code::InvalidValue, message).about(param.to_owned()).into()
}

/// Ends a task that nobody wants; one that has ended stays as it is.
pub(super) async fn cancel(node: &Arc<Node>, mut kept: KeptTask) -> Result<Task, Refusal> {
    let effect = kept.task.step(TaskEvent::Cancel, node.wall());
    let task = kept.task.clone();
    if act(node, kept, effect).await.map_err(|error| unavailable(&error))? {
        tell_upstream(node, &task);
        return Ok(task);
    }
    // It ended in between, or before.
    let scope = TenantScope(task.organization);
    let found = node.store.find_task(scope, task.id).await.map_err(|error| unavailable(&error))?;
    found.map(|kept| kept.task).ok_or_else(|| Code::NotFound.into())
}

async fn delete(node: &Arc<Node>, kept: KeptTask) -> Result<Response<Flow>, Refusal> {
    let task = cancel(node, kept).await?;
    let scope = TenantScope(task.organization);
    match node.store.delete_task(scope, task.id).await {
        Ok(true) => {
            tell_upstream(node, &task);
            Ok(respond::json(Bytes::from(video::video_deleted(&task))))
        }
        Ok(false) => Err(Code::NotFound.into()),
        Err(error) => Err(unavailable(&error)),
    }
}

/// Tells the upstream that nobody wants it; whether it listens changes nothing here.
fn tell_upstream(node: &Arc<Node>, task: &Task) {
    if task.place.is_none() {
        return;
    }
    let (own, task) = (Arc::clone(node), task.clone());
    node.tasks.spawn(async move {
        let told = async {
            let mut conversation = look(&own, &task, Method::Delete, "")?;
            conversation.head().await
        };
        drop(tokio::time::timeout(claviger_domain::limits::TASK_LOOK, told).await);
    });
}
