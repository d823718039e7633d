//! One accepted connection with its deadlines (`reliability.md` §4, rows 18, 19, 21; E3).
//!
//! hyper has one timer for the silent connection, the half head and the idle connection; these are three promises, so
//! they are kept here, on the socket, with one reusable timer. The service moves the [`Phase`]; this file only waits.
//! A closing connection whose last request has unread bytes lingers, so that the refusal is not lost to a reset.

use crate::alarm::{Alarm, instant_in, instant_now};
use claviger_domain::limits;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What a connection is doing; decides which deadline holds for reading.
#[derive(Default)]
pub(crate) struct Phase {
    state: AtomicU8,
    lingers: AtomicBool,
}

const FIRST: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const IDLE: u8 = 3;

impl Phase {
    /// A request is being answered: reading has no deadline of its own.
    pub(crate) fn busy(&self) {
        self.state.store(BUSY, Ordering::Relaxed);
    }

    /// The answer has left: the next request may take its time.
    pub(crate) fn idle(&self) {
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// The connection will be closed with bytes of its request unread.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }
}

/// The stream that hyper reads and writes.
pub(crate) struct Socket {
    stream: TcpStream,
    phase: Arc<Phase>,
    alarm: Alarm,
    /// The phase that `deadline` was set for.
    watched: u8,
    deadline: Instant,
    write_deadline: Option<Instant>,
    has_shut: bool,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, phase: Arc<Phase>) -> Self {
        Self {
            stream,
            phase,
            alarm: Alarm::default(),
            watched: FIRST,
            deadline: instant_in(limits::FIRST_BYTE),
            write_deadline: None,
            has_shut: false,
        }
    }

    /// The deadline of the phase, counted from when this socket first saw it.
    fn read_deadline(&mut self) -> Option<Instant> {
        let phase = self.phase.state.load(Ordering::Relaxed);
        if phase != self.watched {
            self.watched = phase;
            self.deadline = match phase {
                HEAD => instant_in(limits::HEAD),
                IDLE => instant_in(limits::IDLE_CONNECTION),
                _ => self.deadline,
            };
        }
        (phase != BUSY).then_some(self.deadline)
    }

    /// The first bytes of a request start the head's deadline.
    fn head_begins(&mut self) {
        let phase = self.phase.state.load(Ordering::Relaxed);
        if phase == FIRST || phase == IDLE {
            self.phase.state.store(HEAD, Ordering::Relaxed);
            self.watched = HEAD;
            self.deadline = instant_in(limits::HEAD);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    self.head_begins();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let Some(deadline) = self.read_deadline() else { return Poll::Pending };
                ready!(self.alarm.poll(context, deadline));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Socket {
    /// A client that takes nothing for [`limits::STALLED_CLIENT`] counts as gone.
    fn judge_write<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let deadline = *self.write_deadline.get_or_insert_with(|| instant_in(limits::STALLED_CLIENT));
        ready!(self.alarm.poll(context, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.has_shut = true;
            self.deadline = instant_in(limits::LINGER);
        }
        if !self.phase.lingers.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut dropped = [0_u8; 8 * 1024];
        let mut buffer = ReadBuf::new(&mut dropped);
        loop {
            buffer.clear();
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if instant_now() >= self.deadline {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let deadline = self.deadline;
                    ready!(self.alarm.poll(context, deadline));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
