//! One request over the network, and its reply piece by piece.
//!
//! It is polled in the task of the request. All it knows lies in the struct, so that an await that is given up loses
//! nothing: asked again, it goes on.

use super::connection::{Connection, Outgoing};
use super::framing::{Framing, Part};
use super::pool::Pool;
use super::{Fault, Head, reply};
use crate::alarm::instant_now;
use crate::health::Place;
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// A conversation over the network.
pub(crate) struct HttpConversation {
    pool: Arc<Pool>,
    stage: Stage,
    request: Outgoing,
    sending: Sending,
    /// Whether any byte of a reply has come.
    has_heard: bool,
    _place: Option<Place>,
}

enum Stage {
    Dialling(Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>),
    Asking(Connection),
    Answering { connection: Connection, framing: Framing, keeps_alive: bool },
    Over,
}

/// How far the request has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Running,
    Done,
    /// The other side takes no more; it may have answered all the same.
    Refused,
}

impl HttpConversation {
    /// Begins on an idle connection, or on a new one that must stand within `connect`.
    pub(super) fn begin(
        pool: &Arc<Pool>,
        request: Outgoing,
        (connect, now): (Duration, Instant),
        place: Option<Place>,
    ) -> Self {
        let stage = match pool.take(now) {
            Some(connection) => Stage::Asking(connection),
            None => Stage::Dialling(Box::pin(Arc::clone(&pool.origin).dial(connect))),
        };
        let sending = Sending::Running;
        Self { pool: Arc::clone(pool), stage, request, sending, has_heard: false, _place: place }
    }

    pub(super) async fn head(&mut self) -> Result<Head, Fault> {
        let head = poll_fn(|context| self.poll_head(context)).await;
        if head.is_err() {
            self.stage = Stage::Over;
        }
        head
    }

    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        let piece = poll_fn(|context| self.poll_piece(context)).await;
        match piece {
            Ok(Some(_)) => {}
            Ok(None) => self.end(),
            Err(_) => self.stage = Stage::Over,
        }
        piece
    }

    /// Whether the whole request is with the upstream.
    pub(super) fn is_dispatched(&self) -> bool {
        self.sending == Sending::Done
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        if let Stage::Dialling(dialled) = &mut self.stage {
            let connection = ready!(dialled.as_mut().poll(context)).map_err(|_| Fault::Unreachable)?;
            self.stage = Stage::Asking(connection);
        }
        let Stage::Asking(connection) = &mut self.stage else { return Poll::Ready(Err(Fault::Broken)) };
        self.sending.poll(connection, &mut self.request, context);
        let reply = loop {
            if let Some(reply) = reply::take(&mut connection.received).map_err(|_| Fault::Broken)? {
                break reply;
            }
            match ready!(connection.poll_receive(context)) {
                Ok(received) if received > 0 => self.has_heard = true,
                // Its server closed it while it was idle, and has not seen the request.
                _ if connection.is_reused && !self.has_heard => {
                    self.pool.clear();
                    return Poll::Ready(Err(Fault::Dropped));
                }
                _ => return Poll::Ready(Err(Fault::Broken)),
            }
        };
        if let Stage::Asking(connection) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.stage = Stage::Answering { connection, framing: reply.framing, keeps_alive: reply.keeps_alive };
        }
        Poll::Ready(Ok(reply.head))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let Stage::Answering { connection, framing, .. } = &mut self.stage else { return Poll::Ready(Ok(None)) };
        // A server may begin its answer before it has read the whole question.
        self.sending.poll(connection, &mut self.request, context);
        loop {
            match framing.next(&mut connection.received) {
                Ok(Part::Piece(piece)) => return Poll::Ready(Ok(Some(piece))),
                Ok(Part::End) => return Poll::Ready(Ok(None)),
                Err(reply::Malformed) => return Poll::Ready(Err(Fault::Broken)),
                Ok(Part::More) => {}
            }
            match ready!(connection.poll_receive(context)) {
                Ok(0) if *framing == Framing::UntilClose => return Poll::Ready(Ok(None)),
                Ok(received) if received > 0 => {}
                _ => return Poll::Ready(Err(Fault::Broken)),
            }
        }
    }

    /// The reply is whole: its connection may serve another request, unless something speaks against it.
    fn end(&mut self) {
        if let Stage::Answering { connection, framing, keeps_alive } = std::mem::replace(&mut self.stage, Stage::Over) {
            let is_told = framing != Framing::UntilClose;
            // Bytes behind the reply belong to no request of ours.
            if keeps_alive && is_told && self.is_dispatched() && connection.received.is_empty() {
                self.pool.put(connection, instant_now());
            }
        }
    }
}

