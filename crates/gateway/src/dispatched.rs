//! Stage 7: the upstream's head and first content, and the only retry loop (W53, W54, W58).
//!
//! Nothing is retried once a byte has been forwarded; until then a failed target is followed by the next one, and what
//! failed costs nothing. The simulator's answers leave as they are (W60).

use crate::alarm::{Alarm, instant_in, instant_now};
use crate::exchange::{Exchange, Next, Open, Read};
use crate::health::{Candidate, Place, Watched};
use crate::node::Node;
use crate::observe::Trace;
use crate::planned::Planned;
use crate::respond;
use crate::upstream::{Call, Fault, Head};
use bytes::{Bytes, BytesMut};
use claviger_domain::catalog::{Dialect, Target};
use claviger_domain::endpoint::Method;
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::limits;
use claviger_domain::request::{Attempt, AttemptOutcome};
use claviger_domain::routing::{Again, Mark, Next as Onward, Trouble, course};
use claviger_domain::settlement::Event;
use claviger_wire::dialect::upstream_error;
use claviger_wire::inference::{Edits, Reply, UpstreamFault};
use claviger_wire::openai::responses::no_previous;
use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The most of an error body that is read.
const ERROR_BODY_BYTES: usize = 64 * 1024;

/// How long an error body is waited for.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(5);

/// The most of an upstream's own id of a request that is recorded.
const UPSTREAM_ID_BYTES: usize = 128;

/// A timeout behind a longer wait than this is not to be repeated by clients (W27).
const LONG_WAIT: Duration = Duration::from_secs(60);

/// What an upstream answered.
pub(crate) enum Dispatched {
    /// A stream whose first event is known.
    Stream(Exchange, Option<Next>),
    /// A stream whose headers are due before its first event came (W29, W58): targets are still asked.
    Pending(Asking),
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

/// The search for a target that answers, on its way. Dropping it abandons the exchange.
pub(crate) type Asking = Pin<Box<dyn Future<Output = Dispatched> + Send>>;

/// What was dispatched, with what its reply says of the request in headers (W24).
pub(crate) struct Asked {
    pub(crate) dispatched: Dispatched,
    pub(crate) extra: HeaderMap,
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
    /// The next target may be asked, or this one again.
    Failed(Failure, Again),
    /// It was not asked after all.
    Skipped,
}

enum Answer {
    Stream(Option<Next>),
    Whole(Reply),
    Binary(Sample),
}

/// What all tries came to.
enum Outcome {
    Answered(Answer),
    Failed(Fate, Failure),
}

impl Dispatched {
    /// Asks the targets in order. A stream whose first event is late is given its headers meanwhile.
    pub(crate) async fn ask(from: Planned, node: &Arc<Node>, trace: Box<Trace>) -> Asked {
        let Planned { admitted, targets, .. } = from;
        let extra = respond::extra_headers(&admitted, &trace, node);
        let is_stream = admitted.ask.is_stream();
        let exchange = Exchange::new(node, trace, admitted);
        if !is_stream {
            return Asked { dispatched: Self::search(exchange, targets).await, extra };
        }
        let commit = instant_in(node.settings.routes.commit_headers);
        let mut asking: Asking = Box::pin(Self::search(exchange, targets));
        let found = Alarm::default().guard(commit, asking.as_mut()).await;
        Asked { dispatched: found.unwrap_or(Self::Pending(asking)), extra }
    }

    async fn search(mut exchange: Exchange, targets: VecDeque<Candidate>) -> Self {
        let Some(open) = exchange.open() else {
            return Self::Failed(exchange, Fate::Failed, Failure::Told(Code::InternalError.into()));
        };
        match open.ask_in_order(targets).await {
            Outcome::Answered(Answer::Stream(first)) => Self::Stream(exchange, first),
            Outcome::Answered(Answer::Whole(reply)) => Self::Whole(exchange, reply),
            Outcome::Answered(Answer::Binary(sample)) => Self::Binary(exchange, sample),
            Outcome::Failed(fate, failure) => Self::Failed(exchange, fate, failure),
        }
    }
}

impl Open {
    /// The one retry loop.
    async fn ask_in_order(&mut self, targets: VecDeque<Candidate>) -> Outcome {
        let mut queue: VecDeque<(Candidate, bool)> = targets.into_iter().map(|target| (target, true)).collect();
        let mut failure = Failure::Told(PublicError::new(Code::ServiceUnavailable));
        while let Some((candidate, may_repeat)) = queue.pop_front() {
            let is_late = || self.node.monotonic().since(self.trace.arrived.monotonic) > limits::LAST_ATTEMPT;
            let tried = self.attempts.len();
            if tried >= self.node.settings.routes.attempts || (tried > 0 && is_late()) {
                break;
            }
            match self.attempt(&candidate).await {
                Tried::Answered(answer) => return Outcome::Answered(answer),
                Tried::Shorter => queue.push_front((candidate, may_repeat)),
                Tried::Final(fate, failure) => return Outcome::Failed(fate, failure),
                Tried::Skipped => {}
                Tried::Failed(why, again) => {
                    self.forget_attempt();
                    failure = why;
                    let wait = match again {
                        Again::AtOnce => Some(Duration::ZERO),
                        Again::IfAlone(wait) if queue.is_empty() => Some(wait),
                        Again::IfAlone(_) | Again::No => None,
                    };
                    if let (Some(wait), true) = (wait, may_repeat) {
                        if !wait.is_zero() {
                            tokio::time::sleep(wait).await;
                        }
                        queue.push_front((candidate, false));
                    }
                }
            }
            #[cfg(feature = "bugs")]
            crate::bugs::charge_on_retry(self);
        }
        Outcome::Failed(Fate::Failed, failure)
    }

