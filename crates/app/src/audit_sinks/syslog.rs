//! Checkpoints as syslog messages (RFC 5424), by UDP, TCP with octet counting (RFC 6587), or a datagram socket of this machine.
//!
//! Syslog has no acknowledgement. By TCP each batch has a connection of its own that is read to its end after ours, which is
//! as near to one as it gets. By UDP and by socket a message that the kernel took is taken for sent. Who needs to know that
//! every checkpoint arrived takes a webhook or a file.

use super::cursor::Cursor;
use super::numbers;
use claviger_control::{CheckpointSink, Sent};
use claviger_domain::audit::read_checkpoint;
use claviger_domain::limits;
use std::fmt;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

/// Facility 13 (log audit), severity 5 (notice).
const PRIORITY: u8 = 13 * 8 + 5;

/// What fits into one datagram of UDP everywhere; a longer checkpoint, of hundreds of organizations at once, needs TCP.
const UDP_BYTES: usize = 60_000;

/// How a syslog is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyslogWay {
    /// `host:port`.
    Udp(String),
    /// `host:port`.
    Tcp(String),
    /// A datagram socket, such as `/dev/log`.
    Unix(PathBuf),
}

impl SyslogWay {
    /// `syslog+udp://host:514`, `syslog+tcp://host:601`, `syslog+unix:/dev/log`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("syslog+unix:").filter(|path| path.starts_with('/')) {
            return Some(Self::Unix(PathBuf::from(path)));
        }
        let (scheme, address) = text.split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        if host.is_empty() || host.contains(['/', '@']) || port.parse::<u16>().ok()? == 0 {
            return None;
        }
        match scheme {
            "syslog+udp" => Some(Self::Udp(address.to_owned())),
            "syslog+tcp" => Some(Self::Tcp(address.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for SyslogWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "syslog+udp://{address}"),
            Self::Tcp(address) => write!(f, "syslog+tcp://{address}"),
            Self::Unix(path) => write!(f, "syslog+unix:{}", path.display()),
        }
    }
}

pub(super) struct SyslogSink {
    way: SyslogWay,
    cursor: Cursor,
}

impl SyslogSink {
    pub(super) fn new(way: SyslogWay, cursor: Cursor) -> Self {
        Self { way, cursor }
    }

    async fn send(&self, lines: &[String]) -> io::Result<()> {
        let Some(last) = lines.last() else { return Ok(()) };
        let messages = lines.iter().map(|line| message(line)).collect::<io::Result<Vec<_>>>()?;
        match &self.way {
            SyslogWay::Udp(address) => by_udp(address, &messages).await?,
            SyslogWay::Tcp(address) => by_tcp(address, &messages).await?,
            SyslogWay::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                for message in &messages {
                    socket.send_to(message.as_bytes(), path).await?;
                }
            }
        }
        self.cursor.write(numbers(last)?)
    }
}

impl CheckpointSink for SyslogSink {
    fn name(&self) -> String {
        self.way.to_string()
    }

    fn last(&self) -> io::Result<i64> {
        self.cursor.read()
    }

    fn append<'a>(&'a self, lines: &'a [String]) -> Sent<'a> {
        Box::pin(async move {
            let sent = tokio::time::timeout(limits::AUDIT_SINK_PATIENCE, self.send(lines)).await;
            sent.map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the syslog does not take it"))?
        })
    }