impl Sending {
    /// Sends on, as far as it goes now.
    fn poll(&mut self, connection: &mut Connection, request: &mut Outgoing, context: &mut Context<'_>) {
        if *self == Self::Running {
            match connection.poll_send(context, request) {
                Poll::Ready(Ok(())) => *self = Self::Done,
                Poll::Ready(Err(_)) => *self = Self::Refused,
                Poll::Pending => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dial::Origin;
    use super::*;
    use claviger_domain::egress::Reach;
    use http::Uri;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// A server under the test's hand, and the pool of connections to it.
    struct Server(TcpListener, Arc<Pool>);

    impl Server {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Uri::try_from(format!("http://{}/", listener.local_addr().unwrap())).unwrap();
            Self(listener, Arc::new(Pool::new(Origin::of(&address, Reach::Anywhere).unwrap())))
        }

        fn ask(&self, request: &'static str) -> HttpConversation {
            let request = Outgoing::new(Bytes::from_static(request.as_bytes()), Vec::new());
            HttpConversation::begin(&self.1, request, (Duration::from_secs(5), instant_now()), None)
        }

        /// Accepts, reads one request of two bytes, says `reply`.
        async fn answer(&self, reply: &str) -> TcpStream {
            let (mut stream, _) = self.0.accept().await.unwrap();
            reply_on(&mut stream, reply).await;
            stream
        }
    }

    async fn reply_on(stream: &mut TcpStream, reply: &str) {
        stream.read_exact(&mut [0; 2]).await.unwrap();
        stream.write_all(reply.as_bytes()).await.unwrap();
    }

    async fn read(conversation: &mut HttpConversation) -> Result<Vec<u8>, Fault> {
        conversation.head().await?;
        let mut body = Vec::new();
        while let Some(piece) = conversation.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_after_the_other() {
        let server = Server::new().await;
        let mut first = server.ask("q1");
        let (body, mut stream) = tokio::join!(read(&mut first), server.answer(OK));
        assert_eq!((body, first.is_dispatched()), (Ok(b"{}".to_vec()), true));
        let mut second = server.ask("q2");
        let (body, ()) = tokio::join!(read(&mut second), reply_on(&mut stream, OK));
        assert_eq!(body, Ok(b"{}".to_vec()));
    }

    #[tokio::test]
    async fn only_a_reused_connection_that_ended_unheard_counts_as_dropped() {
        let server = Server::new().await;
        let mut fresh = server.ask("q1");
        let (answer, ()) = tokio::join!(read(&mut fresh), async { drop(server.answer("").await) });
        assert_eq!(answer, Err(Fault::Broken), "a fresh connection that ends says something of its server");

        let (_, stream) = tokio::join!(async { read(&mut server.ask("q2")).await }, server.answer(OK));
        let mut reused = server.ask("q3");
        drop(stream);
        assert_eq!(read(&mut reused).await, Err(Fault::Dropped));

        let (_, mut stream) = tokio::join!(async { read(&mut server.ask("q4")).await }, server.answer(OK));
        let mut heard = server.ask("q5");
        let (answer, ()) = tokio::join!(read(&mut heard), async {
            reply_on(&mut stream, "HTTP/1.1 200").await;
            drop(stream);
        });
        assert_eq!(answer, Err(Fault::Broken), "a reply had begun");
    }

    #[tokio::test]
    async fn a_connection_is_not_used_again_when_its_reply_leaves_a_doubt() {
        for reply in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        ] {
            let server = Server::new().await;
            let mut conversation = server.ask("q1");
            let (_, _stream) = tokio::join!(read(&mut conversation), server.answer(reply));
            assert!(server.1.sweep(instant_now()), "{reply}");
        }
    }

    #[tokio::test]
    async fn a_reply_that_comes_before_the_question_is_whole_is_heard() {
        let server = Server::new().await;
        let endless = vec![Bytes::from(vec![b'x'; 64 * 1024 * 1024])];
        let request = Outgoing::new(Bytes::from_static(b"q1"), endless);
        let mut early = HttpConversation::begin(&server.1, request, (Duration::from_secs(5), instant_now()), None);
        let (body, _stream) = tokio::join!(read(&mut early), server.answer(OK));
        assert_eq!((body, early.is_dispatched()), (Ok(b"{}".to_vec()), false));
        assert!(server.1.sweep(instant_now()), "half a request was left on it");
    }

    #[tokio::test]
    async fn a_body_without_a_length_ends_with_its_connection() {
        let server = Server::new().await;
        let mut conversation = server.ask("q1");
        let (body, ()) = tokio::join!(read(&mut conversation), async {
            drop(server.answer("HTTP/1.1 200 OK\r\n\r\nabc").await);
        });
        assert_eq!(body, Ok(b"abc".to_vec()));
        let mut cut = server.ask("q2");
        let (body, ()) = tokio::join!(read(&mut cut), async {
            drop(server.answer("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc").await);
        });
        assert_eq!(body, Err(Fault::Broken));
    }
}
