//! Nobody but the operator decides where the server connects to: three hundred inputs that name a listener of this test,
//! and redirects to it, which hears of none of them (P18). Names that resolve to inner addresses, and to others a moment
//! later, are the dialler's own tests.

#![expect(clippy::disallowed_methods, reason = "tests are drivers: they start tasks themselves")]

use claviger_e2e::{Plan, Raw, Result, World, eventually};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PROVIDERS: &str = "/v1/organization/providers";

/// Ways to write this machine.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "localhost",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::]",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
];

/// Members of a body by which other gateways choose where to go.
const MEMBERS: &[&str] = &[
    "api_base",
    "base_url",
    "endpoint",
    "host",
    "upstream",
    "provider",
    "proxy",
    "callback_url",
    "webhook_url",
    "file_url",
];

/// Headers that do.
const HEADERS: &[&str] =
    &["x-forwarded-host", "x-original-url", "x-rewrite-url", "x-api-base", "x-base-url", "x-upstream-url", "referer"];

/// Listens on every address of this machine and counts who comes.
struct Trap {
    port: u16,
    heard: Arc<AtomicUsize>,
}

impl Trap {
    async fn new() -> Result<Self> {
        let v4 = TcpListener::bind("0.0.0.0:0").await?;
        let port = v4.local_addr()?.port();
        let heard = Arc::new(AtomicUsize::new(0));
        let listeners = [Some(v4), TcpListener::bind(format!("[::1]:{port}")).await.ok()];
        for listener in listeners.into_iter().flatten() {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    heard.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Ok(Self { port, heard })
    }

    /// Nobody came; and whoever had come would have been counted.
    async fn has_heard_nobody(&self) -> Result<()> {
        drop(TcpStream::connect(("127.0.0.1", self.port)).await?);
        eventually(5, "the trap counts", async || Ok((self.heard.load(Ordering::SeqCst) > 0).then_some(()))).await?;
        assert_eq!(self.heard.load(Ordering::SeqCst), 1, "connections, the one of the test among them");
        Ok(())
    }
}

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

/// Bodies that name a place.
fn bodies(url: &str, place: &str) -> Vec<Value> {
    let mut bodies: Vec<Value> = Vec::new();
    for member in MEMBERS {
        let mut body = chat("free/echo");
        body[*member] = json!(url);
        bodies.push(body);
    }
    let mut seen = chat("free/echo");
    seen["messages"][0]["content"] =
        json!([{ "type": "text", "text": "look" }, { "type": "image_url", "image_url": { "url": url } }]);
    let mut tools = chat("free/echo");
    tools["tools"] = json!([{ "type": "mcp", "server_label": "x", "server_url": url }]);
    bodies.extend([seen, tools]);
    let models = [url.to_owned(), format!("free/echo@{place}"), format!("free/echo#@{place}/"), format!("//{place}/m")];
    bodies.extend(models.iter().map(|model| chat(model)));
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn p18_three_hundred_inputs_of_callers_open_no_connection() -> Result<()> {
    let (world, trap) = (World::usual().await?, Trap::new().await?);
    let key = world.key("caller").await?;
    let registry = json!({ "name": "Own", "slug": "own" });
    let registry = world.client.post("/v1/organization/registries", &world.admin_key, &registry).await?.json();
    let bearer = format!("Bearer {key}");
    let mut inputs = 0;
    for host in HOSTS {
        let place = format!("{host}:{}", trap.port);
        let url = format!("http://{place}/v1");
        for body in bodies(&url, &place) {
            inputs += 1;
            let answer = world.client.post("/v1/chat/completions", &key, &body).await?;
            assert!(matches!(answer.status, 200 | 400 | 404), "{body}: {} {}", answer.status, answer.text());
        }
        let body = chat("free/echo").to_string();
        for name in HEADERS {
            inputs += 1;
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), (*name, &url)];
            world.client.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await?;
        }
        for path in ["?api_base=", "?url=", "@", "/"] {
            inputs += 1;
            let path = format!("/v1/chat/completions{path}{}", url.replace(['[', ']'], ""));
            world.client.send("POST", &path, &[("authorization", &bearer)], body.as_bytes()).await?;
        }
        for (target, named) in
            [(format!("{url}/chat/completions"), world.address()), ("/v1/models".to_owned(), place.as_str())]
        {
            inputs += 1;
            let mut connection = Raw::connect(world.address()).await?;
            let head = format!("GET {target} HTTP/1.1\r\nHost: {named}\r\nAuthorization: {bearer}\r\n\r\n");
            connection.send(head).await?;
            connection.head().await?;
        }
        for scheme in ["http", "https"] {
            inputs += 1;
            let body = json!({
                "name": format!("{scheme} {place}"), "registry_id": registry["id"], "dialect": "openai",
                "base_url": format!("{scheme}://{place}"), "models": [format!("m{inputs}")],
                "credential": "sk-anything-0123456789",
            });
            let made = world.client.post(PROVIDERS, &world.admin_key, &body).await?;
            if made.status == 200 {
                // A name is judged when it is dialled.
                assert_eq!((*host, scheme), ("localhost", "https"), "{}", made.text());
                let path = format!("{PROVIDERS}/{}/test", made.json()["id"].as_str().unwrap_or_default());
                assert_eq!(world.client.post(&path, &world.admin_key, &json!({})).await?.json()["ok"], false);
                let answer = world.client.post("/v1/chat/completions", &key, &chat(&format!("own/m{inputs}"))).await?;
                assert_eq!(answer.refusal(), (503, "service_unavailable".to_owned()), "{}", answer.text());
            } else {
                assert_eq!(made.refusal(), (400, "invalid_value".to_owned()), "{}", made.text());
                assert_eq!(made.json()["error"]["param"], "base_url", "{}", made.text());
            }
        }
    }
    assert!(inputs >= 300, "{inputs} inputs");
    trap.has_heard_nobody().await
}

