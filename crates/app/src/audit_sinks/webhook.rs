//! Checkpoints as signed requests: one POST each, in order, accepted by any 2xx.
//!
//! Signed as the Standard Webhooks convention has it: `webhook-signature: v1,` and the base64 HMAC-SHA-256 of
//! `id.timestamp.body` under the shared secret; `webhook-id` names the checkpoint, so a repetition is known as one.

use super::cursor::Cursor;
use super::numbers;
use crate::https::{Failed, Https};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_control::{CheckpointSink, Sent};
use claviger_domain::audit::read_checkpoint;
use claviger_domain::limits;
use claviger_domain::secret::Secret;
use hmac::{Hmac, Mac as _};
use http::{Request, Uri, header};
use http_body_util::Full;
use sha2::Sha256;
use std::io;

/// What is read of an answer: nobody needs its body.
const ANSWER_BYTES: usize = 4096;

pub(super) struct WebhookSink {
    url: Uri,
    secret: Secret<String>,
    cursor: Cursor,
    way: Https,
}

impl WebhookSink {
    pub(super) fn new(url: Uri, secret: Secret<String>, cursor: Cursor) -> Self {
        Self { url, secret, cursor, way: Https::new() }
    }

    async fn post(&self, line: &str) -> Result<(), Failed> {
        let number = numbers(line)?;
        let id = format!("checkpoint-{number}");
        let at = read_checkpoint(line).and_then(|checkpoint| checkpoint.at()).unwrap_or_default();
        let timestamp = at.seconds().to_string();
        let request = Request::builder()
            .method("POST")
            .uri(self.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))
            .header(header::HOST, self.url.authority().map(ToString::to_string).unwrap_or_default())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-signature", signature(&self.secret, &id, &timestamp, line))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .body(Full::from(Bytes::copy_from_slice(line.as_bytes())))?;
        let (status, _) = self.way.exchange(self.url.clone(), request, ANSWER_BYTES).await?;
        if (200..300).contains(&status) {
            Ok(self.cursor.write(number)?)
        } else {
            Err(format!("it answered {status}").into())
        }
    }
}

impl CheckpointSink for WebhookSink {
    fn name(&self) -> String {
        // What stands behind the path may be a token of the receiver.
        format!(
            "{}://{}",
            self.url.scheme_str().unwrap_or_default(),
            self.url.authority().map_or("", |host| host.as_str())
        )
    }

    fn last(&self) -> io::Result<i64> {
        self.cursor.read()
    }

    fn append<'a>(&'a self, lines: &'a [String]) -> Sent<'a> {
        Box::pin(async move {
            for line in lines {
                let posted = tokio::time::timeout(limits::AUDIT_SINK_PATIENCE, self.post(line)).await;
                posted
                    .map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, "no answer"))?
                    .map_err(io::Error::other)?;
            }
            Ok(())
        })
    }

    fn lines(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn signature(secret: &Secret<String>, id: &str, timestamp: &str, body: &str) -> String {
    // Every length is a key of HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::checkpoints;
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Answers one request and gives it whole.
    async fn answer(listener: &tokio::net::TcpListener, status: &str) -> String {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut text = String::new();
        let mut piece = [0; 4096];
        loop {
            let read = stream.read(&mut piece).await.expect("read");
            text.push_str(std::str::from_utf8(&piece[..read]).expect("text"));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() == length.parse::<usize>().expect("a number") {
                break;
            }
        }
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        text
    }

    #[tokio::test]
    async fn each_checkpoint_is_signed_and_the_cursor_stands_behind_the_last_that_was_accepted() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url: Uri = format!("http://{}/in?token=t", listener.local_addr().expect("bound")).parse().expect("a URL");
        let cursor = Cursor::of(folder.path(), "hook");
        let secret = Secret::new("a secret of the receiver".to_owned());
        let sink = WebhookSink::new(url, secret.clone(), cursor.clone());
        assert!(!sink.name().contains("token"), "{}", sink.name());
        let lines = checkpoints(3);
        let receive = async { (answer(&listener, "204 No Content").await, answer(&listener, "503 Later").await) };
        let (sent, (first, _)) = tokio::join!(sink.append(&lines), receive);
        assert!(sent.expect_err("the second was refused").to_string().contains("503"));
        assert_eq!(cursor.read().expect("readable"), 1, "what was accepted is not sent again");
        let (head, body) = first.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("POST /in?token=t HTTP/1.1") && body == lines[0], "{first}");
        let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let (id, timestamp) = (line("webhook-id: "), line("webhook-timestamp: "));
        assert_eq!(id, "checkpoint-1");
        assert_eq!(line("webhook-signature: "), signature(&secret, &id, &timestamp, body));
        let other = signature(&Secret::new("another".to_owned()), &id, &timestamp, body);
        assert_ne!(line("webhook-signature: "), other);

        let receive = async { (answer(&listener, "200 OK").await, answer(&listener, "200 OK").await) };
        let (sent, (second, third)) = tokio::join!(sink.append(&lines[1..]), receive);
        sent.expect("sent");
        assert!(second.ends_with(&lines[1]) && third.ends_with(&lines[2]), "in order, and none is left out");
        assert_eq!(cursor.read().expect("readable"), 3);
    }

    /// By hand: `printf 'checkpoint-1.5.{}' | openssl dgst -sha256 -hmac key -binary | base64`.
    #[test]
    fn the_signature_is_that_of_the_convention() {
        let signed = signature(&Secret::new("key".to_owned()), "checkpoint-1", "5", "{}");
        assert_eq!(signed, "v1,v0DhpARxYTmvCaD8q7u+AZEeXIgRAUxvv0hKi2RsVRU=");
    }
}
