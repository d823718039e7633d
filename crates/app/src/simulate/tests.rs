//! The standalone server over real sockets: what a client sees, and what the record says.

use super::connection::FateSlot;
use super::reply::{Reply, Ticket};
use super::*;
use claviger_wire::simulator::{SimCall, SimEndpoint, simulate};
use hyper::body::Body as _;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const CHAT: &str = "/v1/chat/completions";
const HELLO: &str = r#"{"model":"sim-echo","messages":[{"role":"user","content":"Say hello"}]}"#;

fn options() -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        shape: Shape::OpenAi,
        key_file: None,
        script: None,
        context_tokens: None,
        no_log: false,
        open_control: false,
    }
}

/// A running simulator; it stops when dropped.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Running {
    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = options();
        change(&mut options);
        let listener = listen(options.listen).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let simulator = Arc::new(simulator(&options).expect("good options"));
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the test awaits the server's end")]
        let server = tokio::spawn(async move {
            serve(listener, simulator, async move { drop(stopped.await) }).await;
        });
        Self { address, stop: Some(stop), server }
    }

    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Sends a request and leaves the answer to be read.
    async fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await.expect("it reads");
        stream
    }

    /// The whole answer, and the error that ended it.
    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (String, Option<ErrorKind>) {
        let mut stream = self.open(method, path, headers, body).await;
        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).await.err().map(|error| error.kind());
        (String::from_utf8_lossy(&answer).into_owned(), error)
    }

    async fn chat(&self, body: &str) -> (String, Option<ErrorKind>) {
        self.send("POST", CHAT, "", body).await
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let (answer, _) = self.send(method, path, "", body).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).unwrap_or_default()
    }

    async fn script(&self, rules: Value) {
        let (answer, _) = self.send("PUT", "/_sim/script", "", &rules.to_string()).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    /// The record, once the given check holds of its last request.
    async fn recorded(&self, is_there: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            let list = self.control("GET", "/_sim/requests", "").await;
            let last = list["data"].as_array().and_then(|data| data.last()).cloned().unwrap_or_default();
            if is_there(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the record never said so");
    }
}

fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The texts of the chunks of a chunked answer.
fn chunks(answer: &str) -> Vec<String> {
    let (_, mut rest) = answer.split_once("\r\n\r\n").expect("a head");
    let mut all = Vec::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        all.push(more[..size].to_owned());
        rest = &more[size + 2..];
    }
    all
}

#[tokio::test]
async fn an_answer_has_a_length_and_the_request_is_recorded() {
    let sim = Running::start().await;
    let (answer, _) = sim.send("POST", "/v1/chat/completions?a=1", "authorization: Bearer k\r\n", HELLO).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("content-length: "), "{answer}");
    let reply = body_of(&answer);
    assert_eq!((&reply["usage"]["total_tokens"], &reply["id"]), (&json!(7), &json!("chatcmpl-1")));
    let seen = sim.recorded(|last| last["ended"]["how"] == "complete").await;
    assert_eq!(
        (&seen["n"], &seen["method"], &seen["path"]),
        (&json!(1), &json!("POST"), &json!("/v1/chat/completions?a=1"))
    );
    assert_eq!(seen["body"], HELLO);
    assert!(seen["headers"].as_array().expect("headers").contains(&json!(["authorization", "Bearer k"])));
    assert_eq!(seen["ended"]["after_bytes"].as_u64(), Some(reply_length(&answer)));
    assert_eq!(sim.control("GET", "/_sim/requests?after=1", "").await["data"], json!([]));
    sim.send("DELETE", "/_sim/requests", "", "").await;
    assert_eq!(sim.control("GET", "/_sim/requests?after=0", "").await["data"], json!([]));
    assert!(sim.control("GET", "/_sim/requests?after=x", "").await["error"].is_string());
}

fn reply_length(answer: &str) -> u64 {
    answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len() as u64)
}

#[tokio::test]
async fn ids_come_from_the_request_or_are_counted() {
    let sim = Running::start().await;
    sim.chat(HELLO).await;
    let (second, _) = sim.chat(HELLO).await;
    assert_eq!(body_of(&second)["id"], "chatcmpl-2");
    let (given, _) = sim.send("POST", CHAT, "x-request-id: req_abc\r\n", HELLO).await;
    assert_eq!(body_of(&given)["id"], "chatcmpl-abc");
    assert!(given.contains("x-request-id: req_abc"));
}

#[tokio::test]
async fn every_event_of_a_stream_is_a_chunk_of_its_own() {
    let sim = Running::start().await;
    let body = HELLO.replace("\"messages\"", "\"stream\":true,\"messages\"");
    let (answer, error) = sim.chat(&body).await;
    let chunks = chunks(&answer);
    assert_eq!((chunks.len(), error), (6, None));
    assert!(chunks.iter().all(|chunk| chunk.starts_with("data: ") && chunk.ends_with("\n\n")));
    assert!(answer.ends_with("0\r\n\r\n"));
}

