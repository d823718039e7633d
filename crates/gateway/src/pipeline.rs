//! One request, as a list of stages in the order of checks of `wire.md` §1.
//!
//! The walk has two halves: up to the dispatch it is straight code here; from the first forwarded byte on the same
//! straight code lives in the answer's own future (`relayed.rs`), which hyper pulls. Management rows leave after the
//! match.

use crate::admitted::Admitted;
use crate::authenticated::{Authenticated, brings_key_in_the_clear};
use crate::body::PacedBody;
use crate::dispatched::Dispatched;
use crate::flow::{Cut, Flow};
use crate::kept;
use crate::limits;
use crate::local;
use crate::matched::{Destination, Matched};
use crate::node::Node;
use crate::observe::Trace;
use crate::once::{Claim, Taken};
use crate::parsed::{Parsed, Unparsed};
use crate::planned::Planned;
use crate::received::{BodyLength, Received, RequestContext};
use crate::relayed::Relayed;
use crate::respond::{self, Form, Refusal};
use crate::socket::Phase;
use crate::task::{self, Submitted};
use bytes::Bytes;
use claviger_domain::address::ClientAddress;
use claviger_domain::denied::DeniedAttempts;
use claviger_domain::endpoint::{Match, Operation};
use claviger_domain::error::Code;
use claviger_domain::limits as bounds;
use claviger_domain::request::{Outcome, RefusedBy};
use claviger_storage::{KeptReply, KeptTask};
use claviger_wire::openai::responses::KeptCall;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Either;
use hyper::body::Incoming;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where a request comes from.
pub(crate) struct Connection {
    pub(crate) client: SocketAddr,
    pub(crate) phase: Arc<Phase>,
}

/// Answers one request. Never fails: what goes wrong becomes a reply.
///
/// The branches are boxed: hyper moves this future for every request, so it must stay small.
pub(crate) async fn answer<M, F, B>(
    node: Arc<Node>,
    connection: Arc<Connection>,
    management: M,
    request: Request<Incoming>,
) -> Response<Either<Flow, B>>
where
    M: Fn(Match, Request<PacedBody>, RequestContext) -> F,
    F: Future<Output = Response<B>>,
{
    connection.phase.busy();
    let mut trace = Box::new(Trace::new(&node, connection.client));
    let walk = Walk { node: &node, connection: &connection };
    let received = match Received::check(request, &mut trace) {
        Ok(received) => received,
        Err(refused) => return left(Box::pin(walk.refuse_unread(*refused, trace)).await),
    };
    let is_last = received.is_last() || node.is_stopping();
    let found = if connection.phase.take_fragment() {
        Err(Matched::no_such_url(received, &node.settings.prefixes))
    } else {
        Matched::find(received, &node, &mut trace)
    };
    let mut reply = match found {
        Err(refused) => left(Box::pin(walk.refuse_unread(*refused, trace)).await),
        Ok(Destination::Options(allow)) => left(walk.whole(no_content(&allow), &trace)),
        Ok(Destination::Root) => left(walk.whole(Response::new(Flow::whole(Bytes::new())), &trace)),
        Ok(Destination::Row(matched)) if task::is_signed(matched.found.row.operation) => {
            left(Box::pin(walk.linked(matched, trace)).await)
        }
        Ok(Destination::Row(matched)) if matched.is_inference() => left(Box::pin(walk.inference(matched, trace)).await),
        Ok(Destination::Row(matched)) if brings_key_in_the_clear(&node, &trace, &matched.received.head.headers) => {
            left(Box::pin(walk.refuse_unread((Code::TlsRequired.into(), matched.received), trace)).await)
        }
        Ok(Destination::Row(matched)) => Box::pin(walk.manage(matched, trace, management)).await.map(Either::Right),
    };
    if is_last {
        respond::close(reply.headers_mut());
    }
    reply
}

fn left<B>(reply: Response<Flow>) -> Response<Either<Flow, B>> {
    reply.map(Either::Left)
}

