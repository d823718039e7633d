//! An admitted request and its conversation with an upstream, as one value that can change hands.
//!
//! Whoever drives it (the relay while the client listens, the drain afterwards) asks for the next thing that happened.
//! Dropping an [`Exchange`] that is not settled hands it to the drain by one message through a slot reserved at
//! admission, so leaving can neither block nor fail nor leak a hold.

use crate::admitted::Admitted;
use crate::alarm::{Alarm, instant_in, instant_now};
use crate::health::Watched;
use crate::node::Node;
use crate::observe::Trace;
use crate::upstream::{Conversation, Fault};
use bytes::Bytes;
use claviger_domain::catalog::{Dialect, Target};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::Side;
use claviger_domain::money::Nano;
use claviger_domain::price::Conditions;
use claviger_domain::request::{Attempt, KeptAnswer, is_kept_name};
use claviger_domain::settlement::{Effect, Event, Mode, Settlement, Terms, Verdict};
use claviger_domain::time::Timestamp;
use claviger_storage::Intent;
use claviger_wire::inference::{AnswerStream, Ask, Reply};
use claviger_wire::sse::{Frame, SseReader};
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How often a silent stream looks whether it may go on.
const LOOK: Duration = Duration::from_secs(1);

/// An exchange in hand.
pub(crate) struct Exchange(Option<Box<Open>>);

/// An exchange that is not settled yet.
pub(crate) struct Open {
    pub(crate) node: Arc<Node>,
    pub(crate) trace: Box<Trace>,
    pub(crate) admitted: Box<Admitted>,
    pub(crate) settlement: Settlement,
    pub(crate) target: Option<Arc<Target>>,
    /// What its answer will say of the target.
    pub(crate) watch: Option<Watched>,
    pub(crate) conversation: Option<Conversation>,
    /// The status of the upstream's head, once it is known.
    pub(crate) head_status: Option<StatusCode>,
    /// Input tokens that the head told.
    pub(crate) head_tokens: Option<u64>,
    /// What the answer tells of conditions that its price depends on.
    pub(crate) told: Conditions,
    /// What the upstream calls its whole answer, if it keeps it.
    pub(crate) answer_id: Option<String>,
    pub(crate) stream: Option<Box<dyn AnswerStream>>,
    reader: SseReader,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) first_byte_at: Option<Timestamp>,
    pub(crate) upstream_request_id: Option<String>,
    pub(crate) alarm: Alarm,
    /// When the exchange as a whole must be over.
    pub(crate) total_deadline: Instant,
    /// When the upstream was asked, then when it said something last.
    pub(crate) heard_at: Instant,
    /// When the client was sent something last.
    spoken_at: Instant,
    /// How long it may be silent now: until its first byte, then between two.
    pub(crate) silence_max: Duration,
}

/// What happened next in a stream.
pub(crate) enum Next {
    /// An event for the client.
    Forward(Bytes),
    /// Nothing for a while: a comment keeps the connection alive.
    Silence,
    /// Nothing yet: time to look whether the stream may go on.
    Look,
    /// The hold is used up: end the stream.
    HoldReached,
    /// It is over.
    Ended(Box<End>),
}

/// How an exchange ended.
pub(crate) struct End {
    pub(crate) verdict: Verdict,
    /// What an open stream is told; `None` when it ended well.
    pub(crate) error: Option<PublicError>,
}

impl Exchange {
    pub(crate) fn new(node: &Arc<Node>, trace: Box<Trace>, admitted: Box<Admitted>) -> Self {
        let bound = &admitted.bound;
        let output = bound.output_per_choice.saturating_mul(bound.choices);
        let settlement = Settlement::new(Terms {
            mode: mode_of(admitted.ask.as_ref()),
            input_bound: bound.input.side(Side::Input).tokens(),
            output_bound: output.saturating_add(bound.input.side(Side::Output).tokens()),
            units_bound: bound.input.without_tokens(),
            estimate: admitted.ask.estimate(),
            upstream_cut: node.settings.upstream_cut,
        });
        node.metrics.holds_open.fetch_add(1, Ordering::Relaxed);
        // A hold that is durable already needs no intent: its task knows of it.
        if admitted.hold.as_ref().is_some_and(|hold| hold.amount() > Nano::ZERO) {
            node.charges.intend(Intent {
                request: trace.request_id,
                organization: admitted.caller.key.organization(),
                key: admitted.caller.key.id,
                model: trace.model.clone(),
                hold: admitted.held(),
                at: trace.arrived.wall,
            });
        }
        let now = instant_now();
        Self(Some(Box::new(Open {
            node: Arc::clone(node),
            trace,
            admitted,
            settlement,
            target: None,
            watch: None,
            conversation: None,
            head_status: None,
            head_tokens: None,
            told: Conditions::NONE,
            answer_id: None,
            stream: None,
            reader: SseReader::new(),
            attempts: Vec::new(),
            first_byte_at: None,
            upstream_request_id: None,
            alarm: Alarm::default(),
            total_deadline: now,
            heard_at: now,
            spoken_at: now,
            silence_max: Duration::ZERO,
        })))
    }