/// A model server that sends everybody elsewhere, with the status that the path begins with.
async fn mover(to: u16) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = vec![0; 4096];
                let count = stream.read(&mut read).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&read[..count]).into_owned();
                let status = head.split('/').nth(1).and_then(|text| text.split('/').next()).unwrap_or("302").to_owned();
                let reply = format!(
                    "HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:{to}/v1/chat/completions\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    Ok(url)
}

#[tokio::test(flavor = "multi_thread")]
async fn p18_redirects_of_an_upstream_are_followed_by_nobody() -> Result<()> {
    // Where they lead would be within reach.
    let world = Plan::default().more("[providers]\nallow_private = [\"127.0.0.0/8\"]\n").start().await?;
    let trap = Trap::new().await?;
    let (key, mover) = (world.key("caller").await?, mover(trap.port).await?);
    let registry = json!({ "name": "Own", "slug": "own" });
    let registry = world.client.post("/v1/organization/registries", &world.admin_key, &registry).await?.json();
    for status in [300, 301, 302, 303, 307, 308] {
        let model = format!("m{status}");
        let body = json!({
            "name": model, "registry_id": registry["id"], "dialect": "openai", "base_url": format!("{mover}/{status}"),
            "models": [model], "credential": "sk-anything-0123456789",
        });
        let made = world.client.post(PROVIDERS, &world.admin_key, &body).await?;
        assert_eq!(made.status, 200, "{}", made.text());
        let path = format!("{PROVIDERS}/{}/test", made.json()["id"].as_str().unwrap_or_default());
        let tested = world.client.post(&path, &world.admin_key, &json!({})).await?.json();
        assert_eq!((&tested["ok"], &tested["status"]), (&json!(false), &json!(status)), "{tested}");
        for is_stream in [false, true] {
            let mut body = chat(&format!("own/{model}"));
            body["stream"] = json!(is_stream);
            let answer = world.client.post("/v1/chat/completions", &key, &body).await?;
            // What sends us elsewhere is left alone for a minute.
            let expected = if is_stream { (503, "service_unavailable") } else { (502, "upstream_error") };
            assert_eq!(answer.refusal(), (expected.0, expected.1.to_owned()), "{status}: {}", answer.text());
            assert!(answer.header("location").is_empty() && !answer.text().contains(&trap.port.to_string()));
        }
    }
    trap.has_heard_nobody().await
}
