//! Calls that are answered as a whole, as tasks: the same walk from Planned on, only that nobody waits at its end.
//!
//! What ends a call ends its task, the drain included: whoever settles it finds the task in what was admitted. A task that
//! is not wanted any more is left like a client leaves (`money.md` §7, row 7); one that takes too long costs nothing. A
//! call is in the memory of one process: what that had in hand when it ended is never asked again.

use super::submit::{hold, new_task, repeated};
use super::{TaskDesk, asked, end};
use crate::dispatched::{Asked, Dispatched, Failure, Fate, Sample};
use crate::exchange::{End, Exchange, Next, Read};
use crate::node::Node;
use crate::observe::Trace;
use crate::planned::Planned;
use crate::respond::Refusal;
use crate::settled::Settled;
use bytes::BytesMut;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::TaskId;
use claviger_domain::limits;
use claviger_domain::request::{Outcome, RequestRecord};
use claviger_domain::settlement::{Effect, Event, Verdict};
use claviger_domain::task::{TaskEffect, TaskError, TaskEvent};
use claviger_storage::{KeptTask, TaskResult};
use claviger_wire::inference::Reply;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The task of an admitted call, for whoever settles that.
pub(crate) struct TaskInHand {
    kept: KeptTask,
    /// How it ended, if that is more than the outcome of its record says.
    event: Option<TaskEvent>,
    result: Option<TaskResult>,
}

/// Whether a call still runs here; dropped with it.
struct Running<'a>(&'a TaskDesk, TaskId);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.calls.lock().remove(&self.1);
    }
}

/// Makes a task of a call and lets it run. What is answered is the task as it begins.
pub(crate) async fn begin(node: &Arc<Node>, planned: Planned, trace: Box<Trace>) -> Result<KeptTask, Refusal> {
    let (tell, told) = oneshot::channel();
    let own = Arc::clone(node);
    // Beside the connection: a client that leaves cannot leave it half done.
    node.tasks.spawn(async move {
        match made(&own, planned, &trace).await {
            Ok((planned, kept)) => {
                let cancelled = Arc::new(Notify::new());
                own.desk.calls.lock().insert(kept.task.id, Arc::clone(&cancelled));
                let running = Running(&own.desk, kept.task.id);
                drop(tell.send(Ok(kept.clone())));
                run(&own, planned, trace, kept, &cancelled).await;
                drop(running);
            }
            Err(refusal) => drop(tell.send(Err(refusal))),
        }
    });
    told.await.unwrap_or_else(|_| Err(Code::InternalError.into()))
}

/// Its row, its hold, and what its caller is told again under the same name.
async fn made(node: &Arc<Node>, mut planned: Planned, trace: &Trace) -> Result<(Planned, KeptTask), Refusal> {
    let mut kept = new_task(node, &planned, trace, None);
    kept.task.step(TaskEvent::Started, node.wall());
    // While this process lives nobody else looks; behind its time whoever does finds that it is lost.
    kept.task.due_at = kept.task.expires_at.plus(limits::TASK_LOOK);
    if planned.admitted.is_written_off() {
        return Err(Code::LedgerUnavailable.into());
    }
    let held = planned.admitted.take_hold();
    hold(node, &kept, held).await?;
    if let Some(mut claim) = planned.admitted.claim.take() {
        claim.settled(true);
        claim.offer(&asked::task_body(node, &kept, None), "application/json");
        claim.keep(node).await;
    }
    planned.admitted.pass.leave_place();
    planned.admitted.task = Some(Box::new(TaskInHand { kept: kept.clone(), event: None, result: None }));
    Ok((planned, kept))
}

/// Asks the targets until one answers, nobody wants it any more, or its time is over.
async fn run(node: &Arc<Node>, planned: Planned, trace: Box<Trace>, mut kept: KeptTask, cancelled: &Notify) {
    let left = kept.task.expires_at.0.saturating_sub(node.wall().0);
    let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
    let mut stopping = node.stopping();
    let asked = {
        let mut asking = pin!(Dispatched::ask(planned, node, trace));
        let stopped = async {
            let _ = stopping.wait_for(|stop| *stop).await;
            tokio::time::sleep(node.settings.drain).await;
        };
        tokio::select! {
            asked = &mut asking => asked,
            // What is dropped on the way is drained, and that settles it.
            () = cancelled.notified() => return,
            () = stopped => return,
            () = tokio::time::sleep(left) => {
                kept.task.step(TaskEvent::TooLate, node.wall());
                kept.record = too_late(node, kept.record.clone());
                if let Err(error) = repeated(|| end(node, kept.clone(), false, None)).await {
                    tracing::warn!(%error, "a task that took too long could not be ended: it is released when it is due");
                }
                return;
            }
        }
    };
    let Asked { dispatched, .. } = asked;
    match dispatched {
        Dispatched::Whole(exchange, reply) => answered(exchange, &reply),
        Dispatched::Binary(exchange, sample) => collected(exchange, sample).await,
        Dispatched::Failed(exchange, fate, failure) => failed(exchange, fate, &failure),
        // No task asks for a stream.
        Dispatched::Stream(..) | Dispatched::Pending(_) => {}
    }
}

