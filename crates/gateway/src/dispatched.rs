//! Stage 7: the upstream's head and first content, and the only retry loop (W53, W54, W58).
//!
//! Nothing is retried once a byte has been forwarded; until then a failed target is followed by the next one, and what
//! failed costs nothing. The simulator's answers leave as they are (W60).

use crate::alarm::{instant_in, instant_now};
use crate::exchange::{Exchange, Next, Open, Read};
use crate::node::Node;
use crate::observe::Trace;
use crate::planned::Planned;
use crate::upstream::{Call, Fault, Head};
use bytes::{Bytes, BytesMut};
use claviger_domain::catalog::{Dialect, Target};
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::limits;
use claviger_domain::request::Attempt;
use claviger_domain::settlement::Event;
use claviger_wire::dialect::upstream_error;
use claviger_wire::inference::{Edits, Reply, UpstreamFault};
use http::HeaderValue;
use std::sync::Arc;
use std::time::Duration;

/// The most of an error body that is read.
const ERROR_BODY_BYTES: usize = 64 * 1024;

/// How long an error body is waited for.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(5);

/// The most of an upstream's own id of a request that is recorded.
const UPSTREAM_ID_BYTES: usize = 128;

/// An upstream's `Retry-After` up to this is waited for when no other target is left (W53).
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// What an upstream answered.
pub(crate) enum Dispatched {
    /// A stream whose first event is known, or whose headers are due before it came (W29).
    Stream(Exchange, Option<Next>),
    /// A whole answer, read and understood.
    Whole(Exchange, Reply),
    /// Sound or a file, of which the first piece is here.
    Binary(Exchange, Sample),
    /// No target could answer.
    Failed(Exchange, Fate, Failure),
}

/// The beginning of a binary answer.
pub(crate) struct Sample {
    /// What it is.
    pub(crate) media_type: HeaderValue,
    /// Its first bytes; not empty.
    pub(crate) first: Bytes,
}

/// Which row of the cut-off rule a request without an answer falls under.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// The upstream answered 4xx.
    Rejected,
    /// It failed.
    Failed,
}

impl From<Fate> for Event {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Rejected => Self::UpstreamRejected,
            Fate::Failed => Self::UpstreamFailed,
        }
    }
}

/// Why no target could answer.
pub(crate) enum Failure {
    /// In our words.
    Told(PublicError),
    /// In the simulator's (W60).
    AsItIs(Head, Bytes),
}

/// What one try came to.
enum Tried {
    Answered(Answer),
    /// The limit that we inserted was too long for the context: once more, with half of it.
    Shorter,
    /// Nobody else is asked.
    Final(Fate, Failure),
    /// The next target may be asked; `again` = this one once more, after a wait.
    Failed {
        failure: Failure,
        again: Option<Duration>,
    },
}

enum Answer {
    Stream(Option<Next>),
    Whole(Reply),
    Binary(Sample),
}

impl Dispatched {
    /// Asks the targets in order.
    pub(crate) async fn ask(from: Planned, node: &Arc<Node>, trace: Box<Trace>) -> Self {
        let Planned { admitted, targets, .. } = from;
        let mut exchange = Exchange::new(node, trace, admitted);
        let mut queue: std::collections::VecDeque<(Target, bool)> =
            targets.into_iter().map(|target| (target, true)).collect();
        let mut failure = Failure::Told(PublicError::new(Code::ServiceUnavailable));
        while let Some((target, may_repeat)) = queue.pop_front() {
            let Some(open) = exchange.open() else { break };
            let is_late = || open.node.monotonic().since(open.trace.arrived.monotonic) > limits::LAST_ATTEMPT;
            if open.attempts.len() >= limits::ATTEMPTS || (!open.attempts.is_empty() && is_late()) {
                break;
            }
            match open.attempt(&target).await {
                Tried::Answered(Answer::Stream(first)) => return Self::Stream(exchange, first),
                Tried::Answered(Answer::Whole(reply)) => return Self::Whole(exchange, reply),
                Tried::Answered(Answer::Binary(sample)) => return Self::Binary(exchange, sample),
                Tried::Shorter => queue.push_front((target, may_repeat)),
                Tried::Final(fate, failure) => return Self::Failed(exchange, fate, failure),
                Tried::Failed { failure: why, again } => {
                    open.forget_attempt();
                    failure = why;
                    let is_wait_due = again.is_some_and(|wait| wait.is_zero() || queue.is_empty());
                    if let (Some(wait), true, true) = (again, may_repeat, is_wait_due) {
                        tokio::time::sleep(wait).await;
                        queue.push_front((target, false));
                    }
                }
            }
            #[cfg(feature = "bugs")]
            if let Some(open) = exchange.open() {
                crate::bugs::charge_on_retry(open);
            }
        }
        Self::Failed(exchange, Fate::Failed, failure)
    }
}

