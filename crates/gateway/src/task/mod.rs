//! Tasks: work that outlives the call which asked for it (`wire.md` §2.10 and §2.12, `money.md` §9).
//!
//! A call ends with a durable hold; from there on whoever runs looks after the task until its hold is captured or released.
//! What follows on what is `domain/task.rs`; one transaction in storage makes it so.

mod asked;
mod call;
mod content;
mod follow;
mod read;
mod submit;

pub(crate) use asked::{made, wait_of};
pub(crate) use call::{TaskInHand, begin};
pub(crate) use content::{is_signed, signed};
pub(crate) use follow::run;
pub(crate) use read::{answer, is_read, shown};
pub(crate) use submit::{Submitted, submit};

use crate::alarm::instant_now;
use crate::node::Node;
use crate::upstream::{Call, Conversation, Fault};
use claviger_domain::catalog::Provider;
use claviger_domain::endpoint::Method;
use claviger_domain::error::Code;
use claviger_domain::id::TaskId;
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::price::PriceSheet;
use claviger_domain::request::{Attempt, AttemptOutcome, Outcome, RequestRecord};
use claviger_domain::task::{Task, TaskEffect, TaskPlace, TaskState};
use claviger_storage::{Error, KeptTask, TaskResult};
use claviger_wire::task::OwnFields;
use http::HeaderMap;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What a caller says of a task beside what is to be done.
#[derive(Debug)]
pub(crate) struct TaskTerms {
    pub(crate) own: OwnFields,
    /// How long it waits for the end in the call that asks for it.
    pub(crate) wait: Option<Duration>,
}

/// What this node knows of tasks beside their rows.
#[derive(Debug)]
pub(crate) struct TaskDesk {
    /// The providers of open tasks as they were when this node began to look after them. A provider that is taken out of
    /// the configuration, or that is given another credential, goes on for these until they end.
    providers: Mutex<HashMap<TaskId, Arc<Provider>>>,
    /// Calls that run here as tasks, and how each is broken off.
    calls: Mutex<HashMap<TaskId, Arc<Notify>>>,
    /// Rung whenever a task ends here.
    ends: watch::Sender<u64>,
}

impl TaskDesk {
    pub(crate) fn new() -> Self {
        Self { providers: Mutex::default(), calls: Mutex::default(), ends: watch::Sender::new(0) }
    }

    fn keep(&self, id: TaskId, provider: &Arc<Provider>) {
        self.providers.lock().insert(id, Arc::clone(provider));
    }

    /// Breaks off a call; `false` when it does not run here.
    fn cancel(&self, id: TaskId) -> bool {
        let calls = self.calls.lock();
        calls.get(&id).map(|call| call.notify_one()).is_some()
    }

    /// Changes whenever a task ends here.
    fn ends(&self) -> watch::Receiver<u64> {
        self.ends.subscribe()
    }

    fn ended(&self, id: TaskId) {
        self.providers.lock().remove(&id);
        self.ends.send_modify(|ends| *ends = ends.wrapping_add(1));
    }
}

/// The provider that has a task.
fn provider_of(node: &Node, task: &Task) -> Option<Arc<Provider>> {
    if let Some(provider) = node.desk.providers.lock().get(&task.id) {
        return Some(Arc::clone(provider));
    }
    let place = task.place.as_ref()?;
    let provider = match place.row {
        Some(row) => {
            let tenant = node.snapshot.find_organization(task.organization)?;
            tenant.own.as_ref()?.find_provider(row)?
        }
        None => declared(node, place)?,
    };
    if task.state.is_open() {
        node.desk.keep(task.id, &provider);
    }
    Some(provider)
}

/// A provider of the configuration, as long as the catalog knows it.
fn declared(node: &Node, place: &TaskPlace) -> Option<Arc<Provider>> {
    let catalog = node.catalog.load();
    let mut targets = catalog.list().flat_map(|(_, model)| model.tiers.iter().flatten());
    let is_it = |provider: &Provider| provider.row.is_none() && provider.name == place.provider;
    targets.find(|target| is_it(&target.provider)).map(|target| Arc::clone(&target.provider))
}

/// Asks the provider of a task about it; `tail` follows its path.
fn look(node: &Node, task: &Task, method: Method, tail: &str) -> Result<Conversation, Fault> {
    let place = task.place.as_ref().ok_or(Fault::Unreachable)?;
    let provider = provider_of(node, task).ok_or(Fault::Unreachable)?;
    let now = node.now();
    let request = node.new_request_id(now.wall);
    node.upstreams.begin(Call {
        provider: &provider,
        method,
        path: Cow::Owned(format!("/v1/videos/{}{tail}", place.upstream_id)),
        request,
        request_id: &request.text(),
        client_headers: &HeaderMap::new(),
        content_type: "application/json",
        body: Vec::new(),
        now_seconds: now.wall.seconds(),
        now: instant_now(),
        connect: provider.timeouts.connect,
        place: None,
    })
}

