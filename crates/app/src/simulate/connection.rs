//! One connection: HTTP/1.1, and the ways in which a connection can go wrong on purpose.
//!
//! hyper cannot write what is not HTTP, nor reset a socket. An answer that must do so leaves its [`Fate`] and fails;
//! the socket is then taken back and its fate carried out.

use super::service::Simulator;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What becomes of the socket behind an answer that is not one.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// Written as they are.
    pub(super) raw: Vec<Bytes>,
    /// Then reset instead of closed.
    pub(super) is_reset: bool,
}

/// Where an answer leaves the fate of its connection.
pub(super) type FateSlot = Arc<Mutex<Option<Fate>>>;

/// The sign to hyper that the connection ends here.
#[derive(Debug)]
pub(super) struct Doomed;

impl std::fmt::Display for Doomed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer ends its connection")
    }
}

impl std::error::Error for Doomed {}

/// Serves one connection until it ends.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    simulator: Arc<Simulator>,
    mut stopping: watch::Receiver<bool>,
) {
    // Each piece of an answer leaves when it is due, not when the one before is acknowledged.
    let _ = stream.set_nodelay(true);
    simulator.stats.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(&simulator));
    let fate = FateSlot::default();
    let slot = Arc::clone(&fate);
    let service =
        service_fn(move |request| Simulator::answer(Arc::clone(&simulator), request, peer, Arc::clone(&slot)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut is_stopping = false;
    let mut stopped = std::pin::pin!(stopping.wait_for(|is_stopping| *is_stopping));
    let result = poll_fn(|context| {
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(context)
    })
    .await;
    let fate = fate.lock().take();
    if let (Err(_), Some(fate)) = (result, fate) {
        end(connection.into_parts().io.into_inner(), fate).await;
    }
    drop(counted);
}

async fn end(mut stream: TcpStream, fate: Fate) {
    for bytes in fate.raw {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
    if fate.is_reset {
        let _ = stream.set_zero_linger();
    } else {
        let _ = stream.shutdown().await;
    }
}

struct Counted(Arc<Simulator>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
