//! One connection to an upstream: bytes out, bytes in, with or without TLS.
//!
//! It is driven by whoever holds it, in the task of the request it serves: no task of its own, no channel, no wake-up
//! between two of them. What the bytes mean is not known here.

use bytes::{Buf as _, Bytes, BytesMut};
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Room for one read. Most answers fit, and an idle connection keeps no more.
const READ_BYTES: usize = 8 * 1024;

/// Below this a new buffer is better than another read into the old one.
const READ_BYTES_MIN: usize = 1024;

/// A connection that stands.
pub(super) struct Connection {
    stream: Stream,
    /// What has come and was not taken yet.
    pub(super) received: BytesMut,
    /// Whether it has carried a request before this one.
    pub(super) is_reused: bool,
}

/// The way the bytes go.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A request on its way out.
pub(super) struct Outgoing {
    piece: Bytes,
    rest: std::vec::IntoIter<Bytes>,
}

impl Outgoing {
    pub(super) fn new(first: Bytes, rest: Vec<Bytes>) -> Self {
        Self { piece: first, rest: rest.into_iter() }
    }
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, received: BytesMut::new(), is_reused: false }
    }

    /// Ready when the whole request is with the kernel.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>, request: &mut Outgoing) -> Poll<io::Result<()>> {
        loop {
            if request.piece.is_empty() {
                match request.rest.next() {
                    Some(piece) => request.piece = piece,
                    None => return self.stream.writer().poll_flush(context),
                }
                continue;
            }
            match ready!(self.stream.writer().poll_write(context, &request.piece))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => request.piece.advance(written),
            }
        }
    }

    /// Adds to what was received; ready with 0 when the other side has ended.
    pub(super) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.received.capacity().saturating_sub(self.received.len());
        if self.received.is_empty() || room < READ_BYTES_MIN {
            // An empty buffer begins at its front again; a new one is only made while pieces of the old one are alive.
            self.received.reserve(READ_BYTES);
        }
        match &mut self.stream {
            Stream::Plain(stream) => pin!(stream.read_buf(&mut self.received)).poll(context),
            Stream::Tls(stream) => pin!(stream.read_buf(&mut self.received)).poll(context),
        }
    }

    /// Whether another request may be sent: the other side has neither spoken nor ended. Costs no system call unless it
    /// has.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.received.is_empty() && self.poll_receive(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

impl Stream {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}
