//! Accepts connections, bounds them, and lets them end well when the node stops.

use crate::body::PacedBody;
use crate::flow::Flow;
use crate::node::{Gateway, Node};
use crate::pipeline::{self, Connection};
use crate::received::RequestContext;
use crate::socket::{Phase, Socket};
use bytes::Bytes;
use claviger_domain::endpoint::Match;
use claviger_domain::limits;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long streams that are cut may take to say so; a silent one looks every second.
const FAREWELL: Duration = Duration::from_millis(1500);

/// How long a stopping node still accepts, so that load balancers can take it out first (`reliability.md` §11). On
/// loopback there is none.
const LAST_ACCEPTS: Duration = Duration::from_secs(5);

/// A pause after a failed accept: usually no file descriptor is left, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves; then stops accepting, lets running answers finish within the drain time, ends the
/// rest with `server_shutdown`, and returns when every connection is gone.
///
/// `management` answers the rows that are not the data plane's; it gets the matched row, so nothing is matched twice.
pub async fn serve<M, F, B>(
    listener: TcpListener,
    gateway: Gateway,
    management: M,
    shutdown: impl Future<Output = ()> + Send,
) where
    M: Fn(Match, Request<PacedBody>, RequestContext) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let node = &gateway.0;
    let door = Arc::new(Door::default());
    let (ending, ended) = watch::channel(Ending::Serving);
    let is_local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let mut shutdown = std::pin::pin!(async {
        shutdown.await;
        node.begin_draining();
        if !is_local {
            tokio::time::sleep(LAST_ACCEPTS).await;
        }
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let Some(admitted) = door.admit(client.ip()) else { continue };
                let guest = Guest { _admitted: admitted, client, ended: ended.clone() };
                node.tasks.spawn(run(Arc::clone(node), management.clone(), stream, guest));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(ended);
    ending.send_replace(Ending::Finishing);
    let drained = tokio::time::timeout(node.settings.drain, ending.closed()).await;
    if drained.is_err() {
        node.cut();
        let _ = tokio::time::timeout(FAREWELL, ending.closed()).await;
        ending.send_replace(Ending::Over);
        ending.closed().await;
    }
}

/// How far the end of serving has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Serving,
    Finishing,
    Over,
}

struct Guest {
    _admitted: Admission,
    client: SocketAddr,
    ended: watch::Receiver<Ending>,
}

async fn run<M, F, B>(node: Arc<Node>, management: M, stream: TcpStream, mut guest: Guest)
where
    M: Fn(Match, Request<PacedBody>, RequestContext) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    // A connection that cannot be told to send at once still works.
    let _ = stream.set_nodelay(true);
    node.metrics.connections.fetch_add(1, Ordering::Relaxed);
    let phase = Arc::new(Phase::new());
    let connection = Arc::new(Connection { client: guest.client, phase: Arc::clone(&phase) });
    let service = {
        let node = Arc::clone(&node);
        service_fn(move |request| {
            let (node, connection, management) = (Arc::clone(&node), Arc::clone(&connection), management.clone());
            async move {
                let guard = Busy(Arc::clone(&connection));
                let reply = pipeline::answer(node, connection, management, request).await;
                Ok::<_, Infallible>(reply.map(|body| Answer { body, _busy: guard }))
            }
        })
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(false)
        .max_header_size(limits::REQUEST_HEAD_BYTES)
        .max_buf_size(limits::READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Socket::new(stream, phase)), service);
    let mut served = std::pin::pin!(served);
    let is_over = tokio::select! {
        // The peer's errors are the peer's affair.
        _ = served.as_mut() => true,
        _ = guest.ended.wait_for(|ending| *ending >= Ending::Finishing) => false,
    };
    if !is_over {
        served.as_mut().graceful_shutdown();
        tokio::select! {
            _ = served.as_mut() => {}
            _ = guest.ended.wait_for(|ending| *ending >= Ending::Over) => {}
        }
    }
    node.metrics.connections.fetch_sub(1, Ordering::Relaxed);
}

/// The connection is busy until this is dropped with the answer's body.
struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.phase.idle();
    }
}

pin_project_lite::pin_project! {
    /// A body of either plane that keeps its connection busy.
    struct Answer<B> {
        #[pin]
        body: Either<Flow, B>,
        _busy: Busy,
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts connections, in all and of each address (E8).
struct Door {
    all: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Door {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(limits::CONNECTIONS)), by_address: Mutex::default() }
    }
}

/// One counted connection.
struct Admission {
    door: Arc<Door>,
    address: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Door {
    /// A place, or `None` when there is none: the connection is closed unanswered.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_default();
        // Loopback is where trusted proxies and test clients of one machine live.
        if *count >= limits::CONNECTIONS_PER_ADDRESS && !address.is_loopback() {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Admission { door: Arc::clone(self), address, _place: place })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut by_address = self.door.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}
