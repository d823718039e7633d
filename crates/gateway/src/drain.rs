//! Finishes answers whose client has left (W59): reads on for the final usage within bounds, then settles.
//!
//! What they cost is `settlement`'s to say. Every admitted request has reserved its place in this queue.

use crate::alarm::{Alarm, instant_in};
use crate::exchange::{Next, Open, Read};
use crate::node::Node;
use crate::settled::Settled;
use crate::upstream::Conversation;
use claviger_domain::limits;
use claviger_domain::settlement::{Effect, Event, Verdict};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// Where abandoned exchanges go.
pub(crate) struct Drains {
    queue: mpsc::Sender<Box<Open>>,
    reading: Arc<Semaphore>,
}

/// A reserved place in the queue.
pub(crate) struct DrainPermit(Option<mpsc::OwnedPermit<Box<Open>>>);

impl DrainPermit {
    pub(crate) const fn take(&mut self) -> Option<mpsc::OwnedPermit<Box<Open>>> {
        self.0.take()
    }
}

impl Drains {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Box<Open>>) {
        let (queue, abandoned) = mpsc::channel(limits::CHARGE_QUEUE);
        (Self { queue, reading: Arc::new(Semaphore::new(limits::DRAINS)) }, abandoned)
    }

    /// Takes a place; `None` when as many requests run as may run.
    pub(crate) fn try_reserve(&self) -> Option<DrainPermit> {
        self.queue.clone().try_reserve_owned().ok().map(|permit| DrainPermit(Some(permit)))
    }
}

/// Takes what is abandoned until the node has stopped and every place is given back.
pub(crate) async fn run(
    node: Weak<Node>,
    mut abandoned: mpsc::Receiver<Box<Open>>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            open = abandoned.recv() => match open {
                Some(open) => begin(&node, open),
                None => return,
            },
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    abandoned.close();
    while let Some(open) = abandoned.recv().await {
        begin(&node, open);
    }
}

fn begin(node: &Weak<Node>, open: Box<Open>) {
    if let Some(node) = node.upgrade() {
        let reading = Arc::clone(&node.drains.reading);
        node.tasks.spawn(async move { finish(open, &reading).await });
    }
}

async fn finish(mut open: Box<Open>, reading: &Semaphore) {
    open.note_dispatched();
    let event = match open.head_status {
        _ if open.node.is_cutting() => Event::Stopped,
        // Its answer was an error before anybody left: that costs nothing.
        Some(status) if status.is_client_error() => Event::UpstreamRejected,
        Some(status) if !status.is_success() => Event::UpstreamFailed,
        _ => Event::ClientGone,
    };
    let verdict = match open.settlement.step(event) {
        Effect::Ended(verdict) => Some(verdict),
        _ => match reading.try_acquire() {
            Ok(_permit) => {
                let node = Arc::clone(&open.node);
                tokio::select! {
                    verdict = read_on(&mut open) => verdict,
                    () = node.cutting() => None,
                }
            }
            Err(_) => None,
        },
    };
    let rest = if open.node.is_cutting() { Event::Stopped } else { Event::DrainOver };
    let verdict = verdict.or_else(|| match open.settlement.step(rest) {
        Effect::Ended(verdict) => Some(verdict),
        _ => None,
    });
    let Some(verdict) = verdict else { return };
    // 499: the client closed before anything was sent, as nginx words it.
    let status = if open.first_byte_at.is_some() { 200 } else { 499 };
    let node = Arc::clone(&open.node);
    let settled = Settled::by(open, &verdict, status, None);
    settled.trace.ended(&node, status, None);
    if settled.durable().await.is_err() {
        tracing::error!("an abandoned answer was charged, but the charge is not durable");
    }
}

/// Reads the upstream to its end, within the provider's drain time.
async fn read_on(open: &mut Open) -> Option<Verdict> {
    let target = open.target.clone()?;
    let deadline = instant_in(target.provider.drain);
    let mut alarm = Alarm::default();
    alarm
        .guard(deadline, async {
            if open.head_status.is_none() {
                match open.head().await {
                    Ok(head) if head.status.is_success() => {}
                    Ok(head) if head.status.is_client_error() => return ended(open, Event::UpstreamRejected),
                    _ => return ended(open, Event::UpstreamFailed),
                }
            }
            if open.stream.is_some() {
                rest_of_stream(open).await
            } else if open.admitted.ask.is_binary() {
                rest_of_binary(open).await
            } else {
                rest_of_answer(open, &target).await
            }
        })
        .await
        .flatten()
}

async fn rest_of_stream(open: &mut Open) -> Option<Verdict> {
    loop {
        match open.next(false).await {
            Next::Ended(end) => return Some(end.verdict),
            Next::HoldReached => return ended(open, Event::CutAtHold),
            Next::Forward(_) | Next::Silence | Next::Look => {}
        }
    }
}

async fn rest_of_binary(open: &mut Open) -> Option<Verdict> {
    loop {
        match open.read(false).await {
            Read::Piece(_) | Read::Silence => {}
            Read::End => {
                open.settlement.step(Event::Finished);
                return ended(open, Event::UpstreamEnded);
            }
            Read::Failed(_) => return ended(open, Event::UpstreamFailed),
        }
    }
}

async fn rest_of_answer(open: &mut Open, target: &claviger_domain::catalog::Target) -> Option<Verdict> {
    let Ok(body) = open.read_whole(limits::JSON_ANSWER_BYTES).await else { return ended(open, Event::UpstreamFailed) };
    let Ok(reply) = open.read_reply(body, target) else {
        return ended(open, Event::UpstreamFailed);
    };
    open.note_reply(&reply);
    // Who asks again under its name gets what was paid for.
    open.offer(&reply);
    ended(open, Event::UpstreamEnded)
}

fn ended(open: &mut Open, event: Event) -> Option<Verdict> {
    match open.settlement.step(event) {
        Effect::Ended(verdict) => Some(verdict),
        _ => None,
    }
}

/// Reads what an upstream still sends behind the last event, so that its connection can be used again.
pub(crate) fn finish_quietly(node: &Node, mut conversation: Conversation) {
    const REST: Duration = Duration::from_secs(1);
    node.tasks.spawn(async move {
        let deadline = instant_in(REST);
        let mut alarm = Alarm::default();
        let _ = alarm.guard(deadline, async { while let Ok(Some(_)) = conversation.piece().await {} }).await;
    });
}