    async fn attempt(&mut self, candidate: &Candidate) -> Tried {
        let target = &candidate.target;
        let entered = match self.enter(candidate) {
            Ok(entered) => entered,
            Err(Barred::Full) => return Tried::Failed(Failure::Told(PublicError::new(Code::Overloaded)), Again::No),
            Err(Barred::Left) => return Tried::Skipped,
        };
        let begun = instant_now();
        let request = self.admitted.ask.upstream(&Edits {
            upstream_model: &target.upstream_model,
            output_limit: self.admitted.output_limit,
            dialect: target.provider.dialect,
        });
        let call = Call {
            provider: &target.provider,
            method: Method::Post,
            path: Cow::Borrowed(request.path),
            request: self.trace.request_id,
            request_id: &self.trace.request_id_text,
            client_headers: &self.admitted.headers,
            content_type: self.admitted.ask.request_type(),
            body: request.body,
            now_seconds: self.trace.arrived.wall.seconds(),
            now: begun,
            connect: target.timeouts.connect,
            place: entered.place,
        };
        self.watch = entered.watch;
        let head = match self.node.upstreams.begin(call) {
            Ok(conversation) => {
                self.begin(Arc::clone(target), conversation, begun);
                self.head().await
            }
            Err(fault) => Err(fault),
        };
        self.attempts.push(Attempt {
            provider: target.provider.name.clone(),
            upstream_model: Some(target.upstream_model.clone()),
            outcome: Some(AttemptOutcome::Answered),
            status: head.as_ref().map_or(0, |head| head.status.as_u16()),
            head_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        match head {
            Ok(head) if head.status.is_success() => self.answer(target, head).await,
            Ok(head) => self.refused(target, head).await,
            Err(fault) => self.failed_with(fault.into(), None),
        }
    }

    /// Takes what an attempt needs of the provider's places and of its budget of repeats. The simulator's answers depend
    /// on the request alone (W60).
    fn enter(&self, candidate: &Candidate) -> Result<Entered, Barred> {
        let provider = &candidate.target.provider;
        if provider.dialect == Dialect::Simulator {
            return Ok(Entered { place: None, watch: None });
        }
        let place = match provider.concurrency_max {
            0 => None,
            max => Some(candidate.provider.try_enter(max).ok_or(Barred::Full)?),
        };
        let is_first = self.attempts.is_empty();
        let now = if is_first { self.trace.arrived.monotonic } else { self.node.monotonic() };
        let watch = candidate.begin(now).ok_or(Barred::Left)?;
        if !candidate.provider.try_count(!is_first, now) {
            return Err(Barred::Left);
        }
        Ok(Entered { place, watch: Some(watch) })
    }

    pub(crate) async fn head(&mut self) -> Result<Head, Fault> {
        let Some(conversation) = &mut self.conversation else { return Err(Fault::Broken) };
        let deadline = self.heard_at.checked_add(self.silence_max).unwrap_or(self.heard_at);
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
                return self.failed_with(Trouble::Broken, None);
            }
            return self.first_event().await;
        }
        if self.admitted.ask.is_binary() {
            return self.first_piece(head).await;
        }
        match self.read_whole(limits::JSON_ANSWER_BYTES).await {
            Ok(body) => match self.read_reply(body, target) {
                Ok(reply) => {
                    self.note_success();
                    Tried::Answered(Answer::Whole(reply))
                }
                Err(fault) => {
                    // Its words may hold what must not be logged: a credential echoed, a prompt.
                    tracing::warn!(provider = %target.provider.name, kind = ?fault.kind, "an answer could not be read");
                    self.failed_with(Trouble::Broken, None)
                }
            },
            Err(fault) => self.failed_with(fault.into(), None),
        }
    }

    /// Until the first bytes of sound are here the request may go to another target.
    async fn first_piece(&mut self, head: Head) -> Tried {
        let Some(media_type) = head.media_type else { return self.failed_with(Trouble::Broken, None) };
        loop {
            match self.read(false).await {
                Read::Piece(first) if !first.is_empty() => {
                    self.settlement.step(Event::Content { bytes: 0, chunks: 1 });
                    self.note_beginning();
                    return Tried::Answered(Answer::Binary(Sample { media_type, first }));
                }
                Read::Piece(_) | Read::Silence => {}
                Read::End => return self.failed_with(Trouble::Broken, None),
                Read::Failed(fault) => return self.failed_with(fault.into(), None),
            }
        }
    }