    fn lines(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

async fn by_udp(address: &str, messages: &[String]) -> io::Result<()> {
    if let Some(long) = messages.iter().find(|message| message.len() > UDP_BYTES) {
        let why = format!("a checkpoint of {} bytes does not fit into a datagram: use syslog+tcp", long.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let address = resolved(address).await?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    // Connected, so that "nobody listens" comes back as an error of a later datagram.
    socket.connect(address).await?;
    for message in messages {
        socket.send(message.as_bytes()).await?;
    }
    Ok(())
}

async fn by_tcp(address: &str, messages: &[String]) -> io::Result<()> {
    let mut stream = TcpStream::connect(resolved(address).await?).await?;
    for message in messages {
        stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
    }
    stream.shutdown().await?;
    // The end of its side, or a reset: only the first says that all was read.
    let mut rest = [0; 512];
    while stream.read(&mut rest).await? > 0 {}
    // Whoever closed before reading has reset what came later.
    stream.take_error()?.map_or(Ok(()), Err)
}

async fn resolved(address: &str) -> io::Result<std::net::SocketAddr> {
    let mut found = tokio::net::lookup_host(address).await?;
    found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// `<PRI>1 TIME HOST APP PROCID MSGID SD MSG`; the message is the checkpoint's line, which is ASCII.
fn message(line: &str) -> io::Result<String> {
    let number = numbers(line)?;
    let at = read_checkpoint(line).and_then(|checkpoint| checkpoint.at()).unwrap_or_default();
    Ok(format!("<{PRIORITY}>1 {} - claviger - checkpoint-{number} - {line}", at.rfc3339()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::checkpoints;
    use super::*;

    #[test]
    fn ways_to_a_syslog_are_read_and_written_alike() {
        for text in [
            "syslog+udp://10.0.0.1:514",
            "syslog+tcp://log.acme.io:601",
            "syslog+unix:/dev/log",
            "syslog+tcp://[::1]:601",
        ] {
            assert_eq!(SyslogWay::parse(text).map(|way| way.to_string()).as_deref(), Some(text));
        }
        for text in [
            "syslog+udp://host",
            "syslog+tcp://:601",
            "syslog://host:1",
            "syslog+unix:dev",
            "syslog+tcp://a/b:1",
            "syslog+udp://h:0",
        ] {
            assert_eq!(SyslogWay::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn tcp_counts_octets_and_the_cursor_stands_behind_what_was_read() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound").to_string();
        let cursor = Cursor::of(folder.path(), "x");
        let sink = SyslogSink::new(SyslogWay::Tcp(address), cursor.clone());
        let lines = checkpoints(3);
        let receive = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("read");
            text
        };
        let (sent, text) = tokio::join!(sink.append(&lines[..2]), receive);
        sent.expect("sent");
        let first = message(&lines[0]).expect("a message");
        assert!(
            first.starts_with("<109>1 1970-01-01T00:00:00") && first.contains(" - claviger - checkpoint-1 - {"),
            "{first}"
        );
        let second = message(&lines[1]).expect("a message");
        assert_eq!(text, format!("{} {first}{} {second}", first.len(), second.len()));
        assert_eq!(cursor.read().expect("readable"), 2);

        // A receiver that resets without reading has not taken it: the cursor stays.
        let reset = async {
            let (stream, _) = listener.accept().await.expect("accepted");
            stream.peek(&mut [0; 16]).await.expect("something came");
            drop(stream);
        };
        let (sent, ()) = tokio::join!(sink.append(&lines[2..]), reset);
        assert!(sent.is_err(), "unread bytes make a reset");
        assert_eq!(cursor.read().expect("readable"), 2);
        drop(listener);
        assert!(sink.append(&lines[2..]).await.is_err(), "nobody listens");
        assert_eq!(cursor.read().expect("readable"), 2);
    }

    #[tokio::test]
    async fn datagrams_go_by_udp_and_by_socket_one_a_checkpoint() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let lines = checkpoints(2);
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let path = folder.path().join("log");
        let unix = UnixDatagram::bind(&path).expect("bound");
        let mut buffer = vec![0; 65_536];
        let way = SyslogWay::Udp(udp.local_addr().expect("bound").to_string());
        SyslogSink::new(way, Cursor::of(folder.path(), "udp")).append(&lines).await.expect("sent");
        SyslogSink::new(SyslogWay::Unix(path.clone()), Cursor::of(folder.path(), "unix"))
            .append(&lines)
            .await
            .expect("sent");
        for line in &lines {
            let expected = message(line).expect("a message");
            let length = udp.recv(&mut buffer).await.expect("received");
            assert_eq!(buffer[..length], *expected.as_bytes());
            let length = unix.recv(&mut buffer).await.expect("received");
            assert_eq!(buffer[..length], *expected.as_bytes());
        }
        drop(unix);
        let gone = SyslogSink::new(SyslogWay::Unix(path), Cursor::of(folder.path(), "gone"));
        assert!(gone.append(&lines).await.is_err());
        assert_eq!(gone.last().expect("readable"), 0);
    }
}