fn no_content(allow: &str) -> Response<Flow> {
    let mut reply = Response::new(Flow::whole(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(allow) {
        reply.headers_mut().insert(header::ALLOW, allow);
    }
    reply
}

/// What every step of the walk needs.
struct Walk<'a> {
    node: &'a Arc<Node>,
    connection: &'a Connection,
}

impl Walk<'_> {
    async fn inference(&self, matched: Box<Matched>, mut trace: Box<Trace>) -> Response<Flow> {
        let authenticated = match Authenticated::check(matched, self.node, &mut trace) {
            Ok(authenticated) => authenticated,
            Err(refused) => {
                let (refusal, matched) = *refused;
                return self.refuse_unread((refusal, matched.received), trace).await;
            }
        };
        let local = match authenticated.matched.found.row.operation {
            operation if operation.is_inference() => return self.infer(authenticated, trace).await,
            Operation::ListModels => Ok(local::list_models(self.node, &authenticated)),
            Operation::GetModel => local::find_model(self.node, &authenticated),
            operation if task::is_read(operation) => Box::pin(task::answer(self.node, &authenticated)).await,
            // Boxed: with the database's futures inside, every chat call would move 15 KB more.
            Operation::GetCredits => Box::pin(local::credits(self.node, &authenticated)).await,
            operation if KeptCall::of(operation).is_some() => {
                Box::pin(kept::answer(self.node, &authenticated, &trace)).await
            }
            _ => Err(Code::InternalError.into()),
        };
        match local {
            Ok(mut reply) => {
                let received = authenticated.matched.received;
                if !is_discarded(*received).await {
                    respond::close(reply.headers_mut());
                    self.connection.phase.linger();
                }
                self.whole(reply, &trace)
            }
            Err(refusal) => self.refuse_unread((refusal, authenticated.matched.received), trace).await,
        }
    }

    /// Whoever has a link that this instance signed needs no key.
    async fn linked(&self, matched: Box<Matched>, trace: Box<Trace>) -> Response<Flow> {
        match task::signed(self.node, &matched.found).await {
            Ok(mut reply) => {
                if !is_discarded(*matched.received).await {
                    respond::close(reply.headers_mut());
                    self.connection.phase.linger();
                }
                self.whole(reply, &trace)
            }
            Err(refusal) => self.refuse_unread((refusal, matched.received), trace).await,
        }
    }

    /// Parsed → Admitted → Planned → Dispatched → Relayed.
    async fn infer(&self, mut from: Authenticated, mut trace: Box<Trace>) -> Response<Flow> {
        if let Err(refusal) = limits::share(self.node, &mut from.pass).await {
            return self.refuse_unread((refusal, from.matched.received), trace).await;
        }
        let mut parsed = match Parsed::read(from, self.node, &mut trace).await {
            Ok(parsed) => parsed,
            Err(Unparsed { refusal, unread }) => return self.refuse(refusal, trace, unread).await,
        };
        if let Some(named) = parsed.named.take() {
            // Boxed: few requests have one, and all would carry its futures.
            let is_task = parsed.task.is_some();
            let of_whom = (&parsed.caller, if is_task { Operation::CreateTask } else { parsed.operation });
            match Box::pin(Claim::take(named, of_whom, self.node, &trace)).await {
                Ok(Taken::Claim(claim)) => parsed.claim = Some(claim),
                Ok(Taken::Reply(reply)) => return self.replay(reply, is_task, &trace),
                Err(refusal) => return self.refuse(refusal, trace, None).await,
            }
        }
        if parsed.ask.previous().is_some() {
            // Boxed: few requests go on from an answer, and all would carry the database's futures.
            if let Err(refusal) = Box::pin(parsed.go_on(self.node, &trace)).await {
                return self.refuse(refusal, trace, None).await;
            }
        }
        let admitted = Admitted::hold(parsed, self.node, &mut trace).await;
        let planned = admitted.and_then(|admitted| Planned::order(admitted, self.node, trace.arrived.monotonic));
        let planned = match planned {
            Ok(planned) => planned,
            Err(refusal) => return self.refuse(refusal, trace, None).await,
        };
        let spare = trace.spare();
        if planned.admitted.terms.is_some() || planned.admitted.ask.video().is_some() {
            return Box::pin(self.submit(planned, trace, &spare)).await;
        }
        let asked = Dispatched::ask(planned, self.node, trace).await;
        self.relayed(Relayed::reply(asked, self.node, &self.connection.phase).await, &spare)
    }

    /// A task begins: the call ends with its id.
    async fn submit(&self, planned: Planned, trace: Box<Trace>, spare: &Trace) -> Response<Flow> {
        let operation = planned.admitted.operation;
        let terms = planned.admitted.terms.as_ref().map(|terms| terms.wait);
        if planned.admitted.ask.video().is_none() {
            let begun = task::begin(self.node, planned, trace).await;
            return match begun {
                Ok(kept) => self.made(kept, terms.flatten(), spare).await,
                Err(refusal) => self.told(&refusal, spare),
            };
        }
        match task::submit(self.node, planned, trace, &self.connection.phase).await {
            Submitted::Taken(kept) => match terms {
                Some(wait) => self.made(*kept, wait, spare).await,
                None => self.whole(task::shown(self.node, &kept.task, operation), spare),
            },
            Submitted::Relayed(relayed) => self.relayed(Ok(relayed), spare),
            Submitted::Refused(refusal) => self.told(&refusal, spare),
        }
    }

    /// The answer to whoever asked for a task as one.
    async fn made(&self, kept: KeptTask, wait: Option<Duration>, spare: &Trace) -> Response<Flow> {
        match task::made(self.node, kept, wait).await {
            Ok(reply) => self.whole(reply, spare),
            Err(refusal) => self.told(&refusal, spare),
        }
    }

    fn relayed(&self, relayed: Result<Relayed, Cut>, spare: &Trace) -> Response<Flow> {
        match relayed {
            Ok(Relayed::Stream(reply)) => reply,
            Ok(Relayed::Pending(mut reply)) => {
                let (id, elapsed) = (&spare.request_id_text, spare.elapsed_ms(self.node));
                respond::common_headers(reply.headers_mut(), spare.error_shape, id, elapsed);
                reply
            }
            Ok(Relayed::Whole(reply, trace)) => self.whole(reply, &trace),
            Ok(Relayed::Refused(refusal, trace)) => self.told(&refusal, &trace),
            Err(_) => self.told(&Code::InternalError.into(), spare),
        }
    }

    /// What was answered before, again: nothing is asked, nothing is charged (`money.md` §7, row 19).
    fn replay(&self, kept: KeptReply, is_task: bool, trace: &Trace) -> Response<Flow> {
        let mut reply = Response::new(Flow::whole(kept.body.into()));
        if is_task {
            *reply.status_mut() = StatusCode::ACCEPTED;
        }
        if let Ok(content_type) = HeaderValue::from_str(&kept.content_type) {
            reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        reply.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        match (&trace.caller, self.node.charges.try_reserve()) {
            (Some(caller), Ok(slot)) => {
                let mut record = crate::settled::blank_record(self.node, trace, caller);
                (record.status, record.outcome) = (200, Outcome::Replayed);
                drop(slot.append(record));
            }
            _ => {
                self.node.metrics.records_lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.whole(reply, trace)
    }

    async fn manage<M, F, B>(&self, matched: Box<Matched>, mut trace: Box<Trace>, management: M) -> Response<B>
    where
        M: Fn(Match, Request<PacedBody>, RequestContext) -> F,
        F: Future<Output = Response<B>>,
    {
        let Matched { received, found, .. } = *matched;
        let is_read = Arc::new(AtomicBool::new(received.length == BodyLength::Announced(0)));
        let body = PacedBody::new(received.body, found.row.body_bytes_max).noting_end(Arc::clone(&is_read));
        trace.address = limits::client_of(self.node, trace.client, &received.head.headers);
        let client = SocketAddr::new(trace.client_ip(), trace.client.port());
        let context = RequestContext {
            request_id: trace.request_id,
            client,
            is_client_known: trace.address != ClientAddress::Unknown,
        };
        let mut reply = management(found, Request::from_parts(received.head, body), context).await;
        respond::common_headers(
            reply.headers_mut(),
            trace.error_shape,
            &trace.request_id_text,
            trace.elapsed_ms(self.node),
        );
        if !is_read.load(Ordering::Relaxed) {
            respond::close(reply.headers_mut());
            self.connection.phase.linger();
        }
        trace.ended(self.node, reply.status().as_u16(), code_of(reply.headers()));
        reply
    }

    /// A reply that is there.
    fn whole(&self, mut reply: Response<Flow>, trace: &Trace) -> Response<Flow> {
        respond::common_headers(
            reply.headers_mut(),
            trace.error_shape,
            &trace.request_id_text,
            trace.elapsed_ms(self.node),
        );
        trace.ended(self.node, reply.status().as_u16(), None);
        reply
    }

    async fn refuse_unread(&self, (refusal, received): (Refusal, Box<Received>), trace: Box<Trace>) -> Response<Flow> {
        self.refuse(refusal, trace, Some(received)).await
    }

    /// Refuses before dispatch: what is unread of the request is taken care of, and a known key's refusal is recorded.
    async fn refuse(&self, mut refusal: Refusal, trace: Box<Trace>, unread: Option<Box<Received>>) -> Response<Flow> {
        if let Some(received) = unread
            && refusal.form == Form::Usual
            && !is_discarded(*received).await
        {
            refusal.form = Form::Closing;
        }
        if refusal.form != Form::Usual {
            self.connection.phase.linger();
        }
        self.deny(refusal.error.code, &trace);
        let reply = self.told(&refusal, &trace);
        self.record(&refusal, &trace, reply.status());
        reply
    }

    /// Attempts that are denied are counted for the security log, a few a second are shown.
    fn deny(&self, code: Code, trace: &Trace) {
        if !DeniedAttempts::is_denial(code) {
            return;
        }
        let (from, operation) = (Some(trace.client_ip()), trace.operation.map_or("", Operation::name));
        let shown = self.node.denied.lock().note(trace.arrived.wall, code, from, operation);
        if let Some(hidden) = shown {
            tracing::warn!(target: "claviger::security", code = code.text(), operation, hidden, "an attempt was denied");
        }
    }

    fn told(&self, refusal: &Refusal, trace: &Trace) -> Response<Flow> {
        let mut reply = respond::refusal(refusal, trace, self.node.settings.out_of_credit_status);
        if !matches!(refusal.form, Form::Bare(_)) {
            respond::common_headers(
                reply.headers_mut(),
                trace.error_shape,
                &trace.request_id_text,
                trace.elapsed_ms(self.node),
            );
        }
        trace.ended(self.node, reply.status().as_u16(), Some(refusal.error.code));
        reply
    }

    /// Refusals of a valid key are counted, and records with charge 0, as many as `refusals.rs` lets through;
    /// unauthenticated ones are only counted. `status` is what the client got: dialects differ.
    fn record(&self, refusal: &Refusal, trace: &Trace, status: StatusCode) {
        let Some(caller) = &trace.caller else { return };
        if !trace.operation.is_some_and(Operation::is_inference) {
            return;
        }
        if !self.node.refusals.note(caller, refusal.error.code, self.node.monotonic()) {
            return;
        }
        let Ok(slot) = self.node.charges.try_reserve() else {
            self.node.metrics.records_lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut record = crate::settled::blank_record(self.node, trace, caller);
        record.status = status.as_u16();
        record.error_code = Some(refusal.error.code.text());
        let rule = refusal.limited.as_ref().and_then(|limited| limited.rule.as_ref());
        record.refused_by =
            rule.map(|rule| Box::new(RefusedBy { rule: rule.name.to_owned(), value: rule.value.clone() }));
        drop(slot.append(record));
    }
}

/// The code of a reply of the other plane, which says it in a header.
fn code_of(headers: &HeaderMap) -> Option<Code> {
    let text = headers.get("x-claviger-code")?.to_str().ok()?;
    Code::ALL.iter().copied().find(|code| code.text() == text)
}

/// Whether the rest of a refused request was read, so that its connection can go on (`traps.md` §1).
///
/// Not after `Expect`: reading would send the 100 that a refusal must not send.
async fn is_discarded(received: Received) -> bool {
    match received.length {
        BodyLength::Announced(0) => true,
        BodyLength::Announced(bytes) if bytes <= bounds::DISCARDED_BODY_BYTES && !received.expects_continue => {
            let body = PacedBody::new(received.body, bounds::DISCARDED_BODY_BYTES);
            matches!(tokio::time::timeout(bounds::LINGER, body.discard()).await, Ok(Ok(())))
        }
        _ => false,
    }
}
