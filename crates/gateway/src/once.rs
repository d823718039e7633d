//! Requests that name themselves by an `Idempotency-Key` (W31): run once, answered as often as they are asked.
//!
//! A claim is taken before the admission and travels with it. Whoever holds it ends it: with the answer, once its charge
//! is durable; else, by one message from `Drop`, as spent when something was charged and as given back when nothing was.
//! What is kept, and for how long, is storage's; what a caller without such a key does is not touched.

use crate::authenticated::Caller;
use crate::node::Node;
use crate::observe::Trace;
use crate::respond::Refusal;
use bytes::Bytes;
use claviger_domain::endpoint::Operation;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_storage::{Claimed, KeptReply, ReplayClaim};
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot, watch};

/// What a request is named by, and what it asks for.
pub(crate) struct Named {
    /// The header's text.
    pub(crate) key: String,
    /// What is asked, as a hash.
    pub(crate) fingerprint: String,
}

/// A request that runs once.
pub(crate) struct Claim {
    claim: ReplayClaim,
    /// How its end is told; `None` = it has ended.
    end: Option<mpsc::OwnedPermit<Ended>>,
    is_spent: bool,
    /// The answer, once it is known whole.
    reply: Option<KeptReply>,
}

/// What a named request meets.
pub(crate) enum Taken {
    /// It runs.
    Claim(Claim),
    /// It was answered before.
    Reply(KeptReply),
}

/// Claims that ended without an answer to keep.
pub(crate) struct Claims(mpsc::Sender<Ended>);

/// The end of a claim.
pub(crate) struct Ended {
    claim: ReplayClaim,
    is_spent: bool,
}

impl Claims {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ended>) {
        let (queue, ended) = mpsc::channel(limits::CHARGE_QUEUE);
        (Self(queue), ended)
    }
}

impl Claim {
    /// Claims the request for this node.
    ///
    /// # Errors
    /// 409 while another runs; 400 for another body, or when its answer is not kept; 503 without the database.
    pub(crate) async fn take(
        named: Named,
        (caller, operation): (&Caller, Operation),
        node: &Node,
        trace: &Trace,
    ) -> Result<Taken, Refusal> {
        let end = node.claims.0.clone().try_reserve_owned().map_err(|_| Code::Overloaded)?;
        let claim = ReplayClaim {
            key: caller.key.id,
            path: operation.name(),
            idempotency_key: named.key,
            organization: caller.key.organization(),
            body_hash: named.fingerprint,
            request: trace.request_id,
            at: trace.arrived.wall,
        };
        // Made before it is asked for: whoever leaves meanwhile gives back what may have been taken.
        let mut mine = Self { claim, end: Some(end), is_spent: false, reply: None };
        let claimed = node.store.claim_replay(&mine.claim).await.map_err(|error| {
            tracing::warn!(%error, "a request could not be claimed");
            Code::ServiceUnavailable
        })?;
        let refused = match claimed {
            Claimed::Taken => return Ok(Taken::Claim(mine)),
            Claimed::Kept(reply) => {
                mine.end = None;
                return Ok(Taken::Reply(reply));
            }
            Claimed::Running => Code::IdempotencyInProgress.into(),
            Claimed::OtherBody => PublicError::new(Code::IdempotencyKeyReused),
            Claimed::Spent(request) => PublicError::with_message(
                Code::IdempotencyNotReplayable,
                format!(
                    "The request {request} had this Idempotency-Key and was charged, but its answer is not kept: it was a \
                     stream, sound, over 16 MiB, or it ended early. To ask anew, send another key."
                ),
            ),
        };
        mine.end = None;
        Err(refused.into())
    }

    /// The answer is known whole.
    pub(crate) fn offer(&mut self, body: &Bytes, content_type: &str) {
        if body.len() <= limits::REPLAYED_REPLY_BYTES {
            self.reply = Some(KeptReply { content_type: content_type.to_owned(), body: body.to_vec() });
        }
    }

    /// It is settled. What was charged, or answered whole, never runs again under this key.
    pub(crate) fn settled(&mut self, is_spent: bool) {
        self.is_spent = is_spent || self.reply.is_some();
    }

    /// The charge is durable: keeps the answer if there is one, before its last piece leaves. A caller who leaves
    /// meanwhile stops nothing.
    pub(crate) async fn keep(mut self, node: &Arc<Node>) {
        let Some(reply) = self.reply.take() else { return };
        let (done, kept) = oneshot::channel::<()>();
        let keeper = Arc::clone(node);
        node.tasks.spawn(async move {
            match keeper.store.keep_reply(&self.claim, reply).await {
                Ok(_) => drop(self.end.take()),
                Err(error) => tracing::warn!(%error, "an answer could not be kept for its Idempotency-Key"),
            }
            drop(done);
        });
        let _ = kept.await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.send(Ended { claim: self.claim.clone(), is_spent: self.is_spent });
        }
    }
}

/// Writes the ends of claims until the node has stopped and every one is told.
pub(crate) async fn run(node: Weak<Node>, mut ended: mpsc::Receiver<Ended>, mut stopped: watch::Receiver<bool>) {
    loop {
        let told = tokio::select! {
            told = ended.recv() => told,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let Some(told) = told else { return };
        write(&node, told).await;
    }
    ended.close();
    while let Some(told) = ended.recv().await {
        write(&node, told).await;
    }
}

async fn write(node: &Weak<Node>, Ended { claim, is_spent }: Ended) {
    let Some(node) = node.upgrade() else { return };
    if let Err(error) = node.store.end_replay(&claim, is_spent).await {
        // It counts as running until the next start, or until nothing can run for so long.
        tracing::warn!(%error, request = %claim.request, "the end of a claim could not be written");
    }
}
