//! The bytes of a result, for whoever has a key of its organization or a link that this instance signed: relayed from the
//! upstream that made them, piece by piece.

use super::{asked, look};
use crate::flow::{Cut, Flow};
use crate::node::Node;
use crate::respond::Refusal;
use claviger_domain::endpoint::{Match, Method, Operation};
use claviger_domain::error::Code;
use claviger_domain::id::TaskId;
use claviger_domain::result_link::{is_result_link, result_link};
use claviger_domain::task::{Task, TaskState};
use http::{HeaderValue, Response, header};
use std::sync::Arc;
use std::time::Duration;

/// How long an upstream may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Where the bytes of a finished video are, for whoever is given the address: until it is forgotten, and without a key.
pub(super) fn url(node: &Node, task: &Task) -> Option<String> {
    let is_there = task.state == TaskState::Completed && task.terms.is_some();
    let link = is_there.then(|| result_link(&node.settings.peppers, task.id, task.expires_at)).flatten()?;
    Some(format!("{}/v1/videos/{}/content/{link}", node.settings.public_url, task.id))
}

/// Answers whoever has such an address. A link that is over, was made by others or opens something else is the same 404
/// as one to nothing.
pub(crate) async fn signed(node: &Arc<Node>, found: &Match) -> Result<Response<Flow>, Refusal> {
    let id: Option<TaskId> = found.captured("id").and_then(|id| id.parse().ok());
    let link = found.captured("link").unwrap_or_default();
    let id = id.filter(|id| is_result_link(&node.settings.peppers, *id, link, node.wall())).ok_or(Code::NotFound)?;
    let kept = node.store.find_signed_task(id).await.map_err(|error| {
        tracing::warn!(%error, "a task could not be read");
        Code::ServiceUnavailable
    })?;
    let task = kept.ok_or(Code::NotFound)?.task;
    match found.row.operation {
        Operation::GetSignedResult => asked::result(node, &task).await,
        _ => answer(node, &task).await,
    }
}

/// Whether a link opens it, and no key is needed.
pub(crate) const fn is_signed(operation: Operation) -> bool {
    matches!(operation, Operation::GetSignedContent | Operation::GetSignedResult)
}

/// Answers with the bytes; what is not done has none.
pub(super) async fn answer(node: &Arc<Node>, task: &Task) -> Result<Response<Flow>, Refusal> {
    if task.state != TaskState::Completed || task.place.is_none() {
        return Err(Code::NotFound.into());
    }
    let mut conversation = look(node, task, Method::Get, "/content").map_err(|_| Code::ServiceUnavailable)?;
    let head = tokio::time::timeout(SILENCE, conversation.head()).await.map_err(|_| Code::UpstreamTimeout)?;
    let head = head.map_err(|fault| Refusal::from(fault.code()))?;
    let Some(media_type) = head.media_type.filter(|_| head.status.is_success()) else {
        // Perhaps it is not done after all: somebody looks at once, and what failed is given back.
        if let Err(error) = node.store.postpone_task(task.id, node.wall()).await {
            tracing::warn!(%error, "a task could not be made due");
        }
        return Err(Code::UpstreamError.into());
    };
    let flow = Flow::running(|out| async move {
        loop {
            match tokio::time::timeout(SILENCE, conversation.piece()).await {
                Ok(Ok(Some(piece))) => out.send(piece).await,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(_)) | Err(_) => return Err(Cut),
            }
        }
    });
    let mut reply = Response::new(flow);
    reply.headers_mut().insert(header::CONTENT_TYPE, media_type);
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(reply)
}