/// hyper flushes what it has when the body is pending, so a body that is pending behind each piece has each flushed.
#[tokio::test]
async fn a_stream_is_pending_once_behind_every_piece() {
    let simulator = Arc::new(simulator(&options()).expect("good options"));
    let body = HELLO.replace("\"messages\"", "\"stream\":true,\"messages\"");
    let call = SimCall {
        endpoint: SimEndpoint::Chat,
        body: body.as_bytes(),
        request_id: "1",
        shape: Shape::OpenAi,
        now_seconds: 0,
        standalone: None,
    };
    let mut reply = Reply::new(simulate(&call), Ticket::new(simulator), FateSlot::default());
    let mut seen = String::new();
    let mut context = Context::from_waker(Waker::noop());
    while seen.len() < 16 {
        match Pin::new(&mut reply).poll_frame(&mut context) {
            Poll::Ready(Some(_)) => seen.push('r'),
            Poll::Pending => seen.push('p'),
            Poll::Ready(None) => break,
        }
    }
    assert_eq!(seen, "rprprprprprp");
}

#[tokio::test]
async fn waits_are_waited_for() {
    let sim = Running::start().await;
    let clock = MachineClock::new();
    let body = HELLO.replace("\"messages\"", "\"stream\":true,\"sim\":{\"first_ms\":60,\"gap_ms\":40},\"messages\"");
    sim.chat(&body).await;
    let streamed = elapsed_ms(&clock);
    assert!((140..2000).contains(&streamed), "{streamed} ms");
    sim.chat(&body.replace("\"stream\":true,", "")).await;
    let whole = elapsed_ms(&clock) - streamed;
    assert!((140..2000).contains(&whole), "{whole} ms");
}

fn elapsed_ms(clock: &MachineClock) -> u64 {
    claviger_domain::time::Clock::now(clock).monotonic.0 / 1_000_000
}