/// Does what a step says; `false` when it had been done before.
async fn act(node: &Node, kept: KeptTask, effect: TaskEffect) -> Result<bool, Error> {
    match effect {
        TaskEffect::Nothing => Ok(false),
        TaskEffect::Wait => node.store.postpone_task(kept.task.id, kept.task.due_at).await.map(|()| true),
        TaskEffect::Save => node.store.save_task(kept.task).await,
        TaskEffect::Capture(seconds) => {
            let record = captured(node, &kept, seconds).await?;
            end(node, KeptTask { record, ..kept }, false, None).await
        }
        TaskEffect::Settle | TaskEffect::Release => {
            let record = released(node, &kept);
            end(node, KeptTask { record, ..kept }, false, None).await
        }
        TaskEffect::Refund => {
            let (id, charge) = (kept.task.id, kept.record.charge);
            let is_done = node.store.correct_task(kept, Nano::ZERO, node.wall()).await?;
            if is_done {
                tracing::warn!(%id, %charge, "an upstream took back what it had called done: the charge was given back");
            }
            Ok(is_done)
        }
        TaskEffect::Absorb(seconds) => {
            let (id, cost) = (kept.task.id, cost_of(node, &kept.record, seconds).await?);
            let is_done = node.store.correct_task(kept, cost, node.wall()).await?;
            if is_done {
                node.metrics.absorbed_nanos.fetch_add(cost.0, Ordering::Relaxed);
                tracing::warn!(%id, %cost, "an upstream finished what had been given up: its cost is absorbed");
            }
            Ok(is_done)
        }
    }
}

/// Ends an open task with the record that it has now; `false` when it had ended before.
async fn end(node: &Node, kept: KeptTask, is_recorded: bool, result: Option<TaskResult>) -> Result<bool, Error> {
    let (id, charge) = (kept.task.id, kept.record.charge);
    let is_ended = node.store.end_task(kept, is_recorded, result).await?;
    if is_ended {
        node.metrics.charged_nanos.fetch_add(charge.0, Ordering::Relaxed);
    }
    node.desk.ended(id);
    Ok(is_ended)
}

/// What seconds cost, by the prices that a request was admitted under; nothing for free models. Never above its hold.
async fn cost_of(node: &Node, record: &RequestRecord, seconds: u64) -> Result<Nano, Error> {
    let meters = Meters::NONE.with(Meter::VideoSecond, seconds);
    let sheet = match record.price_version {
        Some(version) => node.store.find_price_version(version).await?,
        None => None,
    };
    let asked = record.conditions.as_deref().cloned().unwrap_or_default();
    // What is beyond the range of money is beyond the hold.
    let cost = |sheet: PriceSheet| sheet.settling(&asked).0.cost(&meters).unwrap_or(record.hold);
    Ok(sheet.map_or(Nano::ZERO, cost).min(record.hold))
}

/// The record of a video that is paid for.
async fn captured(node: &Node, kept: &KeptTask, seconds: u64) -> Result<RequestRecord, Error> {
    Ok(RequestRecord {
        outcome: Outcome::Complete,
        rule: 1,
        usage_source: UsageSource::UpstreamFinal,
        meters: Meters::NONE.with(Meter::VideoSecond, seconds),
        charge: cost_of(node, &kept.record, seconds).await?,
        ..ended(node, kept)
    })
}

/// The record of a task that costs nothing.
fn released(node: &Node, kept: &KeptTask) -> RequestRecord {
    let task = &kept.task;
    let (outcome, rule) = match task.state {
        TaskState::Cancelled => (Outcome::ClientClosed, 5),
        // Nobody knows what its upstream made of it: what was held is the exposure.
        _ if task.place.is_none() => (Outcome::NodeLost, 16),
        _ => (Outcome::UpstreamFailed, 11),
    };
    let said = task.error.as_ref().map(|error| error.code.as_str());
    let code = Code::ALL.iter().map(|code| code.text()).find(|code| Some(*code) == said);
    RequestRecord { outcome, rule, error_code: code, ..ended(node, kept) }
}

fn ended(node: &Node, kept: &KeptTask) -> RequestRecord {
    let KeptTask { task, record, .. } = kept;
    let attempt = |place: &TaskPlace| Attempt {
        provider: place.provider.clone(),
        upstream_model: Some(place.upstream_model.clone()),
        outcome: Some(AttemptOutcome::Answered),
        status: 200,
        head_ms: 0,
    };
    RequestRecord {
        completed_at: task.completed_at.unwrap_or_else(|| node.wall()),
        upstream_model: task.place.as_ref().map(|place| place.upstream_model.clone()),
        upstream_request_id: task.place.as_ref().map(|place| place.upstream_id.clone()),
        attempts: task.place.iter().map(attempt).collect(),
        ..record.clone()
    }
}