    /// Takes it for settlement; from here on dropping means nothing.
    pub(crate) fn into_open(mut self) -> Option<Box<Open>> {
        self.0.take()
    }

    /// The open exchange.
    pub(crate) fn open(&mut self) -> Option<&mut Open> {
        self.0.as_deref_mut()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.abandon();
        }
    }
}

impl Open {
    /// Hands the exchange to the drain.
    fn abandon(mut self: Box<Self>) {
        if let Some(permit) = self.admitted.drain.take() {
            permit.send(self);
        }
    }

    /// A new try: the state of a former one is forgotten, its attempt stays listed.
    pub(crate) fn begin(&mut self, target: Arc<Target>, conversation: Conversation, now: Instant) {
        self.node.metrics.upstream_calls.fetch_add(1, Ordering::Relaxed);
        self.stream = self.admitted.ask.stream(target.provider.dialect);
        self.reader = SseReader::new();
        self.total_deadline = now.checked_add(target.timeouts.total).unwrap_or(now);
        self.heard_at = now;
        self.head_status = None;
        self.head_tokens = None;
        self.answer_id = None;
        self.told = Conditions::NONE;
        self.settlement = self.settlement.restarted();
        self.silence_max = target.timeouts.first_byte;
        self.target = Some(target);
        self.conversation = Some(conversation);
    }

    /// A try is over and another may follow: nothing of it runs any more, and nothing it brought is charged.
    pub(crate) fn forget_attempt(&mut self) {
        self.conversation = None;
        self.watch = None;
        self.head_status = None;
        self.head_tokens = None;
        self.answer_id = None;
        self.settlement = self.settlement.restarted();
    }

    /// Tells the rule whether the request has left whole, when that begins to matter.
    pub(crate) fn note_dispatched(&mut self) {
        if self.conversation.as_ref().is_some_and(Conversation::is_dispatched) {
            self.settlement.step(Event::Dispatched);
        }
    }

    /// What a whole answer brought.
    pub(crate) fn note_reply(&mut self, reply: &Reply) {
        if reply.has_content {
            let chunks = reply.estimated_output_tokens();
            self.settlement.step(Event::Content { bytes: reply.content_bytes, chunks });
        }
        if let Some(usage) = reply.usage {
            self.settlement.step(Event::Reported { usage, is_final: true });
        }
        self.settlement.step(Event::Finished);
    }

    /// Notes what a piece of the answer tells of conditions; the last word counts.
    pub(crate) fn note_told(&mut self, document: &[u8]) {
        self.told = claviger_wire::conditions::told(document).or(&self.told);
    }

    /// What its server keeps of the answer, for the record to bind (W13). The simulator in process keeps nothing.
    pub(crate) fn kept(&mut self) -> Option<Box<KeptAnswer>> {
        let streamed = || self.stream.as_ref()?.upstream_id().map(str::to_owned);
        let upstream_id = self.answer_id.take().or_else(streamed).filter(|id| is_kept_name(id))?;
        let target = self.target.as_ref().filter(|target| target.provider.dialect != Dialect::Simulator)?;
        let previous = self.admitted.former.as_ref().map(|former| former.id());
        Some(Box::new(KeptAnswer { upstream_id, provider: target.provider.row, previous }))
    }

    /// The answer is known whole: kept for a caller who has named the request, if it is to be.
    pub(crate) fn offer(&mut self, reply: &Reply) {
        let content_type = self.admitted.ask.content_type();
        if let Some(claim) = &mut self.admitted.claim {
            claim.offer(&reply.body, content_type);
        }
    }

    /// The next thing that happens in the stream. Cancel-safe: nothing is lost when the wait is dropped.
    pub(crate) async fn next(&mut self, keeps_alive: bool) -> Next {
        loop {
            match self.reader.next() {
                Some(Ok(frame)) => match self.on_event(frame) {
                    Some(next) => return next,
                    None => continue,
                },
                Some(Err(_)) => return self.failed(Code::UpstreamError),
                None => {}
            }
            // An upstream may speak without saying anything to the client: pings, or what is stripped.
            if keeps_alive
                && self.heard_at.saturating_duration_since(self.spoken_at) >= self.node.settings.routes.keep_alive
            {
                self.spoken_at = instant_now();
                return Next::Silence;
            }
            match self.read(keeps_alive).await {
                Read::Piece(bytes) => self.reader.push(bytes),
                Read::Silence if self.spoken_at.elapsed() >= self.node.settings.routes.keep_alive => {
                    self.spoken_at = instant_now();
                    return Next::Silence;
                }
                Read::Silence => return Next::Look,
                Read::End => {
                    let last = self.reader.finish();
                    return last.and_then(|frame| self.on_event(frame)).unwrap_or_else(|| self.upstream_ended());
                }
                Read::Failed(fault) => return self.failed(in_stream(fault)),
            }
        }
    }

