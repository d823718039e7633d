//! A script played onto a connection: the waits, each piece flushed alone, the ending.

use super::connection::{Doomed, Fate, FateSlot};
use super::requests::Ended;
use super::service::Simulator;
use bytes::Bytes;
use claviger_wire::simulator::{Ending, Script, Steps};
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Between the last byte and the end of a cut connection, so that the bytes are gone before it.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// Counts one request in flight, and notes in the record how it ended. Dropped early means that the peer left.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) simulator: Arc<Simulator>,
    /// Its number in the record.
    pub(super) number: Option<u64>,
    ended: Ended,
    body_bytes_sent: u64,
}

impl Ticket {
    /// Counts a request in.
    pub(super) fn new(simulator: Arc<Simulator>) -> Self {
        simulator.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { simulator, number: None, ended: Ended::Aborted, body_bytes_sent: 0 }
    }

    fn sent(&mut self, bytes: &Bytes) {
        self.body_bytes_sent += u64::try_from(bytes.len()).unwrap_or(0);
    }

    /// Notes an ending that is not the peer's doing.
    pub(super) fn end(&mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.simulator.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let (Some(number), Some(requests)) = (self.number, &self.simulator.requests) {
            requests.end(number, self.ended, self.body_bytes_sent);
        }
    }
}

/// The body of an answer.
pub(super) enum Reply {
    /// There at once, and clean.
    Whole(Option<Bytes>, Ticket),
    /// Anything else.
    Played(Box<Played>),
}

/// A script under way.
pub(super) struct Played {
    steps: Steps,
    ending: Ending,
    ticket: Ticket,
    fate: FateSlot,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Waits for the sleep to pass.
    next: Option<Bytes>,
    is_sleeping: bool,
    /// hyper flushes when the body is pending once.
    must_flush: bool,
    is_ending: bool,
}

impl Reply {
    /// Plays the body of a script.
    pub(super) fn new(mut script: Script, ticket: Ticket, fate: FateSlot) -> Self {
        if script.ending == Ending::Clean && script.steps.size_bytes().is_some() {
            let bytes = script.steps.take_whole();
            let mut reply = Self::Whole(bytes, ticket);
            if let Self::Whole(None, ticket) = &mut reply {
                ticket.end(Ended::Complete);
            }
            return reply;
        }
        Self::Played(Box::new(Played {
            steps: script.steps,
            ending: script.ending,
            ticket,
            fate,
            sleep: None,
            next: None,
            is_sleeping: false,
            must_flush: false,
            is_ending: false,
        }))
    }
}

impl Played {
    /// Deadlines count from the one before, so that a slow reader does not stretch the whole stream.
    fn sleep_ms(&mut self, wait_ms: u64) {
        if wait_ms == 0 {
            return;
        }
        let wait = Duration::from_millis(wait_ms);
        match &mut self.sleep {
            Some(sleep) => {
                let deadline = sleep.deadline() + wait;
                sleep.as_mut().reset(deadline);
            }
            None => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
        }
        self.is_sleeping = true;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Doomed>>> {
        loop {
            if self.must_flush {
                self.must_flush = false;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let (true, Some(sleep)) = (self.is_sleeping, &mut self.sleep) {
                ready!(sleep.as_mut().poll(context));
                self.is_sleeping = false;
            }
            if let Some(bytes) = self.next.take() {
                self.must_flush = true;
                self.ticket.sent(&bytes);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.is_ending {
                return self.end();
            }
            match self.steps.next() {
                Some(step) => {
                    self.sleep_ms(step.wait_ms);
                    self.next = Some(step.bytes);
                }
                None => {
                    self.is_ending = true;
                    if let Ending::Cut { .. } = self.ending {
                        self.sleep = Some(Box::pin(tokio::time::sleep(BEFORE_CUT)));
                        self.is_sleeping = true;
                    }
                }
            }
        }
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Doomed>>> {
        match self.ending {
            Ending::Clean => {
                self.ticket.end(Ended::Complete);
                Poll::Ready(None)
            }
            // Nothing wakes this body again: the peer's leaving, or the end of the program, drops it.
            Ending::Stall => Poll::Pending,
            Ending::Cut { is_reset } => {
                self.ticket.end(Ended::Cut);
                *self.fate.lock() = Some(Fate { raw: Vec::new(), is_reset });
                Poll::Ready(Some(Err(Doomed)))
            }
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Doomed;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Doomed>>> {
        match self.get_mut() {
            Self::Whole(bytes, ticket) => Poll::Ready(bytes.take().map(|bytes| {
                ticket.sent(&bytes);
                ticket.end(Ended::Complete);
                Ok(Frame::data(bytes))
            })),
            Self::Played(played) => played.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None, _))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes, _) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Played(_) => SizeHint::default(),
        }
    }
}
