//! Stage 8: everything but the last piece goes to the client; the ending is settled; then the last piece.
//!
//! A whole JSON answer is settled before its status leaves, so that it goes out in one write and lost durability is an
//! honest 503 instead of a torn answer. A stream ends with usage and `[DONE]`, or with an error event (W12, W35).

use crate::alarm::{Alarm, instant_in};
use crate::dispatched::{Asked, Asking, Dispatched, Failure, Fate, Sample};
use crate::exchange::{End, Exchange, Next, Open, Read};
use crate::flow::{Cut, Flow, Out};
use crate::node::Node;
use crate::observe::Trace;
use crate::respond::{self, Refusal};
use crate::settled::{LedgerLost, Settled};
use crate::socket::Phase;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::Usage;
use claviger_domain::request::Outcome;
use claviger_domain::settlement::{Effect, Event, Verdict};
use claviger_wire::inference::Reply;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// How the pipeline goes on behind a dispatch.
pub(crate) enum Relayed {
    /// A stream: it will log its own end.
    Stream(Response<Flow>),
    /// A stream that begins before anybody has answered; its common headers are still to be written.
    Pending(Response<Flow>),
    /// A whole answer.
    Whole(Response<Flow>, Box<Trace>),
    /// A refusal in our words.
    Refused(Refusal, Box<Trace>),
}

impl Relayed {
    /// Turns what was dispatched into a reply.
    ///
    /// # Errors
    /// Never in practice: an exchange that is not open any more was taken by the drain, and nobody waits for a reply.
    pub(crate) async fn reply(from: Asked, node: &Arc<Node>, phase: &Arc<Phase>) -> Result<Self, Cut> {
        let Asked { dispatched, extra } = from;
        match dispatched {
            Dispatched::Stream(exchange, first) => stream(exchange, first, extra, node, phase),
            Dispatched::Pending(asking) => Ok(pending(asking, extra, node, phase)),
            Dispatched::Whole(exchange, reply) => whole(exchange, reply, extra, phase).await,
            Dispatched::Binary(exchange, sample) => binary(exchange, sample, extra, node, phase),
            Dispatched::Failed(exchange, fate, failure) => failed(exchange, fate, failure),
        }
    }
}

async fn whole(mut exchange: Exchange, reply: Reply, extra: HeaderMap, phase: &Arc<Phase>) -> Result<Relayed, Cut> {
    let open = exchange.open().ok_or(Cut)?;
    open.first_byte_at = Some(open.node.wall());
    open.note_reply(&reply);
    open.offer(&reply);
    let Effect::Ended(verdict) = open.settlement.step(Event::UpstreamEnded) else { return Err(Cut) };
    let extra = told_again(open).unwrap_or(extra);
    let content_type = HeaderValue::from_static(open.admitted.ask.content_type());
    match Settled::by(exchange.into_open().ok_or(Cut)?, &verdict, 200, None).durable().await {
        Err(LedgerLost(trace)) => Ok(Relayed::Refused(Code::LedgerUnavailable.into(), trace)),
        Ok((trace, mark)) => {
            let phase = Arc::clone(phase);
            let (mut parts, body) = respond::json(reply.body).into_parts();
            parts.headers.insert(header::CONTENT_TYPE, content_type);
            parts.headers.extend(extra);
            Ok(Relayed::Whole(Response::from_parts(parts, body.on_taken(move || phase.mark_when_flushed(mark))), trace))
        }
    }
}

/// The headers once more, where asking has changed what they say.
fn told_again(open: &Open) -> Option<HeaderMap> {
    open.admitted.is_halved().then(|| respond::extra_headers(&open.admitted, &open.trace, &open.node))
}

fn failed(mut exchange: Exchange, fate: Fate, failure: Failure) -> Result<Relayed, Cut> {
    let open = exchange.open().ok_or(Cut)?;
    let Effect::Ended(verdict) = open.settlement.step(fate.into()) else { return Err(Cut) };
    let (status, code) = match &failure {
        Failure::Told(error) => (error.code.status(), Some(error.code)),
        Failure::AsItIs(head, _) => (head.status.as_u16(), None),
    };
    // Nothing was forwarded, so nothing is charged and nothing waits.
    let settled = Settled::by(exchange.into_open().ok_or(Cut)?, &verdict, status, code);
    let trace = settled.trace;
    match failure {
        Failure::Told(error) => Ok(Relayed::Refused(error.into(), trace)),
        Failure::AsItIs(head, body) => {
            let mut response = Response::new(Flow::whole(body));
            *response.status_mut() = head.status;
            for (name, value) in head.verbatim.iter().flat_map(|lines| lines.iter()) {
                if claviger_wire::headers::returnable(name) || name == header::RETRY_AFTER {
                    response.headers_mut().append(name.clone(), value.clone());
                }
            }
            Ok(Relayed::Whole(response, trace))
        }
    }
}

