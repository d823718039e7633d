//! One accepted connection with its deadlines (`reliability.md` §4, rows 18, 19, 21; E3).
//!
//! hyper has one timer for the silent connection, the half head and the idle connection; these are three promises, so
//! they are kept here, on the socket, with one reusable timer. The service moves the [`Phase`]; this file only waits.
//! A closing connection whose last request has unread bytes lingers, so that the refusal is not lost to a reset.

use crate::alarm::{Alarm, instant_in, instant_now};
use crate::settled::Mark;
use claviger_domain::limits;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What a connection is doing; decides which deadline holds for reading.
pub(crate) struct Phase {
    born: Instant,
    state: AtomicU8,
    /// When the last answer had left, in nanoseconds since `born`.
    idle_at: AtomicU64,
    lingers: AtomicBool,
    has_fragment: AtomicBool,
    /// Answers whose last piece hyper has taken, to be marked once it has reached the kernel.
    marks: Mutex<Vec<Mark>>,
    has_marks: AtomicBool,
}

const FIRST: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const IDLE: u8 = 3;

impl Phase {
    pub(crate) fn new() -> Self {
        Self {
            born: instant_now(),
            state: AtomicU8::new(FIRST),
            idle_at: AtomicU64::new(0),
            lingers: AtomicBool::new(false),
            has_fragment: AtomicBool::new(false),
            marks: Mutex::default(),
            has_marks: AtomicBool::new(false),
        }
    }

    /// A request is being answered: reading has no deadline of its own.
    pub(crate) fn busy(&self) {
        self.state.store(BUSY, Ordering::Relaxed);
    }

    /// The answer has left: the next request may take its time.
    pub(crate) fn idle(&self) {
        let since = instant_now().saturating_duration_since(self.born);
        self.idle_at.store(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// The connection will be closed with bytes of its request unread.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// The last piece of an answer is in hyper's hands; if the connection goes before it is flushed, the mark is dropped.
    pub(crate) fn mark_when_flushed(&self, mark: Mark) {
        self.marks.lock().push(mark);
        self.has_marks.store(true, Ordering::Release);
    }

    fn flushed(&self) {
        if self.has_marks.swap(false, Ordering::Acquire) {
            self.marks.lock().drain(..).for_each(Mark::delivered);
        }
    }

    /// Whether the target of the request just received had a `#`, which hyper's URI does not keep; told once.
    pub(crate) fn take_fragment(&self) -> bool {
        self.has_fragment.swap(false, Ordering::Relaxed)
    }

    fn idle_deadline(&self) -> Instant {
        let idle_at = Duration::from_nanos(self.idle_at.load(Ordering::Relaxed));
        let allowed = idle_at.saturating_add(limits::IDLE_CONNECTION);
        self.born.checked_add(allowed).unwrap_or(self.born)
    }
}

/// The stream that hyper reads and writes.
pub(crate) struct Socket {
    stream: TcpStream,
    phase: Arc<Phase>,
    alarm: Alarm,
    /// For the first byte, then for the head.
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
            deadline: instant_in(limits::FIRST_BYTE),
            write_deadline: None,
            has_shut: false,
        }
    }

    /// Ready when the peer should have sent something by now. A busy connection may be silent for ever, but its alarm
    /// stays armed, so that the socket looks again when the answer has left; nothing else would wake it.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let phase = &self.phase;
        match phase.state.load(Ordering::Relaxed) {
            BUSY => self.alarm.poll_receding(context, || instant_in(limits::IDLE_CONNECTION)),
            IDLE => self.alarm.poll_receding(context, || phase.idle_deadline()),
            _ => self.alarm.poll(context, self.deadline),
        }
    }

    /// The first bytes of a request start the head's deadline; its target is in them.
    fn head_begins(&mut self, bytes: &[u8]) {
        let phase = self.phase.state.load(Ordering::Relaxed);
        if phase == FIRST || phase == IDLE {
            self.phase.state.store(HEAD, Ordering::Relaxed);
            self.deadline = instant_in(limits::HEAD);
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            self.phase.has_fragment.store(line.contains(&b'#'), Ordering::Relaxed);
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
                if let Some(received) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
                    self.head_begins(received);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.poll_silence(context));
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
        // hyper flushes the stream only when it has nothing left to write.
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.phase.flushed();
        }
        flushed
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