#[tokio::test]
async fn other_credentials_and_paths_are_refused_in_the_shape() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    std::fs::write(&file, "one\n\ntwo\n").expect("a file");
    let sim = Running::with(|options| {
        options.key_file = Some(file);
        options.shape = Shape::Vllm;
    })
    .await;
    for (headers, status) in [("", 401), ("authorization: Bearer x\r\n", 401), ("authorization: Bearer two\r\n", 200)] {
        let (answer, _) = sim.send("POST", CHAT, headers, HELLO).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
        assert_eq!(status == 401, answer.ends_with(r#"{"error":"Unauthorized"}"#));
    }
    let (answer, _) = sim.send("GET", CHAT, "authorization: Bearer one\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.ends_with(r#"{"detail":"Not Found"}"#));
}

#[tokio::test]
async fn models_are_found_by_raw_and_by_encoded_slashes() {
    let sim = Running::start().await;
    for path in ["/v1/models/meta-llama/Llama-3.1-8B-Instruct", "/v1/models/meta-llama%2FLlama-3.1-8B-Instruct"] {
        let (answer, _) = sim.send("GET", path, "", "").await;
        assert_eq!(body_of(&answer)["id"], "meta-llama/Llama-3.1-8B-Instruct");
    }
    let (answer, _) = sim.send("GET", "/v1/models", "", "").await;
    assert_eq!(body_of(&answer)["data"][0]["id"], "sim-echo");
    assert_eq!(percent("a%2"), "a%2");
}

fn percent(text: &str) -> String {
    service::percent_decoded(text)
}

#[tokio::test]
async fn a_connection_is_cut_reset_replaced_or_refused() {
    let sim = Running::start().await;
    let mode = |mode: &str| HELLO.replace("\"messages\"", &format!("\"sim\":{{\"mode\":{mode}}},\"messages\""));
    let (answer, error) = sim.chat(&mode(r#""cut","bytes":10"#)).await;
    assert_eq!((chunks_before_cut(&answer), error), ("{\"id\":\"cha", None));
    let seen = sim.recorded(|last| last["ended"]["how"] == "cut").await;
    assert_eq!(seen["ended"]["after_bytes"], 10);
    let (answer, error) = sim.chat(&mode(r#""cut","bytes":10,"rst":true"#)).await;
    assert_eq!((chunks_before_cut(&answer), error), ("{\"id\":\"cha", Some(ErrorKind::ConnectionReset)));
    let (answer, error) = sim.chat(&mode(r#""raw","base64":"SFRUUC8xLjEgMjAwIE9LDQoNCmhp""#)).await;
    assert_eq!((answer.as_str(), error), ("HTTP/1.1 200 OK\r\n\r\nhi", None));
    let (answer, error) = sim.chat(&mode(r#""refuse""#)).await;
    assert_eq!((answer.as_str(), error), ("", Some(ErrorKind::ConnectionReset)));
}

/// The first chunk of an answer without a last one.
fn chunks_before_cut(answer: &str) -> &str {
    assert!(!answer.ends_with("0\r\n\r\n"));
    let (_, rest) =
        answer.split_once("\r\n\r\nA\r\n").unwrap_or_else(|| panic!("no first chunk of ten bytes: {answer}"));
    rest.trim_end()
}

#[tokio::test]
async fn rules_apply_in_order_and_as_often_as_they_may() {
    let sim = Running::start().await;
    sim.script(json!([
        {"match": {"model": "a", "header": {"x-test": "1"}}, "times": 1, "do": {"mode": "status", "code": 503, "headers": {"retry-after": "7"}}},
        {"match": {"path": "/v1/models"}, "do": {"mode": "redirect", "to": "http://127.0.0.1/"}}
    ]))
    .await;
    let body = HELLO.replace("sim-echo", "a");
    for (headers, status) in [("", 200), ("x-test: 1\r\n", 503), ("x-test: 1\r\n", 200)] {
        let (answer, _) = sim.send("POST", CHAT, headers, &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert_eq!(answer.contains("retry-after: 7"), status == 503);
    }
    let (answer, _) = sim.send("GET", "/v1/models", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 307") && answer.contains("location: http://127.0.0.1/"));
    assert!(
        sim.control("PUT", "/_sim/script", "[{}]").await["error"].as_str().is_some_and(|error| error.contains("do"))
    );
    sim.script(json!([])).await;
    assert!(sim.send("GET", "/v1/models", "", "").await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_peer_that_leaves_is_recorded_and_counted_out() {
    let sim = Running::start().await;
    let body = HELLO.replace("\"messages\"", "\"stream\":true,\"sim\":{\"mode\":\"stall\",\"after\":1},\"messages\"");
    let mut stream = sim.open("POST", CHAT, "", &body).await;
    let mut text = String::new();
    while !text.contains("Say ") {
        let mut piece = [0; 4096];
        let size = stream.read(&mut piece).await.expect("a piece");
        text.push_str(&String::from_utf8_lossy(&piece[..size]));
    }
    let stats = sim.control("GET", "/_sim/stats", "").await;
    assert_eq!(
        (&stats["in_flight"], &stats["connections_open"], &stats["requests"]),
        (&json!(1), &json!(2), &json!(1))
    );
    drop(stream);
    let seen = sim.recorded(|last| last["ended"]["how"] == "aborted").await;
    let sent: usize = chunks_so_far(&text);
    assert_eq!(seen["ended"]["after_bytes"].as_u64(), Some(sent as u64));
    assert_eq!(sim.control("GET", "/_sim/stats", "").await["in_flight"], 0);
}

fn chunks_so_far(text: &str) -> usize {
    text.split("\r\n").filter(|line| line.starts_with("data: ")).map(str::len).sum()
}

#[tokio::test]
async fn without_a_record_there_is_none_to_read() {
    let sim = Running::with(|options| options.no_log = true).await;
    assert!(sim.chat(HELLO).await.0.starts_with("HTTP/1.1 200"));
    assert!(
        sim.control("GET", "/_sim/requests", "").await["error"]
            .as_str()
            .is_some_and(|error| error.contains("--no-log"))
    );
    assert_eq!(sim.control("GET", "/_sim/stats", "").await["requests"], 1);
}

#[tokio::test]
async fn a_stop_lets_an_answer_end_and_does_not_wait_for_a_stalled_one() {
    let mut sim = Running::start().await;
    let stalled =
        HELLO.replace("\"messages\"", "\"stream\":true,\"sim\":{\"mode\":\"stall\",\"after\":0},\"messages\"");
    let slow = HELLO.replace("\"messages\"", "\"sim\":{\"first_ms\":300},\"messages\"");
    let _stalled = sim.open("POST", CHAT, "", &stalled).await;
    let mut ending = sim.open("POST", CHAT, "", &slow).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(sim.stop.take());
    let mut answer = String::new();
    ending.read_to_string(&mut answer).await.expect("a whole answer");
    assert_eq!(body_of(&answer)["usage"]["total_tokens"], 7);
    assert!(TcpStream::connect(sim.address).await.is_err());
    tokio::time::timeout(STOPPING * 2, sim.server).await.expect("it ends").expect("it does not panic");
}

#[tokio::test]
async fn a_stop_closes_idle_connections_at_once() {
    let mut sim = Running::start().await;
    let mut idle = TcpStream::connect(sim.address).await.expect("it listens");
    idle.write_all(b"GET /_sim/stats HTTP/1.1\r\nhost: sim\r\n\r\n").await.expect("it reads");
    let mut piece = [0; 1024];
    assert!(idle.read(&mut piece).await.expect("an answer") > 0);
    drop(sim.stop.take());
    tokio::time::timeout(STOPPING / 2, sim.server).await.expect("it ends early").expect("it does not panic");
    assert_eq!(idle.read(&mut piece).await.expect("a close"), 0);
}

#[tokio::test]
async fn options_that_cannot_be_used_are_refused_with_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("script");
    std::fs::write(&file, "[{}]").expect("a file");
    let mut options = Options { script: Some(file), ..options() };
    assert!(simulator(&options).expect_err("no script").to_string().contains("script"));
    options.script = None;
    options.key_file = Some(folder.path().join("nothing"));
    assert!(simulator(&options).expect_err("no keys").to_string().contains("nothing"));
}