fn stream(
    mut exchange: Exchange,
    first: Option<Next>,
    extra: HeaderMap,
    node: &Arc<Node>,
    phase: &Arc<Phase>,
) -> Result<Relayed, Cut> {
    let (headers, counted) = begin(exchange.open().ok_or(Cut)?, event_stream(extra), node);
    let phase = Arc::clone(phase);
    let flow = Flow::running(|out| async move {
        let _counted = counted;
        relay(exchange, first, out, &phase).await
    });
    Ok(Relayed::Stream(with_headers(flow, headers)))
}

/// An answer begins that leaves piece by piece: what its head says, and its place among the open ones.
fn begin(open: &mut Open, mut headers: HeaderMap, node: &Arc<Node>) -> (HeaderMap, StreamCount) {
    open.first_byte_at = Some(node.wall());
    headers.extend(told_again(open).unwrap_or_default());
    let trace = &open.trace;
    respond::common_headers(&mut headers, trace.error_shape, &trace.request_id_text, trace.elapsed_ms(node));
    (headers, StreamCount::new(node))
}

fn with_headers(flow: Flow, headers: HeaderMap) -> Response<Flow> {
    let mut response = Response::new(flow);
    *response.headers_mut() = headers;
    response
}

/// What the head of every stream of events says.
fn event_stream(mut headers: HeaderMap) -> HeaderMap {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers
}

/// A stream whose headers leave while targets are still asked: comments keep it alive, the next target may answer, and
/// what fails in the end is told in the stream (W58).
fn pending(asking: Asking, extra: HeaderMap, node: &Arc<Node>, phase: &Arc<Phase>) -> Relayed {
    let (counted, phase) = (StreamCount::new(node), Arc::clone(phase));
    let keep_alive = node.settings.routes.keep_alive;
    let flow = Flow::running(move |out| async move {
        let _counted = counted;
        let dispatched = awaited(asking, keep_alive, &out).await;
        match dispatched {
            Dispatched::Stream(mut exchange, first) => {
                let open = exchange.open().ok_or(Cut)?;
                open.first_byte_at = Some(open.node.wall());
                relay(exchange, first, out, &phase).await
            }
            Dispatched::Failed(exchange, fate, failure) => {
                fail_in_stream(exchange, fate, failure, (&out, &phase)).await
            }
            Dispatched::Whole(..) | Dispatched::Binary(..) | Dispatched::Pending(_) => Err(Cut),
        }
    });
    Relayed::Pending(with_headers(flow, event_stream(extra)))
}

async fn awaited(mut asking: Asking, keep_alive: Duration, out: &Out) -> Dispatched {
    loop {
        // Its first comment tells the client that it is heard.
        out.send(Bytes::from_static(KEEP_ALIVE)).await;
        if let Some(dispatched) = Alarm::default().guard(instant_in(keep_alive), asking.as_mut()).await {
            return dispatched;
        }
    }
}

/// No target answered, and the status is out already (W35).
async fn fail_in_stream(mut exchange: Exchange, fate: Fate, failure: Failure, to: (&Out, &Phase)) -> Result<(), Cut> {
    let open = exchange.open().ok_or(Cut)?;
    let Effect::Ended(verdict) = open.settlement.step(fate.into()) else { return Err(Cut) };
    let error = match failure {
        Failure::Told(error) => error,
        Failure::AsItIs(..) => PublicError::new(Code::UpstreamError),
    };
    let stream = open.stream.take().or_else(|| open.admitted.ask.stream(Dialect::Compatible));
    let ending = stream.map(|stream| stream.error_ending(&error)).unwrap_or_default();
    end(exchange, verdict, Some(error), ending, to).await
}

fn binary(
    mut exchange: Exchange,
    sample: Sample,
    mut extra: HeaderMap,
    node: &Arc<Node>,
    phase: &Arc<Phase>,
) -> Result<Relayed, Cut> {
    extra.insert(header::CONTENT_TYPE, sample.media_type);
    // Whatever it says it is: no browser shall make a page of it.
    extra.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (headers, counted) = begin(exchange.open().ok_or(Cut)?, extra, node);
    let phase = Arc::clone(phase);
    let flow = Flow::running(|out| async move {
        let _counted = counted;
        relay_binary(exchange, sample.first, out, &phase).await
    });
    Ok(Relayed::Stream(with_headers(flow, headers)))
}