impl Open {
    async fn attempt(&mut self, target: &Target) -> Tried {
        let begun = instant_now();
        let request = self.admitted.ask.upstream(&Edits {
            upstream_model: &target.upstream_model,
            output_limit: self.admitted.output_limit,
            dialect: target.provider.dialect,
        });
        let call = Call {
            provider: &target.provider,
            path: request.path,
            request: self.trace.request_id,
            request_id: &self.trace.request_id_text,
            client_headers: &self.admitted.headers,
            body: request.body,
            now_seconds: self.trace.arrived.wall.seconds(),
            now: begun,
        };
        let head = match self.node.upstreams.begin(call) {
            Ok(conversation) => {
                self.begin(target.clone(), conversation, begun);
                self.head(target).await
            }
            Err(fault) => Err(fault),
        };
        let head_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = head.as_ref().map_or(0, |head| head.status.as_u16());
        self.attempts.push(Attempt { provider: target.provider.name.clone(), status, head_ms });
        match head {
            Ok(head) if head.status.is_success() => self.answer(target, head).await,
            Ok(head) => self.refused(target, head).await,
            Err(fault) => failed(fault),
        }
    }

    pub(crate) async fn head(&mut self, target: &Target) -> Result<Head, Fault> {
        let Some(conversation) = &mut self.conversation else { return Err(Fault::Broken) };
        let allowed = target.provider.timeouts.first_byte;
        let deadline = self.heard_at.checked_add(allowed).unwrap_or(self.heard_at);
        let head = self.alarm.guard(deadline.min(self.total_deadline), conversation.head()).await;
        let mut head = head.unwrap_or(Err(Fault::TimedOut))?;
        self.head_status = Some(head.status);
        self.head_tokens = head.compute_tokens;
        self.upstream_request_id = head.request_id.take().map(|mut id| {
            id.truncate(id.floor_char_boundary(UPSTREAM_ID_BYTES));
            id
        });
        Ok(head)
    }

    async fn answer(&mut self, target: &Target, head: Head) -> Tried {
        if self.admitted.ask.is_stream() {
            if !head.is_event_stream {
                return failed(Fault::Broken);
            }
            return self.first_event().await;
        }
        if self.admitted.ask.is_binary() {
            return self.first_piece(head).await;
        }
        match self.read_whole(limits::JSON_ANSWER_BYTES).await {
            Ok(body) => match self.read_reply(body, target) {
                Ok(reply) => Tried::Answered(Answer::Whole(reply)),
                Err(fault) => {
                    // Its words may hold what must not be logged: a credential echoed, a prompt.
                    tracing::warn!(provider = %target.provider.name, kind = ?fault.kind, "an answer could not be read");
                    failed(Fault::Broken)
                }
            },
            Err(fault) => failed(fault),
        }
    }

    /// Until the first bytes of sound are here the request may go to another target.
    async fn first_piece(&mut self, head: Head) -> Tried {
        let Some(media_type) = head.media_type else { return failed(Fault::Broken) };
        loop {
            match self.read(false).await {
                Read::Piece(first) if !first.is_empty() => {
                    self.settlement.step(Event::Content { bytes: 0, chunks: 1 });
                    return Tried::Answered(Answer::Binary(Sample { media_type, first }));
                }
                Read::Piece(_) | Read::Silence => {}
                Read::End => return failed(Fault::Broken),
                Read::Failed(fault) => return failed(fault),
            }
        }
    }

    /// Reads a whole answer, with what its head told.
    pub(crate) fn read_reply(&self, body: Bytes, target: &Target) -> Result<Reply, UpstreamFault> {
        self.admitted.ask.read_counted(body, self.head_tokens, target.provider.dialect)
    }

