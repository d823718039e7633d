//! Looks after open tasks, whoever began them: a restart, a kill, a node that died are no event here.
//!
//! A task is claimed before it is looked at, so that of several nodes one does; as many are claimed as there are places to
//! look. Whatever a look finds may be found again by another: only an open row ends, once, and only one that has ended is
//! corrected, once.

use super::{act, look};
use crate::node::Node;
use crate::upstream::Fault;
use bytes::{Bytes, BytesMut};
use claviger_domain::endpoint::Method;
use claviger_domain::limits;
use claviger_domain::task::{Said, Task, TaskEvent};
use claviger_storage::KeptTask;
use claviger_wire::video::read_video;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long an upstream may take for one look; well within the claim.
const ANSWER: Duration = Duration::from_secs(20);

/// Ticks between two sweeps of what is forgotten.
const SWEEP: u32 = 60;

/// Looks for what is due until the node stops.
pub(crate) async fn run(node: Arc<Node>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits::TASK_LOOKS));
    let mut ticks = 0_u32;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(limits::TASK_TICK) => {}
        }
        look_at_all(&node, &places).await;
        ticks = ticks.wrapping_add(1);
        if ticks.checked_rem(SWEEP) == Some(0)
            && let Err(error) = node.store.forget_tasks(node.wall()).await
        {
            tracing::warn!(%error, "ended tasks could not be forgotten");
        }
    }
}

/// Begins a look at everything that is due, as far as there are places.
async fn look_at_all(node: &Arc<Node>, places: &Arc<Semaphore>) {
    loop {
        let free = u32::try_from(places.available_permits()).unwrap_or(0).min(limits::TASKS_AT_ONCE);
        if free == 0 {
            return;
        }
        let now = node.wall();
        let due = match node.store.claim_tasks(now, now.plus(limits::TASK_LOOK), free).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "due tasks could not be read");
                return;
            }
        };
        if due.is_empty() {
            return;
        }
        for kept in due {
            let Ok(place) = Arc::clone(places).try_acquire_owned() else { return };
            let own = Arc::clone(node);
            node.tasks.spawn(async move {
                let _place = place;
                look_after(&own, kept).await;
            });
        }
    }
}

async fn look_after(node: &Node, mut kept: KeptTask) {
    let event = match &kept.task.place {
        None => TaskEvent::Unheard,
        Some(_) => match tokio::time::timeout(ANSWER, ask(node, &kept.task)).await {
            Ok(Ok(said)) => TaskEvent::Said(said),
            Ok(Err(_)) | Err(_) => TaskEvent::Unheard,
        },
    };
    let id = kept.task.id;
    let effect = kept.task.step(event, node.wall());
    if let Err(error) = act(node, kept, effect).await {
        tracing::warn!(%error, %id, "what a task came to could not be written; it is looked at again");
    }
}

async fn ask(node: &Node, task: &Task) -> Result<Said, Fault> {
    let mut conversation = look(node, task, Method::Get, "")?;
    let head = conversation.head().await?;
    if matches!(head.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(Said::Gone);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = conversation.piece().await? {
        body.extend_from_slice(&piece);
        if body.len() > limits::JSON_ANSWER_BYTES {
            return Err(Fault::Broken);
        }
    }
    if !head.status.is_success() {
        return Err(Fault::Broken);
    }
    read_video(&Bytes::from(body)).map(|video| video.said).map_err(|_| Fault::Broken)
}
