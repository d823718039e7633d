//! A request body that must come fast enough and must not be too large (`reliability.md` §4, rows 10, 20, 55).

use crate::memory::Room;
use bytes::{Bytes, BytesMut};
use claviger_domain::error::Code;
use claviger_domain::limits;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// A body up to this is copied out of the buffer it came in.
const COPIED_BYTES: usize = 4 * 1024;

/// Why a body did not come whole. Each is answered and ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Slower than [`limits::BODY_BYTES_PER_SECOND`] behind its grace.
    #[error("the body came too slowly")]
    TooSlow,
    /// It ended before its announced length, or broke.
    #[error("the body ended early")]
    Incomplete,
    /// Longer than the endpoint takes.
    #[error("the body is too large")]
    TooLarge,
    /// Too many large bodies are being read at once.
    #[error("no room for the body")]
    NoRoom,
}

impl From<BodyError> for Code {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooSlow => Self::RequestTimeout,
            BodyError::Incomplete => Self::IncompleteBody,
            BodyError::TooLarge => Self::RequestTooLarge,
            BodyError::NoRoom => Self::Overloaded,
        }
    }
}

/// hyper's body under a size limit and a least rate.
///
/// The rate is judged by windows that begin when the body first keeps us waiting: the grace, then single seconds; a
/// window that brought less than [`limits::BODY_BYTES_PER_SECOND`] on average ends the body.
pub struct PacedBody {
    inner: Incoming,
    bytes_max: u64,
    window: Option<Window>,
    is_read: Option<Arc<AtomicBool>>,
}

struct Window {
    timer: Pin<Box<Sleep>>,
    length: Duration,
    bytes: u64,
}

impl PacedBody {
    pub(crate) const fn new(inner: Incoming, bytes_max: u64) -> Self {
        Self { inner, bytes_max, window: None, is_read: None }
    }

    /// Sets `is_read` once the body has come to its end.
    pub(crate) fn noting_end(mut self, is_read: Arc<AtomicBool>) -> Self {
        self.is_read = Some(is_read);
        self
    }

    fn note_end(&self) {
        if let Some(is_read) = &self.is_read {
            is_read.store(true, Ordering::Relaxed);
        }
    }

    /// The whole body, as far as there is room for it.
    ///
    /// A small one is copied: it lies in the connection's read buffer, and for as long as it did, every further read
    /// would need a buffer of its own. A large one that came in one frame is not.
    ///
    /// # Errors
    /// [`BodyError`]: the rest of the body is unread.
    pub(crate) async fn read_into(mut self, room: &mut Room) -> Result<Bytes, BodyError> {
        let announced = usize::try_from(self.inner.size_hint().lower()).unwrap_or(usize::MAX);
        if !room.grow_to(announced) {
            return Err(BodyError::NoRoom);
        }
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let second = if self.inner.is_end_stream() { None } else { self.next().await? };
        let Some(second) = second else {
            return Ok(if first.len() <= COPIED_BYTES { Bytes::copy_from_slice(&first) } else { first });
        };
        let mut all = BytesMut::with_capacity(first.len().saturating_add(second.len()).max(announced));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            if !room.grow_to(all.len().saturating_add(more.len())) {
                return Err(BodyError::NoRoom);
            }
            all.extend_from_slice(&more);
        }
        Ok(all.freeze())
    }

    /// Reads the body to its end and forgets it.
    pub(crate) async fn discard(mut self) -> Result<(), BodyError> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            match std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    // Trailers are read and ignored.
                    Err(_) => continue,
                },
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime's own clock, for a timer that only runs while a body is waited for"
    )]
    fn poll_pace(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let window = self.window.get_or_insert_with(|| Window {
            timer: Box::pin(tokio::time::sleep(limits::BODY_GRACE)),
            length: limits::BODY_GRACE,
            bytes: 0,
        });
        while window.timer.as_mut().poll(context).is_ready() {
            if window.bytes < limits::BODY_BYTES_PER_SECOND.saturating_mul(window.length.as_secs()) {
                return Poll::Ready(());
            }
            window.bytes = 0;
            window.length = Duration::from_secs(1);
            let now = tokio::time::Instant::now();
            window.timer.as_mut().reset(now.checked_add(window.length).unwrap_or(now));
        }
        Poll::Pending
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(None) => {
                self.note_end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(BodyError::Incomplete))),
            Poll::Ready(Some(Ok(frame))) => {
                let size = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                if let Some(window) = &mut self.window {
                    window.bytes = window.bytes.saturating_add(size);
                }
                let Some(rest) = self.bytes_max.checked_sub(size) else {
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                };
                self.bytes_max = rest;
                if self.inner.is_end_stream() {
                    self.note_end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending => match self.poll_pace(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::TooSlow))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