    fn on_event(&mut self, frame: Frame) -> Option<Next> {
        if self.admitted.book.is_some() {
            self.note_told(&frame.one_line());
        }
        let step = self.stream.as_mut()?.event(frame);
        if step.error.is_some() {
            return Some(self.failed(Code::UpstreamError));
        }
        if step.is_finished {
            self.settlement.step(Event::Finished);
        }
        let mut effect = Effect::Continue;
        if let Some((usage, is_final)) = step.usage {
            effect = self.settlement.step(Event::Reported { usage, is_final });
        }
        if let Some(content) = step.content
            && effect == Effect::Continue
        {
            effect = self.settlement.step(Event::Content { bytes: content.bytes, chunks: content.chunks });
        }
        if step.is_done {
            return Some(self.upstream_ended());
        }
        if effect == Effect::CutAtHold {
            self.note_success();
            // The event that went beyond the hold is not paid for, so it is not delivered.
            return Some(Next::HoldReached);
        }
        let forward = step.forward?;
        self.spoken_at = self.heard_at;
        Some(Next::Forward(forward))
    }

    /// One piece from the upstream, within its limits of silence and total time.
    pub(crate) async fn read(&mut self, keeps_alive: bool) -> Read {
        let Some(conversation) = &mut self.conversation else { return Read::End };
        let silent_until = self.heard_at.checked_add(self.silence_max).unwrap_or(self.heard_at);
        let hard = silent_until.min(self.total_deadline);
        let soft = if keeps_alive { instant_in(LOOK) } else { hard };
        match self.alarm.guard(hard.min(soft), conversation.piece()).await {
            Some(Ok(Some(bytes))) => {
                self.heard_at = instant_now();
                self.silence_max = self.target.as_ref().map_or(self.silence_max, |target| target.timeouts.idle);
                Read::Piece(bytes)
            }
            Some(Ok(None)) => {
                self.conversation = None;
                Read::End
            }
            Some(Err(fault)) => Read::Failed(fault),
            None if instant_now() >= hard => Read::Failed(Fault::TimedOut),
            None => Read::Silence,
        }
    }

    fn upstream_ended(&mut self) -> Next {
        let is_finished = self.stream.as_ref().is_none_or(|stream| stream.is_finished());
        if is_finished {
            self.settlement.step(Event::Finished);
        }
        let error = (!is_finished).then(|| PublicError::new(Code::StreamTruncated));
        self.over(Event::UpstreamEnded, error)
    }

    /// A binary answer came to its clean end.
    pub(crate) fn ended_binary(&mut self) -> Next {
        self.settlement.step(Event::Finished);
        self.over(Event::UpstreamEnded, None)
    }

    /// The upstream failed; an open stream is told `code`.
    pub(crate) fn failed(&mut self, code: Code) -> Next {
        self.over(Event::UpstreamFailed, Some(PublicError::new(code)))
    }

    /// We end the stream, because the node stops.
    pub(crate) fn stopped(&mut self) -> Next {
        self.over(Event::Stopped, Some(PublicError::new(Code::ServerShutdown)))
    }

    /// The key leaked: what is charged is what had come, as if the client had left.
    pub(crate) fn revoked(&mut self) -> Next {
        self.note_dispatched();
        self.over(Event::Revoked, Some(PublicError::new(Code::KeyRevoked)))
    }

    /// The target answered as it should.
    pub(crate) fn note_success(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.succeeded(self.node.monotonic());
        }
    }

    fn over(&mut self, event: Event, error: Option<PublicError>) -> Next {
        match (event, &mut self.watch) {
            (Event::UpstreamEnded, Some(watch)) if error.is_none() => watch.succeeded(self.node.monotonic()),
            (Event::UpstreamEnded | Event::UpstreamFailed, Some(watch)) => watch.failed(&self.node),
            _ => {}
        }
        match self.settlement.step(event) {
            Effect::Ended(verdict) => Next::Ended(Box::new(End { verdict, error })),
            _ => Next::Silence,
        }
    }
}

/// How an answer comes.
fn mode_of(ask: &dyn Ask) -> Mode {
    match (ask.is_stream(), ask.is_binary()) {
        (true, _) => Mode::Sse,
        (false, true) => Mode::Binary,
        (false, false) => Mode::Json,
    }
}

/// One read of the upstream.
pub(crate) enum Read {
    /// Bytes.
    Piece(Bytes),
    /// Nothing yet, and a comment is due.
    Silence,
    /// The clean end.
    End,
    /// It broke or took too long.
    Failed(Fault),
}

/// What an open stream is told of a fault.
const fn in_stream(fault: Fault) -> Code {
    match fault {
        Fault::TimedOut => Code::UpstreamTimeout,
        Fault::Unreachable | Fault::Dropped | Fault::Broken => Code::StreamTruncated,
    }
}
