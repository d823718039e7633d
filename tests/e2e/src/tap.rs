//! A wire tap between a client and the server: forwards bytes, counts the requests that pass and keeps what they said.

use anyhow::Result;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running tap.
pub struct Tap {
    url: String,
    requests: Arc<AtomicUsize>,
    sent: Arc<Mutex<Vec<u8>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Tap {
    /// Listens on a port of its own and forwards to `address` (host and port).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(address: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(AtomicUsize::new(0));
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (counter, kept, address) = (Arc::clone(&requests), Arc::clone(&sent), address.to_owned());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&address).await {
                    tokio::spawn(forward(client, server, Arc::clone(&counter), Arc::clone(&kept)));
                }
            }
        });
        Ok(Self { url, requests, sent, listening })
    }

    /// Where clients connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many request lines have passed.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// What clients sent, of all connections in the order it came.
    pub fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock()).into_owned()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn forward(client: TcpStream, server: TcpStream, counter: Arc<AtomicUsize>, kept: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0_u8; 64 * 1024];
    while let Ok(count) = from_client.read(&mut buffer).await {
        let piece = buffer.get(..count).unwrap_or_default();
        let lines = String::from_utf8_lossy(piece).matches(" HTTP/1.1\r\n").count();
        counter.fetch_add(lines, Ordering::SeqCst);
        kept.lock().extend_from_slice(piece);
        if count == 0 || to_server.write_all(piece).await.is_err() {
            break;
        }
    }
    let _ = to_server.shutdown().await;
    let _ = back.await;
}
