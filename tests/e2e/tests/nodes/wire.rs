//! A wire between a node and its database that can be delayed, stalled and cut: a partition as a process sees it.

use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const PASS: u8 = 0;
const STALL: u8 = 1;
const CUT: u8 = 2;

/// A statement with its values is longer than this, a ping is not.
const QUESTION: usize = 60;

/// How often a waiting wire looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Mode {
    state: AtomicU8,
    /// Milliseconds that answers are under way.
    delay: AtomicU64,
    /// Questions that have passed.
    questions: AtomicU64,
}

/// A running wire.
pub(crate) struct Wire {
    address: String,
    mode: Arc<Mode>,
    listening: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// Listens on a port of its own and forwards to `address` (host and port).
    pub(crate) async fn to(address: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.to_string();
        let mode = Arc::new(Mode::default());
        let (shared, address) = (Arc::clone(&mode), address.to_owned());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mode, address) = (Arc::clone(&shared), address.clone());
                tokio::spawn(async move { join(client, &address, &mode).await });
            }
        });
        Ok(Self { address: own, mode, listening })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Everything passes, at once.
    pub(crate) fn heal(&self) {
        self.mode.delay.store(0, Ordering::SeqCst);
        self.mode.state.store(PASS, Ordering::SeqCst);
    }

    /// Nothing passes any more and nothing ends: a network that went away without a word. What is under way arrives.
    pub(crate) fn stall(&self) {
        self.mode.state.store(STALL, Ordering::SeqCst);
    }

    /// Every connection ends, and none begins.
    pub(crate) fn cut(&self) {
        self.mode.state.store(CUT, Ordering::SeqCst);
    }

    /// Questions that have passed; what only asks whether somebody is there does not count.
    pub(crate) fn questions(&self) -> u64 {
        self.mode.questions.load(Ordering::SeqCst)
    }

    /// Answers take this long from now on.
    pub(crate) fn delay(&self, by: Duration) {
        self.mode.delay.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn join(client: TcpStream, address: &str, mode: &Arc<Mode>) {
    if mode.state.load(Ordering::SeqCst) == CUT {
        return;
    }
    let Ok(server) = TcpStream::connect(address).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, mode, false) => {}
        () = pump(from_server, to_client, mode, true) => {}
        () = ended(mode) => {}
    }
}

async fn ended(mode: &Mode) {
    while mode.state.load(Ordering::SeqCst) != CUT {
        tokio::time::sleep(LOOK).await;
    }
}

/// Forwards what was read while the wire passed, each piece when its time has come.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    mode: &Arc<Mode>,
    is_delayed: bool,
) {
    let (pieces, mut due) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let writer = tokio::spawn(async move {
        while let Some((at, piece)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0_u8; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        while mode.state.load(Ordering::SeqCst) == STALL {
            tokio::time::sleep(LOOK).await;
        }
        if !is_delayed && count >= QUESTION {
            mode.questions.fetch_add(1, Ordering::SeqCst);
        }
        let delay = if is_delayed { mode.delay.load(Ordering::SeqCst) } else { 0 };
        let at = Instant::now() + Duration::from_millis(delay);
        if pieces.send((at, buffer.get(..count).unwrap_or_default().to_vec())).await.is_err() {
            break;
        }
    }
    drop(pieces);
    let _ = writer.await;
}