/// Sound, piece by piece, the last one behind the charge. What breaks off ends the connection: nothing else would tell
/// the client (W35).
async fn relay_binary(mut exchange: Exchange, first: Bytes, out: Out, phase: &Phase) -> Result<(), Cut> {
    let mut held = first;
    let mut leaks_seen = 0;
    loop {
        let open = exchange.open().ok_or(Cut)?;
        let next = if open.node.is_cutting() {
            open.stopped()
        } else if open.admitted.caller.is_cut(&open.node, &mut leaks_seen) {
            open.revoked()
        } else {
            match open.read(true).await {
                Read::Piece(piece) => {
                    out.send(std::mem::replace(&mut held, piece)).await;
                    continue;
                }
                Read::Silence => continue,
                Read::End => open.ended_binary(),
                Read::Failed(fault) => open.failed(fault.code()),
            }
        };
        let Next::Ended(ended) = next else { return Err(Cut) };
        let End { verdict, error } = *ended;
        if error.is_none() {
            return end(exchange, verdict, None, held, (&out, phase)).await;
        }
        end(exchange, verdict, error, Bytes::new(), (&out, phase)).await?;
        return Err(Cut);
    }
}

/// The stream itself, top to bottom.
async fn relay(mut exchange: Exchange, first: Option<Next>, out: Out, phase: &Phase) -> Result<(), Cut> {
    let mut next = first;
    let mut leaks_seen = 0;
    loop {
        let open = exchange.open().ok_or(Cut)?;
        let now = match next.take() {
            _ if open.node.is_cutting() => open.stopped(),
            _ if open.admitted.caller.is_cut(&open.node, &mut leaks_seen) => open.revoked(),
            Some(next) => next,
            None => open.next(true).await,
        };
        match now {
            Next::Forward(event) => out.send(event).await,
            Next::Look => {}
            Next::Silence => out.send(Bytes::from_static(KEEP_ALIVE)).await,
            Next::HoldReached => {
                let usage = open.settlement.usage();
                let ending = open.stream.as_ref().map(|stream| stream.length_ending(&usage)).unwrap_or_default();
                let Effect::Ended(verdict) = open.settlement.step(Event::CutAtHold) else { return Err(Cut) };
                return end(exchange, verdict, None, ending, (&out, phase)).await;
            }
            Next::Ended(ended) => {
                let End { verdict, error } = *ended;
                let usage = verdict.charged.or(verdict.known).unwrap_or_else(|| open.settlement.usage());
                let ending = ending_of(open, &usage, error.as_ref());
                return end(exchange, verdict, error, ending, (&out, phase)).await;
            }
        }
    }
}

/// Settles, waits for the disk, lets the last piece go.
async fn end(
    mut exchange: Exchange,
    verdict: Verdict,
    error: Option<PublicError>,
    ending: Bytes,
    (out, phase): (&Out, &Phase),
) -> Result<(), Cut> {
    let open = exchange.open().ok_or(Cut)?;
    let leftover = open.conversation.take();
    let node = Arc::clone(&open.node);
    let code = error.as_ref().map(|error| error.code);
    let settled = Settled::by(exchange.into_open().ok_or(Cut)?, &verdict, 200, code);
    let (trace, mark) = settled.durable().await.map_err(|_| Cut)?;
    let has_ended = code.is_none() && verdict.outcome != Outcome::CutAtHold;
    if let (Some(conversation), true) = (leftover, has_ended) {
        crate::drain::finish_quietly(&node, conversation);
    }
    trace.ended(&node, 200, code);
    out.send(ending).await;
    phase.mark_when_flushed(mark);
    Ok(())
}

/// The last piece, by what the endpoint's clients expect.
fn ending_of(open: &Open, usage: &Usage, error: Option<&PublicError>) -> Bytes {
    match (&open.stream, error) {
        (Some(stream), Some(error)) => stream.error_ending(error),
        (Some(stream), None) => stream.ending(usage),
        (None, _) => Bytes::new(),
    }
}

/// Counts an open stream for as long as it lives.
struct StreamCount(Arc<Node>);

impl StreamCount {
    fn new(node: &Arc<Node>) -> Self {
        node.metrics.streams_open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(node))
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.metrics.streams_open.fetch_sub(1, Ordering::Relaxed);
    }
}
