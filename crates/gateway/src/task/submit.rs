//! A video is asked for: its hold becomes durable, then an upstream is asked, once (`money.md` §9).
//!
//! It runs beside the call, so that a client that leaves cannot leave it half done. A crash in the middle leaves a task
//! that nobody knows the upstream's id of: it is never sent again, and released when it is due.

use super::read::shown_body;
use super::{act, asked, end};
use crate::admitted::Admitted;
use crate::dispatched::{Asked, Dispatched};
use crate::exchange::Exchange;
use crate::node::Node;
use crate::observe::Trace;
use crate::planned::Planned;
use crate::relayed::Relayed;
use crate::respond::Refusal;
use crate::settled::blank_record;
use crate::socket::Phase;
use crate::wallets::WalletHold;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::TaskId;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, Outcome, RequestRecord};
use claviger_domain::task::{Task, TaskError, TaskEvent, TaskPlace, TaskState, VideoTerms};
use claviger_storage::{CreateTaskOutcome, Error, KeptTask};
use claviger_wire::inference::Reply;
use claviger_wire::task::OwnFields;
use claviger_wire::video::read_video;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often what is not known to be written is written again.
const TRIES: u32 = 3;

/// How a submission ended.
pub(crate) enum Submitted {
    /// An upstream has it.
    Taken(Box<KeptTask>),
    /// None has.
    Relayed(Relayed),
    /// It was not put to one.
    Refused(Refusal),
}

/// Submits a video.
pub(crate) async fn submit(node: &Arc<Node>, planned: Planned, trace: Box<Trace>, phase: &Arc<Phase>) -> Submitted {
    let (tell, told) = oneshot::channel();
    let (own, phase) = (Arc::clone(node), Arc::clone(phase));
    node.tasks.spawn(async move {
        let submitted = run(&own, planned, trace, &phase).await;
        // The client may have left; the task goes on all the same.
        drop(tell.send(submitted));
    });
    told.await.unwrap_or_else(|_| Submitted::Refused(Code::InternalError.into()))
}

async fn run(node: &Arc<Node>, mut planned: Planned, trace: Box<Trace>, phase: &Arc<Phase>) -> Submitted {
    let Some(terms) = planned.admitted.ask.video().cloned() else {
        return Submitted::Refused(Code::InternalError.into());
    };
    let kept = new_task(node, &planned, &trace, Some(terms));
    if planned.admitted.is_written_off() {
        return Submitted::Refused(Code::LedgerUnavailable.into());
    }
    if let Err(refusal) = hold(node, &kept, planned.admitted.take_hold()).await {
        return Submitted::Refused(refusal);
    }
    let Asked { dispatched, extra } = Dispatched::ask(planned, node, trace).await;
    let dispatched = match dispatched {
        Dispatched::Whole(exchange, reply) => match taken(node, kept, exchange, &reply).await {
            Ok(kept) => return Submitted::Taken(Box::new(kept)),
            Err(refusal) => return Submitted::Refused(refusal),
        },
        other => other,
    };
    if let Err(error) = not_taken(node, kept).await {
        tracing::error!(%error, "a task that no upstream took could not be ended: it is released when it is due");
    }
    match Relayed::reply(Asked { dispatched, extra }, node, phase).await {
        Ok(relayed) => Submitted::Relayed(relayed),
        Err(_) => Submitted::Refused(Code::InternalError.into()),
    }
}

/// The hold goes back; the record is the call's, and is written with its answer.
async fn not_taken(node: &Node, mut kept: KeptTask) -> Result<bool, Error> {
    let error = TaskError { code: Code::UpstreamError.text().to_owned(), message: "No upstream took it.".to_owned() };
    kept.task.step(TaskEvent::NotTaken(error), node.wall());
    repeated(|| end(node, kept.clone(), true, None)).await
}

