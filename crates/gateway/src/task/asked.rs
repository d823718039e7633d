//! What a key may ask about its organization's tasks (`wire.md` §2.12): one, a list, its end, its result; and the answer to
//! whoever made one. All of it but the making is free.

use super::content;
use super::read::{cancel, find, page_of, reach_of, unavailable, wrong};
use crate::alarm::{instant_in, instant_now};
use crate::authenticated::Authenticated;
use crate::flow::Flow;
use crate::node::Node;
use crate::respond::{self, Refusal};
use bytes::Bytes;
use claviger_domain::endpoint::Operation;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_domain::result_link::result_link;
use claviger_domain::task::{Task, TaskState};
use claviger_domain::tenancy::TenantScope;
use claviger_storage::{KeptTask, PageRequest, TaskFilter, TaskResult};
use claviger_wire::task::{Links, ShownResult, state_of, task, task_list};
use claviger_wire::video;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// How often a task is looked at that another node may end.
const LOOK: Duration = Duration::from_millis(500);

/// Answers one of them.
pub(super) async fn answer(node: &Arc<Node>, from: &Authenticated) -> Result<Response<Flow>, Refusal> {
    let operation = from.matched.found.row.operation;
    if operation == Operation::ListTasks {
        return list(node, from).await;
    }
    let kept = find(node, from).await?;
    match operation {
        Operation::GetTaskResult => result(node, &kept.task).await,
        Operation::CancelTask => {
            let kept = cancelled(node, kept).await?;
            shown(node, &kept).await
        }
        _ => {
            let wait = wait_of(&from.matched.received.head.headers)?;
            let kept = awaited(node, kept, wait.unwrap_or_default()).await?;
            shown(node, &kept).await
        }
    }
}

/// The answer to whoever made a task: 202 and where it is, or 200 with its end if that comes while it is waited for.
pub(crate) async fn made(node: &Arc<Node>, kept: KeptTask, wait: Option<Duration>) -> Result<Response<Flow>, Refusal> {
    let kept = awaited(node, kept, wait.unwrap_or_default()).await?;
    let mut reply = shown(node, &kept).await?;
    if kept.task.state.is_open() || wait.is_none() {
        *reply.status_mut() = StatusCode::ACCEPTED;
    }
    if let Ok(location) = HeaderValue::from_str(&links(node, &kept.task).get) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    Ok(reply)
}

/// How long a caller wants to wait: `Prefer: wait=N`, at most a minute; other preferences are not ours.
///
/// # Errors
/// A number of seconds that is none.
pub(crate) fn wait_of(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
    let mut words = lines.flat_map(|line| line.split([',', ';'])).map(str::trim);
    let Some(seconds) = words.find_map(|word| word.strip_prefix("wait=")) else { return Ok(None) };
    let seconds =
        seconds.trim_matches('"').parse::<u64>().map_err(|_| wrong("Prefer", "'wait=N' with whole seconds"))?;
    Ok(Some(Duration::from_secs(seconds).min(limits::TASK_WAIT)))
}

/// The task once it has ended, or as it is when the wait is over.
async fn awaited(node: &Arc<Node>, mut kept: KeptTask, wait: Duration) -> Result<KeptTask, Refusal> {
    let until = instant_in(wait);
    let mut ends = node.desk.ends();
    while kept.task.state.is_open() {
        let left = until.saturating_duration_since(instant_now());
        if left.is_zero() {
            break;
        }
        // An end here rings; an end elsewhere is seen.
        let _ = tokio::time::timeout(left.min(LOOK), ends.changed()).await;
        kept = again(node, &kept.task).await?;
    }
    Ok(kept)
}

async fn again(node: &Node, task: &Task) -> Result<KeptTask, Refusal> {
    let found =
        node.store.find_task(TenantScope(task.organization), task.id).await.map_err(|error| unavailable(&error))?;
    found.ok_or_else(|| Code::NotFound.into())
}

