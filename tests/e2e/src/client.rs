//! A plain HTTP client with kept-alive connections, for everything that is not about framing.

use crate::evidence;
use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Talks to one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header's text; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `error.code` of the body.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code, for one comparison.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let inner = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { base: base.to_owned(), inner }
    }

    /// Where it talks to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let response = self.inner.request(self.request(method, path, headers, body)?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if let Some(set) = head.headers.get("set-cookie").and_then(|value| value.to_str().ok()) {
            evidence::note_cookie(set);
        }
        evidence::note_text(&body);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// GET with a key.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn get(&self, path: &str, key: &str) -> Result<Answer> {
        self.send("GET", path, &[("authorization", &format!("Bearer {key}"))], b"").await
    }

    /// POST of JSON with a key.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Answer> {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send("POST", path, &headers, body.to_string().as_bytes()).await
    }

    /// DELETE with a key.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn delete(&self, path: &str, key: &str) -> Result<Answer> {
        self.send("DELETE", path, &[("authorization", &format!("Bearer {key}"))], b"").await
    }

    /// POST of JSON with a key, giving the answer's events as they come.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn stream(&self, path: &str, key: &str, body: &Value) -> Result<Events> {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let response = self.inner.request(self.request("POST", path, &headers, body.to_string().as_bytes())?).await?;
        let (head, body) = response.into_parts();
        Ok(Events { status: head.status.as_u16(), headers: head.headers, body, read: BytesMut::new(), is_ended: false })
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Request<Full<Bytes>>> {
        let mut request =
            Request::builder().method(Method::from_bytes(method.as_bytes())?).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            evidence::note_text(value.as_bytes());
            request = request.header(*name, *value);
        }
        evidence::note_body(body);
        request.body(Full::new(Bytes::copy_from_slice(body))).context("the request is malformed")
    }
}

/// A streamed answer.
pub struct Events {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    read: BytesMut,
    is_ended: bool,
}

impl Events {
    /// The data of the next event; `None` when the body has ended in good order. Comments are passed over.
    ///
    /// # Errors
    /// When the body is cut.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.read.split_to(end + 2);
                let text = String::from_utf8(event.to_vec())?;
                if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Ok(Some(data.to_owned()));
                }
                continue;
            }
            if self.is_ended {
                return Ok(None);
            }
            match self.body.frame().await {
                None => self.is_ended = true,
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// Every event to the end of the body.
    ///
    /// # Errors
    /// When the body is cut.
    pub async fn rest(&mut self) -> Result<Vec<String>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }

    /// Our id of this request.
    pub fn request_id(&self) -> String {
        self.headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }
}
