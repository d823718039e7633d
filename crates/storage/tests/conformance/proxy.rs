//! A network between a store and its server, which can fail in the ways networks do.

use claviger_testkit::stores::postgres_url;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of new connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum New {
    /// They reach the server.
    Pass,
    /// They are accepted and never answered.
    Swallow,
    /// They are closed at once.
    Refuse,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Answers to COMMIT that are still to be lost.
    commits_to_cut: AtomicU32,
}

struct Connection {
    is_swallowed: AtomicBool,
    is_cut: watch::Sender<bool>,
}

/// A proxy; dropping it ends every connection.
pub(crate) struct Proxy {
    address: String,
    new: Arc<Mutex<New>>,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Stands before the cluster of the tests.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (new, shared) = (Arc::new(Mutex::new(New::Pass)), Arc::new(Shared::default()));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&new), Arc::clone(&shared)));
        Self { address, new, shared, _task: task }
    }

    /// The same URL, through this proxy.
    pub(crate) fn through(&self, url: &str) -> String {
        let server = postgres_url();
        url.replacen(server_address(&server), &self.address, 1)
    }

    /// What becomes of connections from now on.
    pub(crate) fn new_connections(&self, new: New) {
        *self.new.lock() = new;
    }

    /// The connections of now never carry another byte, and no side learns it.
    pub(crate) fn swallow(&self, count: usize) {
        for connection in self.shared.connections.lock().iter().take(count) {
            connection.is_swallowed.store(true, Ordering::SeqCst);
        }
    }

    /// The connections of now end.
    pub(crate) fn cut(&self) {
        for connection in self.shared.connections.lock().drain(..) {
            connection.is_cut.send_replace(true);
        }
    }

    /// The next commits arrive, their answers do not.
    pub(crate) fn lose_answers_to_commit(&self, count: u32) {
        self.shared.commits_to_cut.store(count, Ordering::SeqCst);
    }

    pub(crate) fn commits_to_cut(&self) -> u32 {
        self.shared.commits_to_cut.load(Ordering::SeqCst)
    }
}

/// `host:port` of a URL.
fn server_address(url: &str) -> &str {
    url.rsplit(['@', '/']).next().unwrap()
}

async fn accept(listener: TcpListener, new: Arc<Mutex<New>>, shared: Arc<Shared>) {
    let mut running = JoinSet::new();
    let mut silent = Vec::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mode = *new.lock();
        match mode {
            New::Refuse => drop(client),
            New::Swallow => silent.push(client),
            New::Pass => {
                let (is_cut, cut) = watch::channel(false);
                let connection = Arc::new(Connection { is_swallowed: AtomicBool::new(false), is_cut });
                shared.connections.lock().push(Arc::clone(&connection));
                running.spawn(carry(client, connection, Arc::clone(&shared), cut));
            }
        }
    }
}

async fn carry(client: TcpStream, connection: Arc<Connection>, shared: Arc<Shared>, mut cut: watch::Receiver<bool>) {
    let url = postgres_url();
    let server = TcpStream::connect(server_address(&url)).await.unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let both = async {
        tokio::select! {
            () = copy(from_client, to_server, &connection, Some(&shared)) => {}
            () = copy(from_server, to_client, &connection, None) => {}
        }
    };
    tokio::select! {
        () = both => {}
        _ = cut.wait_for(|is_cut| *is_cut) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, connection: &Connection, commits: Option<&Shared>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if connection.is_swallowed.load(Ordering::SeqCst) {
            if count == 0 {
                // The other side is not told.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        let Some(shared) = commits else { continue };
        let is_commit = buffer[..count].windows(7).any(|bytes| bytes == b"COMMIT\0");
        let take = |left: u32| left.checked_sub(1);
        if is_commit && shared.commits_to_cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            connection.is_swallowed.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            return;
        }
    }
}