fn too_late(node: &Node, record: RequestRecord) -> RequestRecord {
    let code = Some(Code::UpstreamTimeout.text());
    RequestRecord { outcome: Outcome::UpstreamFailed, rule: 11, error_code: code, completed_at: node.wall(), ..record }
}

fn answered(mut exchange: Exchange, reply: &Reply) {
    let Some(open) = exchange.open() else { return };
    open.first_byte_at = Some(open.node.wall());
    open.note_reply(reply);
    let Effect::Ended(verdict) = open.settlement.step(Event::UpstreamEnded) else { return };
    let content_type = open.admitted.ask.content_type().to_owned();
    let result = TaskResult { content_type, bytes: reply.body.to_vec() };
    ended(exchange, &verdict, TaskEvent::Answered, Some(result));
}

/// Sound and files, to their last byte.
async fn collected(mut exchange: Exchange, sample: Sample) {
    let Some(open) = exchange.open() else { return };
    open.first_byte_at = Some(open.node.wall());
    let mut all = BytesMut::from(&*sample.first);
    let next = loop {
        match open.read(false).await {
            Read::Piece(piece) => {
                all.extend_from_slice(&piece);
                let bytes = open.admitted.ask.body_bytes().saturating_add(all.len());
                if all.len() > limits::JSON_ANSWER_BYTES || !open.admitted.room.grow_to(bytes) {
                    break open.failed(Code::UpstreamError);
                }
            }
            Read::Silence => {}
            Read::End => break open.ended_binary(),
            Read::Failed(fault) => break open.failed(fault.code()),
        }
    };
    let Next::Ended(over) = next else { return };
    let End { verdict, error } = *over;
    let content_type = sample.media_type.to_str().unwrap_or("application/octet-stream").to_owned();
    match error {
        None => {
            let result = TaskResult { content_type, bytes: all.to_vec() };
            ended(exchange, &verdict, TaskEvent::Answered, Some(result));
        }
        Some(error) => ended(exchange, &verdict, not_taken(&error), None),
    }
}

fn failed(mut exchange: Exchange, fate: Fate, failure: &Failure) {
    let Some(open) = exchange.open() else { return };
    let Effect::Ended(verdict) = open.settlement.step(fate.into()) else { return };
    let error = match failure {
        Failure::Told(error) => error.clone(),
        Failure::AsItIs(_, body) => PublicError::with_message(Code::UpstreamError, claviger_wire::dialect::said(body)),
    };
    ended(exchange, &verdict, not_taken(&error), None);
}

fn not_taken(error: &PublicError) -> TaskEvent {
    TaskEvent::NotTaken(TaskError { code: error.code.text().to_owned(), message: error.message.clone().into_owned() })
}

/// Settles the call, and with it its task.
fn ended(exchange: Exchange, verdict: &Verdict, event: TaskEvent, result: Option<TaskResult>) {
    let Some(mut open) = exchange.into_open() else { return };
    let code = match &event {
        TaskEvent::NotTaken(error) => Code::ALL.iter().copied().find(|code| code.text() == error.code),
        _ => None,
    };
    if let Some(task) = &mut open.admitted.task {
        task.event = Some(event);
        task.result = result;
    }
    drop(Settled::by(open, verdict, code.map_or(200, Code::status), code));
}

impl TaskInHand {
    /// Ends the task as its call has ended: state, result, charge and record at once, beside whoever settled it.
    pub(crate) fn settle(self: Box<Self>, node: &Arc<Node>, record: RequestRecord) {
        let Self { mut kept, event, result } = *self;
        let event = event.unwrap_or_else(|| match record.outcome {
            Outcome::ClientClosed => TaskEvent::BrokenOff,
            Outcome::NodeStopped => not_taken(&PublicError::new(Code::ServerShutdown)),
            _ => not_taken(&PublicError::new(Code::UpstreamError)),
        });
        // What is open ends by each of these.
        if kept.task.step(event, node.wall()) == TaskEffect::Nothing {
            return;
        }
        kept.record = record;
        let own = Arc::clone(node);
        node.tasks.spawn(async move {
            if let Err(error) = repeated(|| end(&own, kept.clone(), false, result.clone())).await {
                tracing::error!(%error, "the end of a task could not be written: it is released when it is due");
            }
        });
    }
}