/// A task as it begins, with the record of its call.
pub(super) fn new_task(node: &Node, planned: &Planned, trace: &Trace, terms: Option<VideoTerms>) -> KeptTask {
    let admitted = &planned.admitted;
    let own = admitted.terms.as_ref().map(|terms| &terms.own);
    let usual = if terms.is_some() { limits::TASK_TIME } else { limits::TASK_CALL };
    let time = own.and_then(|own| own.timeout_s).map_or(usual, Duration::from_secs);
    let (key, now) = (&admitted.caller.key, node.wall());
    let record = RequestRecord {
        status: 200,
        outcome: Outcome::Complete,
        price_version: admitted.sheet.as_ref().map(|sheet| sheet.version),
        hold: admitted.held(),
        // A video comes as it was asked for: nothing else is told at its end.
        conditions: admitted.book.is_some().then(|| Box::new(admitted.asked.clone())),
        delivery: Delivery::Delivered,
        ..blank_record(node, trace, &admitted.caller)
    };
    let task = Task {
        id: node.new_task_id(now),
        organization: key.organization(),
        environment: key.environment(),
        key: key.id,
        kind: admitted.operation.endpoint().unwrap_or(EndpointName::Video),
        model: admitted.ask.model().to_owned(),
        terms,
        metadata: own.map_or_else(|| "{}".to_owned(), OwnFields::metadata_json),
        callback: None,
        state: TaskState::Created,
        progress: 0,
        made_seconds: None,
        place: None,
        error: None,
        hold: admitted.held(),
        created_at: now,
        started_at: None,
        completed_at: None,
        expires_at: now.plus(time),
        due_at: now.plus(limits::TASK_SUBMIT),
        late: None,
    };
    KeptTask { task, record, tellings: 0 }
}

/// Makes the hold durable: what memory set aside is the task's from here on.
pub(super) async fn hold(node: &Node, kept: &KeptTask, held: Option<WalletHold>) -> Result<(), Refusal> {
    let amount = held.as_ref().map_or(Nano::ZERO, WalletHold::amount);
    let made = repeated(|| node.store.create_task(kept.clone())).await;
    match made {
        Ok(CreateTaskOutcome::Created) => {
            if let Some(held) = held {
                held.settle(amount);
            }
            Ok(())
        }
        Ok(CreateTaskOutcome::TooMany) => {
            let message = format!("The organization has {} tasks running; wait for one to end.", limits::TASKS_OPEN);
            Err(PublicError::with_message(Code::RateLimitExceeded, message).into())
        }
        Err(error) => {
            tracing::error!(%error, task = %kept.task.id, "a task could not be made: {error}");
            // It may have been written: then its hold comes back when the task is due.
            if let (Error::OutcomeUnknown(_), Some(held)) = (&error, held) {
                held.settle(amount);
            }
            Err(Code::LedgerUnavailable.into())
        }
    }
}

/// An upstream has it. The call is over: its record is written when the task ends.
async fn taken(node: &Arc<Node>, kept: KeptTask, exchange: Exchange, reply: &Reply) -> Result<KeptTask, Refusal> {
    let open = exchange.into_open().ok_or(Code::InternalError)?;
    node.metrics.holds_open.fetch_sub(1, Ordering::Relaxed);
    let said = read_video(&reply.body).ok();
    let place = said.zip(open.target.as_ref()).map(|(said, target)| {
        node.desk.keep(kept.task.id, &target.provider);
        TaskPlace {
            provider: target.provider.name.clone(),
            row: target.provider.row,
            upstream_model: target.upstream_model.clone(),
            upstream_id: said.id,
        }
    });
    let operation = open.admitted.operation;
    let Admitted { pass, mut claim, terms, .. } = *open.admitted;
    pass.settle(0);
    if let Some(claim) = &mut claim {
        // Whatever happens now, it is never asked for again under this name.
        claim.settled(true);
    }
    let place = place.ok_or(Code::UpstreamError)?;
    let kept = happened(node, kept, TaskEvent::Submitted(place)).await.map_err(|error| {
        tracing::error!(%error, "a task was submitted and its place could not be kept: it is released when it is due");
        Refusal::from(Code::ServiceUnavailable)
    })?;
    if let Some(mut claim) = claim {
        let body = match terms {
            Some(_) => asked::task_body(node, &kept, None),
            None => shown_body(node, &kept.task, operation),
        };
        claim.offer(&body, "application/json");
        claim.keep(node).await;
    }
    Ok(kept)
}

async fn happened(node: &Node, mut kept: KeptTask, event: TaskEvent) -> Result<KeptTask, Error> {
    let effect = kept.task.step(event, node.wall());
    repeated(|| act(node, kept.clone(), effect.clone())).await?;
    Ok(kept)
}

/// Writes once more what may not have been written: every act on tasks may be repeated.
pub(super) async fn repeated<T, F: Future<Output = Result<T, Error>>>(act: impl Fn() -> F) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match act().await {
            Err(Error::OutcomeUnknown(_) | Error::Unavailable(_)) if tries < TRIES => {
                tries = tries.saturating_add(1);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            done => return done,
        }
    }
}

impl Node {
    fn new_task_id(&self, at: claviger_domain::time::Timestamp) -> TaskId {
        self.with_random(|random| TaskId::generate(at, random))
    }
}
