//! Model servers on three HTTP parsers that agree about little: Python's, Node's in its lenient mode, and hyper's. Each
//! writes down what it believes to have received; what a right answer is, they do not know.

use crate::program::{Program, workspace_root};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::process::Command;

const ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":"#,
    r#"{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#
);

/// A request as a parser understood it; `?` as its target when it did not.
#[derive(Clone, Debug)]
pub struct Understood {
    /// What it was sent to.
    pub target: String,
    /// The head, in the parser's own form.
    pub head: String,
    /// The body.
    pub body: String,
}

enum Log {
    Program(Box<Program>),
    Memory(Arc<Mutex<Vec<Understood>>>, tokio::task::JoinHandle<()>),
}

/// A running server.
pub struct Counting {
    address: String,
    log: Log,
}

impl Counting {
    /// Python's `http.server`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn python(folder: &Path) -> Result<Self> {
        let mut command = Command::new("python3");
        command.arg(workspace_root().join("tests/e2e/python/counting_upstream.py"));
        Self::program(command, &folder.join("python.log")).await
    }

    /// Node's `http` with `insecureHTTPParser`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn node(folder: &Path) -> Result<Self> {
        let mut command = Command::new("node");
        command.arg(workspace_root().join("tests/e2e/node/counting_upstream.mjs"));
        Self::program(command, &folder.join("node.log")).await
    }

    /// hyper's server, in this process.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn hyper() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request| answer(request, Arc::clone(&log)));
                    let served =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                    if served.await.is_err_and(|error| error.is_parse()) {
                        let body = "no request".to_owned();
                        log.lock().push(Understood { target: "?".to_owned(), head: String::new(), body });
                    }
                });
            }
        });
        Ok(Self { address, log: Log::Memory(seen, serving) })
    }

    async fn program(mut command: Command, output: &Path) -> Result<Self> {
        command.env("PYTHONUNBUFFERED", "1");
        let mut program = Program::start(command, output)?;
        let port = crate::eventually(20, "the counting server listens", async || {
            program.ensure_running()?;
            Ok(program.output().lines().next().and_then(|line| line.parse::<u16>().ok()))
        })
        .await?;
        Ok(Self { address: format!("127.0.0.1:{port}"), log: Log::Program(Box::new(program)) })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything it believes to have received, in order.
    ///
    /// # Errors
    /// When its log does not read.
    pub fn seen(&self) -> Result<Vec<Understood>> {
        let text = match &self.log {
            Log::Memory(seen, _) => return Ok(seen.lock().clone()),
            Log::Program(program) => program.output(),
        };
        text.lines().skip(1).map(|line| understood(line).with_context(|| line.to_owned())).collect()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Log::Memory(_, serving) = &self.log {
            serving.abort();
        }
    }
}

fn understood(line: &str) -> Option<Understood> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Some(Understood { target: text("target")?, head: text("head")?, body: text("body")? })
}

async fn answer(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Understood>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (target, head) = (request.uri().to_string(), format!("{:?}", request.headers()));
    // A body that breaks off is not a request; a parser that takes it for one says so by what it logs.
    if let Ok(body) = request.into_body().collect().await {
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        log.lock().push(Understood { target, head, body });
    }
    let answer = Response::builder().header("content-type", "application/json").body(Full::from(ANSWER));
    Ok(answer.unwrap_or_else(|_| Response::new(Full::from(json!({}).to_string()))))
}
