//! Raw sockets, for what no client library would send, and for how a connection ends.

use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server closed it.
    Closed,
    /// It is open and waits for the next request.
    Open,
}

/// One connection.
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One answer as it stood on the wire.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// The status code.
    pub status: u16,
    /// The words behind it.
    pub reason: String,
    /// The head in lower case, without the status line.
    pub head: String,
    /// The body, without its framing when it had a length or was chunked.
    pub body: String,
}

impl RawAnswer {
    /// A header's text; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    }

    /// `error.code` of the body.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Raw {
    /// Connects to `address` (host and port).
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Connects from another address of this machine.
    ///
    /// # Errors
    /// As [`Raw::connect`].
    pub async fn connect_from(source: &str, address: &str) -> Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(format!("{source}:0").parse()?)?;
        let stream = socket.connect(address.parse()?).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Connects with a receive buffer of a few kilobytes, so that not reading is soon felt.
    ///
    /// # Errors
    /// As [`Raw::connect`].
    pub async fn connect_with_small_buffer(address: &str) -> Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let stream = socket.connect(address.parse()?).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// Ends our side of the connection.
    ///
    /// # Errors
    /// When the server has closed it.
    pub async fn finish_sending(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Reads one answer with its whole body; for a HEAD request see [`Raw::head`].
    ///
    /// # Errors
    /// When the connection ends first, or nothing comes for 20 s.
    pub async fn answer(&mut self) -> Result<RawAnswer> {
        let mut answer = self.head().await?;
        if answer.header("transfer-encoding").contains("chunked") {
            answer.body = self.chunked().await?;
        } else {
            let length: usize = answer.header("content-length").parse().unwrap_or(0);
            while self.read.len() < length {
                self.more().await?;
            }
            answer.body = String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>()).into_owned();
        }
        Ok(answer)
    }

    /// Reads one head and leaves the body where it is.
    ///
    /// # Errors
    /// As [`Raw::answer`].
    pub async fn head(&mut self) -> Result<RawAnswer> {
        let end = self.find(b"\r\n\r\n").await?;
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let (line, rest) = head.split_once("\r\n").context("no status line")?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok()).context("no status")?;
        let reason = line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
        let head: String = rest.lines().map(lower_name).collect::<Vec<_>>().join("\n");
        Ok(RawAnswer { status, reason, head, body: String::new() })
    }

    /// Reads until `count` lines that begin with `data:` have come.
    ///
    /// # Errors
    /// As [`Raw::answer`].
    pub async fn events(&mut self, count: usize) -> Result<()> {
        while String::from_utf8_lossy(&self.read).matches("data: ").count() < count {
            self.more().await?;
        }
        Ok(())
    }

    /// Reads until `text` has come.
    ///
    /// # Errors
    /// As [`Raw::answer`].
    pub async fn until(&mut self, text: &str) -> Result<()> {
        self.find(text.as_bytes()).await.map(drop)
    }

    /// Waits until there is something to read.
    ///
    /// # Errors
    /// When nothing comes within `patience`.
    pub async fn readable_within(&self, patience: Duration) -> Result<()> {
        Ok(timeout(patience, self.stream.readable()).await.context("nothing came")??)
    }

    /// What happens to the connection within `patience`, and after how long. Bytes that still come are dropped.
    pub async fn fate(&mut self, patience: Duration) -> (Fate, Duration) {
        let begun = Instant::now();
        let mut buffer = [0_u8; 4096];
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            match timeout(left, self.stream.read(&mut buffer)).await {
                Err(_) => return (Fate::Open, begun.elapsed()),
                Ok(Ok(0) | Err(_)) => return (Fate::Closed, begun.elapsed()),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Everything until the server closes or is silent for `quiet`.
    pub async fn heard(&mut self, quiet: Duration) -> String {
        while matches!(timeout(quiet, self.more()).await, Ok(Ok(()))) {}
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Everything until the server closes.
    ///
    /// # Errors
    /// When it does not within 20 s.
    pub async fn until_closed(&mut self) -> Result<String> {
        while self.more().await.is_ok() {}
        Ok(String::from_utf8_lossy(&self.read).into_owned())
    }

    async fn chunked(&mut self) -> Result<String> {
        let mut body = Vec::new();
        loop {
            let end = self.find(b"\r\n").await?;
            let line = String::from_utf8_lossy(&self.read.drain(..end).collect::<Vec<_>>()).into_owned();
            let size = usize::from_str_radix(line.trim(), 16).context("no chunk size")?;
            while self.read.len() < size + 2 {
                self.more().await?;
            }
            body.extend(self.read.drain(..size));
            self.read.drain(..2);
            if size == 0 {
                return Ok(String::from_utf8_lossy(&body).into_owned());
            }
        }
    }

    async fn find(&mut self, wanted: &[u8]) -> Result<usize> {
        loop {
            if let Some(at) = self.read.windows(wanted.len()).position(|window| window == wanted) {
                return Ok(at + wanted.len());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        let mut buffer = vec![0_u8; 16 * 1024];
        let count =
            timeout(Duration::from_secs(20), self.stream.read(&mut buffer)).await.context("silence for 20 s")??;
        if count == 0 {
            bail!("the server closed the connection; read so far: {:?}", String::from_utf8_lossy(&self.read));
        }
        self.read.extend(buffer.iter().take(count));
        Ok(())
    }
}

fn lower_name(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    }
}