    /// Reads a whole answer, with what its head told.
    pub(crate) fn read_reply(&mut self, body: Bytes, target: &Target) -> Result<Reply, UpstreamFault> {
        self.answer_id = self.admitted.ask.upstream_id(&body);
        if self.admitted.book.is_some() {
            self.note_told(&body);
        }
        self.admitted.ask.read_counted(body, self.head_tokens, target.provider.dialect)
    }

    /// Until the first whole event is known the request may go to another target.
    async fn first_event(&mut self) -> Tried {
        match self.next(false).await {
            Next::Ended(end) if !self.settlement.has_content() => match &end.error {
                Some(error) if error.code == Code::UpstreamTimeout => self.failed_with(Trouble::TimedOut, None),
                Some(_) => self.failed_with(Trouble::Broken, None),
                None => Tried::Answered(Answer::Stream(Some(Next::Ended(end)))),
            },
            next => {
                self.note_beginning();
                Tried::Answered(Answer::Stream(Some(next)))
            }
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
        let trouble = Trouble::Status(status.as_u16());
        if self.is_forgotten(status.as_u16(), &body) {
            self.note_attempt(Trouble::Status(400));
            self.note_success();
            return Tried::Final(Fate::Rejected, Failure::Told(no_previous()));
        }
        if course(trouble, None).next != Onward::Never {
            return self.failed_with(trouble, head.retry_after);
        }
        let credential = target.provider.credential.as_ref().map(|credential| credential.expose().as_str());
        let error = upstream_error(target.provider.dialect, status.as_u16(), &body, credential);
        if error.code == Code::ContextLengthExceeded && self.admitted.halve_inserted_limit() {
            // Not counted as an attempt: nothing was forwarded, and a 4xx costs nothing (`money.md` §5).
            self.attempts.pop();
            return Tried::Shorter;
        }
        self.note_attempt(trouble);
        // It answered as it should: the request was at fault.
        self.note_success();
        Tried::Final(Fate::Rejected, Failure::Told(error))
    }

    /// Whether the refusal means the answer that is gone on from: its server does not know it any more, as when it keeps
    /// answers in memory and was started anew. That says nothing of the server's health, and its words name its own id.
    fn is_forgotten(&self, status: u16, body: &[u8]) -> bool {
        self.admitted.former.as_ref().is_some_and(|former| {
            let is_named = || String::from_utf8_lossy(body).contains(&former.upstream_id);
            status == 404 || (status == 400 && is_named())
        })
    }

    /// What follows on trouble, and what it says of the target.
    fn failed_with(&mut self, trouble: Trouble, retry_after: Option<Duration>) -> Tried {
        self.note_attempt(trouble);
        let course = course(trouble, retry_after);
        self.mark(course.mark, trouble, retry_after);
        let code = course.answer.unwrap_or(Code::UpstreamError);
        let mut error = PublicError::new(code);
        match (code, retry_after) {
            (Code::Overloaded, Some(wait)) => {
                error.retry = Retry::After(wait.clamp(limits::COOL_MIN, limits::COOL_MAX));
            }
            // Clients that waited so long once do not wait so long again (W27).
            (Code::UpstreamTimeout, _) if self.elapsed() > LONG_WAIT => error.retry = Retry::Never,
            _ => {}
        }
        let failure = Failure::Told(error);
        if course.next == Onward::UnlessJob && self.admitted.ask.is_job() {
            return Tried::Final(Fate::Failed, failure);
        }
        Tried::Failed(failure, course.again)
    }

    fn mark(&mut self, mark: Mark, trouble: Trouble, retry_after: Option<Duration>) {
        let Some(watch) = &mut self.watch else { return };
        match (mark, trouble) {
            (Mark::Nothing, _) => {}
            (Mark::Failure, _) => watch.failed(&self.node),
            (Mark::Cools, _) => watch.throttled(retry_after, self.node.monotonic()),
            (Mark::Misconfigured, Trouble::Status(status)) => watch.misconfigured(status, self.node.monotonic()),
            (Mark::Misconfigured, _) => watch.misconfigured(0, self.node.monotonic()),
        }
    }

    /// An answer begins that takes a while.
    fn note_beginning(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.spoke(self.node.monotonic());
        }
    }

    fn note_attempt(&mut self, trouble: Trouble) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.outcome = Some(trouble.outcome());
        }
    }

    fn elapsed(&self) -> Duration {
        self.node.monotonic().since(self.trace.arrived.monotonic)
    }

    async fn error_body(&mut self) -> Bytes {
        let deadline = instant_in(ERROR_BODY_WAIT);
        let mut alarm = Alarm::default();
        let body = alarm.guard(deadline, self.read_whole(ERROR_BODY_BYTES)).await;
        body.and_then(Result::ok).unwrap_or_default()
    }
}

/// Why a target is not asked after all.
enum Barred {
    /// It has as many requests as it may have.
    Full,
    /// It is left alone, or has been sent as many repeats as it may.
    Left,
}

/// What an attempt took with it.
struct Entered {
    place: Option<Place>,
    watch: Option<Watched>,
}