/// Ends a task that nobody wants. A call that runs here is left like a client leaves it, and what that costs is waited
/// for; everything else ends at no cost.
async fn cancelled(node: &Arc<Node>, kept: KeptTask) -> Result<KeptTask, Refusal> {
    if node.desk.cancel(kept.task.id) {
        return awaited(node, kept, limits::TASK_LOOK).await;
    }
    let task = cancel(node, kept).await?;
    again(node, &task).await
}

/// One task with its result.
async fn shown(node: &Node, kept: &KeptTask) -> Result<Response<Flow>, Refusal> {
    let result = match kept.task.state {
        TaskState::Completed => found_result(node, &kept.task).await?,
        _ => None,
    };
    Ok(respond::json(task_body(node, kept, result.as_ref())))
}

/// One task as it is shown.
pub(super) fn task_body(node: &Node, kept: &KeptTask, result: Option<&ShownResult>) -> Bytes {
    Bytes::from(task(&kept.task, &kept.record, result, &links(node, &kept.task)))
}

fn links(node: &Node, task: &Task) -> Links {
    let get = format!("{}/v1/tasks/{}", node.settings.public_url, task.id);
    Links { cancel: format!("{get}/cancel"), get }
}

async fn stored(node: &Node, task: &Task) -> Result<Option<TaskResult>, Refusal> {
    let found = node.store.find_task_result(TenantScope(task.organization), task.id).await;
    found.map_err(|error| unavailable(&error))
}

async fn found_result(node: &Node, task: &Task) -> Result<Option<ShownResult>, Refusal> {
    if task.terms.is_some() {
        let url = content::url(node, task);
        let generation = video::generation(task, url.as_deref());
        return Ok(ShownResult::json(generation));
    }
    let Some(TaskResult { content_type, bytes }) = stored(node, task).await? else { return Ok(None) };
    let length = bytes.len();
    if content_type.starts_with("application/json") {
        return Ok(ShownResult::json(bytes));
    }
    let link = result_link(&node.settings.peppers, task.id, task.expires_at);
    let url = link.map(|link| format!("{}/v1/tasks/{}/result/{link}", node.settings.public_url, task.id));
    Ok(url.map(|url| ShownResult::File { content_type, bytes: length, url }))
}

/// The bytes of a result, as a caller who waited would have got them.
pub(super) async fn result(node: &Arc<Node>, task: &Task) -> Result<Response<Flow>, Refusal> {
    if task.terms.is_some() {
        return content::answer(node, task).await;
    }
    if task.state != TaskState::Completed {
        return Err(Code::NotFound.into());
    }
    let TaskResult { content_type, bytes } = stored(node, task).await?.ok_or(Code::NotFound)?;
    let mut reply = Response::new(Flow::whole(Bytes::from(bytes)));
    let media_type =
        HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    reply.headers_mut().insert(header::CONTENT_TYPE, media_type);
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(reply)
}

async fn list(node: &Node, from: &Authenticated) -> Result<Response<Flow>, Refusal> {
    let (page, states) = asked(from.matched.received.head.uri.query().unwrap_or_default())?;
    let key = &from.caller.key;
    let filter = TaskFilter { environment: reach_of(from), kind: None, states };
    let found = node.store.page_tasks(TenantScope(key.organization()), &filter, &page).await;
    let found = found.map_err(|error| unavailable(&error))?;
    let found = found.ok_or_else(|| PublicError::new(Code::InvalidCursor).about("after"))?;
    let shown = found.data.iter().map(|kept| (kept.task.id, task_body(node, kept, None).to_vec()));
    Ok(respond::json(Bytes::from(task_list(&shown.collect::<Vec<_>>(), found.has_more))))
}

/// The page and the states that a query asks for.
fn asked(query: &str) -> Result<(PageRequest, Vec<TaskState>), Refusal> {
    let page = page_of(query)?;
    let mut states = Vec::new();
    for word in query.split('&').filter_map(|pair| pair.strip_prefix("status=")) {
        let named = state_of(word);
        if named.is_empty() {
            return Err(wrong("status", "queued, in_progress, completed, failed, cancelled or expired"));
        }
        states.extend(named);
    }
    Ok((page, states))
}
