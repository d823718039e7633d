//! What arrives at a model server: our own credential and the body, never anything the caller was trusted with.

use claviger_e2e::{Plan, Result, Seen, World};
use serde_json::json;

/// Header fields that may arrive there, and no other.
const ALLOWED: &[&str] = &[
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "authorization",
    "x-request-id",
    "openai-beta",
];

/// What a caller may send along; each value is unlike any other, so that it is found wherever it leaks.
const SENT_ALONG: &[(&str, &str)] = &[
    ("cookie", "session=leak-cookie-1"),
    ("api-key", "leak-api-key-2"),
    ("x-goog-api-key", "leak-goog-3"),
    ("openai-organization", "leak-org-4"),
    ("openai-project", "leak-project-5"),
    ("forwarded", "for=leak-forwarded-6"),
    ("x-forwarded-for", "leak-xff-7"),
    ("x-forwarded-host", "leak-xfh-8"),
    ("x-real-ip", "leak-real-9"),
    ("x-stainless-lang", "leak-stainless-10"),
    ("x-codex-turn", "leak-codex-11"),
    ("x-claude-code-session", "leak-claude-12"),
    ("x-session-id", "leak-session-13"),
    ("x-fern-sdk", "leak-fern-14"),
    ("user-agent", "leak-agent-16"),
    ("referer", "http://leak-referer-17/"),
    ("origin", "http://leak-origin-18"),
    ("x-custom", "leak-custom-19"),
    ("proxy-authorization", "leak-proxy-20"),
    ("x-request-id", "leak-request-id-21"),
    ("accept", "application/leak-accept-22"),
    ("te", "trailers"),
    ("accept-encoding", "gzip, br"),
    ("traceparent", "00-leak-trace-23"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_inbound_credential_cookie_or_query_ever_arrives_upstream() -> Result<()> {
    for dialect in ["openai", "vllm"] {
        let world = Plan::default().dialect(dialect).start().await?;
        let key = world.key("caller").await?;
        for (credential, value) in [("authorization", format!("Bearer {key}")), ("x-api-key", key.clone())] {
            for is_streamed in [false, true] {
                let mut headers: Vec<(&str, &str)> = SENT_ALONG.to_vec();
                // Each request names itself: under one name the second would be refused for its other body.
                let name = format!("leak-idempotency-15-{credential}-{is_streamed}");
                headers.extend([
                    ("idempotency-key", name.as_str()),
                    (credential, value.as_str()),
                    ("content-type", "application/json"),
                    ("openai-beta", "x=v1"),
                ]);
                let body = json!({ "model": "paid/echo", "stream": is_streamed, "messages": [{ "role": "user", "content": "Say hello" }] });
                let path = "/api/v1/chat/completions?beta=leak-query-24&stage=leak-query-25";
                let answer = world.client.send("POST", path, &headers, body.to_string().as_bytes()).await?;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
        let both = format!("Bearer {}", world.key("second").await?);
        let headers = [("x-api-key", key.as_str()), ("authorization", &both), ("content-type", "application/json")];
        let body =
            json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }] }).to_string();
        assert_eq!(world.client.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await?.status, 200);

        let secret = key.rsplit('_').next().unwrap_or_default();
        let seen = world.upstream.seen().await?;
        assert_eq!(seen.len(), 5);
        for request in &seen {
            judge(request, secret);
        }
    }
    Ok(())
}

fn judge(request: &Seen, secret: &str) {
    let whole = request.0.to_string();
    assert_eq!(request.path(), "/v1/chat/completions");
    assert!(!whole.contains(secret), "the caller's key arrived: {whole}");
    assert!(!whole.contains("leak-"), "something of the caller's head arrived: {whole}");
    for (name, value) in request.headers() {
        assert!(ALLOWED.contains(&name.as_str()), "{name}: {value} arrived");
    }
    assert_eq!(request.header("authorization"), "Bearer sk-upstream-7f3a9c51e0b24d68a1");
    assert_eq!(request.header("accept-encoding"), "identity");
    assert!(request.header("x-request-id").starts_with("req_"), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_credential_and_headers_never_reach_a_client() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("caller").await?;
    for place in ["content", "error"] {
        let body = json!({
            "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }],
            "sim": { "mode": "echo-headers", "where": place },
        });
        let answer = world.client.post("/v1/chat/completions", &key, &body).await?;
        let whole = format!("{:?}{}", answer.headers, answer.text());
        assert!(!whole.contains("sk-upstream-7f3a9c51e0b24d68a1") || place == "content", "{whole}");
    }
    let body = json!({
        "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }],
        "sim": { "mode": "status", "code": 400, "headers": { "set-cookie": "a=b", "server": "uvicorn", "via": "x",
            "x-ratelimit-limit-requests": "1", "retry-after": "900", "x-request-id": "theirs", "openai-organization": "o" },
            "body": { "error": { "message": "your key sk-upstream-7f3a9c51e0b24d68a1 is fine", "type": "t", "code": null } } },
    });
    let answer = world.client.post("/v1/chat/completions", &key, &body).await?;
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains("sk-upstream-7f3a9c51e0b24d68a1"), "{}", answer.text());
    for name in ["set-cookie", "server", "via", "x-ratelimit-limit-requests", "retry-after", "openai-organization"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
    assert!(answer.header("x-request-id").starts_with("req_"));
    let refused = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "x" }], "sim": { "mode": "status", "code": 401 } });
    let answer = world.client.post("/v1/chat/completions", &key, &refused).await?;
    assert_eq!(answer.refusal(), (502, "upstream_auth_error".to_owned()));
    assert_eq!(answer.header("x-should-retry"), "false");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_asked_for_upstream_and_stripped_downstream() -> Result<()> {
    for (dialect, running) in [("openai", false), ("vllm", true), ("sglang", true)] {
        let world = Plan::default().dialect(dialect).start().await?;
        let key = world.key("usage").await?;
        for options in [json!(null), json!({ "include_usage": false }), json!({ "include_usage": true })] {
            let wants = options["include_usage"] == json!(true);
            let body = json!({
                "model": "paid/stream", "stream": true, "stream_options": options,
                "messages": [{ "role": "user", "content": "Say hello" }], "sim": { "tokens": 5, "first_ms": 0, "gap_ms": 0 },
            });
            let events = world.client.stream("/v1/chat/completions", &key, &body).await?.rest().await?;
            let usages = events.iter().filter(|event| event.contains("\"usage\":{")).count();
            assert_eq!(usages, usize::from(wants), "{dialect}, {options}: {events:?}");
            assert!(wants || events.iter().all(|event| !event.contains("usage")), "{dialect}: {events:?}");
            let sent = world.upstream.seen().await?.pop().map(|seen| seen.json()).unwrap_or_default();
            assert_eq!(sent["stream_options"]["include_usage"], true, "{sent}");
            assert_eq!(sent["stream_options"]["continuous_usage_stats"] == json!(true), running, "{dialect}: {sent}");
        }
    }
    Ok(())
}