    /// Until the first whole event is known the request may go to another target; after 30 s of silence the client is
    /// given its headers all the same, and the rest is told in the stream.
    async fn first_event(&mut self) -> Tried {
        let commit = instant_in(limits::COMMIT_HEADERS);
        let mut alarm = crate::alarm::Alarm::default();
        match alarm.guard(commit, self.next(false)).await {
            None => Tried::Answered(Answer::Stream(None)),
            Some(Next::Ended(end)) if !self.settlement.has_content() => match &end.error {
                Some(error) => {
                    let code = if error.code == Code::StreamTruncated { Code::UpstreamError } else { error.code };
                    Tried::Failed { failure: Failure::Told(PublicError::new(code)), again: None }
                }
                None => Tried::Answered(Answer::Stream(Some(Next::Ended(end)))),
            },
            Some(next) => Tried::Answered(Answer::Stream(Some(next))),
        }
    }

    pub(crate) async fn read_whole(&mut self, bytes_max: usize) -> Result<Bytes, Fault> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        loop {
            match self.read(false).await {
                Read::Piece(piece) if first.is_empty() && all.is_empty() => first = piece,
                Read::Piece(piece) => {
                    if all.is_empty() {
                        all.extend_from_slice(&first);
                    }
                    all.extend_from_slice(&piece);
                    if all.len() > bytes_max
                        || !self.admitted.room.grow_to(self.admitted.ask.body_bytes().saturating_add(all.len()))
                    {
                        return Err(Fault::Broken);
                    }
                }
                Read::End if all.is_empty() => return Ok(first),
                Read::End => return Ok(all.freeze()),
                Read::Silence => {}
                Read::Failed(fault) => return Err(fault),
            }
        }
    }

    /// A reply that is not 2xx: W53's table, and W33 for what is the caller's to know.
    async fn refused(&mut self, target: &Target, head: Head) -> Tried {
        let body = self.error_body().await;
        let status = head.status;
        if target.provider.dialect == Dialect::Simulator {
            let event = if status.is_client_error() { Fate::Rejected } else { Fate::Failed };
            return Tried::Final(event, Failure::AsItIs(head, body));
        }
        let told = |code: Code| Failure::Told(PublicError::new(code));
        match status.as_u16() {
            400 | 409 | 413 | 415 | 422 | 451 => {
                let credential = target.provider.credential.as_ref().map(|credential| credential.expose().as_str());
                let error = upstream_error(target.provider.dialect, status.as_u16(), &body, credential);
                if error.code == Code::ContextLengthExceeded && self.admitted.halve_inserted_limit() {
                    // Not counted as an attempt: nothing was forwarded, and a 4xx costs nothing (`money.md` §5).
                    self.attempts.pop();
                    return Tried::Shorter;
                }
                Tried::Final(Fate::Rejected, Failure::Told(error))
            }
            401..=403 => {
                tracing::error!(provider = %target.provider.name, status = status.as_u16(), "the provider refuses our credential");
                Tried::Failed { failure: told(Code::UpstreamAuthError), again: None }
            }
            429 | 503 | 529 => {
                let wait = head.retry_after;
                let mut error = PublicError::new(Code::Overloaded);
                if let Some(wait) = wait {
                    error.retry = Retry::After(wait.clamp(Duration::from_secs(1), Duration::from_secs(60)));
                }
                let again = wait.filter(|wait| *wait <= RETRY_AFTER_MAX).map(|wait| wait.max(Duration::from_millis(1)));
                Tried::Failed { failure: Failure::Told(error), again }
            }
            _ => Tried::Failed { failure: told(Code::UpstreamError), again: None },
        }
    }

    async fn error_body(&mut self) -> Bytes {
        let deadline = instant_in(ERROR_BODY_WAIT);
        let mut alarm = crate::alarm::Alarm::default();
        let body = alarm.guard(deadline, self.read_whole(ERROR_BODY_BYTES)).await;
        body.and_then(Result::ok).unwrap_or_default()
    }
}

/// A connection that never stood, or went away before any reply, is tried once more at once (W53).
fn failed(fault: Fault) -> Tried {
    let again = matches!(fault, Fault::Unreachable | Fault::Dropped).then_some(Duration::ZERO);
    Tried::Failed { failure: Failure::Told(PublicError::new(fault.code())), again }
}
