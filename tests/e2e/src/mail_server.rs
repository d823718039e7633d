//! A mail server of the other party: it speaks SMTP (RFC 5321) on loopback, takes every letter and keeps it.

use anyhow::Result;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A letter as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The envelope's receiver.
    pub to: String,
    /// Headers and body, quoted-printable undone.
    pub text: String,
}

/// The server; it ends with its value.
pub struct MailServer {
    /// Its port.
    pub port: u16,
    letters: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl MailServer {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let letters = Arc::new(Mutex::new(Vec::new()));
        let kept = letters.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone()));
            }
        });
        Ok(Self { port, letters, task })
    }

    /// The letters to an address, once there are as many.
    ///
    /// # Errors
    /// When they do not come within 15 s.
    pub async fn letters_to(&self, address: &str, count: usize) -> Result<Vec<Received>> {
        crate::eventually(15, &format!("{count} letters to {address}"), async || {
            let letters = self.letters.lock().await;
            let found: Vec<Received> = letters.iter().filter(|letter| letter.to == address).cloned().collect();
            Ok((found.len() >= count).then_some(found))
        })
        .await
    }

    /// The token in the newest link to an address, of at least `count` letters with links.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn token_to(&self, address: &str, count: usize) -> Result<String> {
        let text = crate::eventually(15, &format!("link {count} to {address}"), async || {
            let letters = self.letters.lock().await;
            let linked = letters.iter().filter(|letter| letter.to == address && letter.text.contains('#'));
            Ok(linked.skip(count.saturating_sub(1)).last().map(|letter| letter.text.clone()))
        })
        .await?;
        let behind = text.split('#').nth(1).unwrap_or_default();
        Ok(behind.chars().take_while(char::is_ascii_alphanumeric).collect())
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, letters: Arc<Mutex<Vec<Received>>>) -> Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 loopback ready\r\n").await?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await? {
        let upper = line.to_ascii_uppercase();
        let answer: &[u8] = if upper.starts_with("EHLO") {
            b"250-loopback\r\n250 8BITMIME\r\n"
        } else if upper.starts_with("RCPT TO:") {
            to = line[8..].trim().trim_matches(['<', '>']).to_ascii_lowercase();
            b"250 ok\r\n"
        } else if upper.starts_with("DATA") {
            writer.write_all(b"354 go on\r\n").await?;
            let mut text = String::new();
            while let Some(line) = lines.next_line().await? {
                if line == "." {
                    break;
                }
                // A soft line break of quoted-printable joins the lines.
                match line.strip_suffix('=') {
                    Some(part) => text.push_str(part),
                    None => {
                        text.push_str(&line);
                        text.push('\n');
                    }
                }
            }
            crate::evidence::note_text(text.replace("=3D", "=").as_bytes());
            letters.lock().await.push(Received { to: to.clone(), text: text.replace("=3D", "=") });
            b"250 kept\r\n"
        } else if upper.starts_with("QUIT") {
            writer.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else {
            b"250 ok\r\n"
        };
        writer.write_all(answer).await?;
    }
    Ok(())
}
