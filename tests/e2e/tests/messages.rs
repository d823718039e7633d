//! Anthropic's dialect by its official SDKs: what their answers and exceptions look like, what the upstream is sent,
//! and what it costs.

use claviger_e2e::{Plan, Result, Script, Tap, World, node, python, token_cost};
use serde_json::{Value, json};

const MODEL: &str = "paid/claude";

/// Every client, with the variable it reads the key from.
fn clients(script: &str) -> Result<Vec<(Script, &'static str)>> {
    Ok(vec![
        (python("anthropic-2", &format!("{script}.py"))?, "ANTHROPIC_API_KEY"),
        (python("anthropic-0", &format!("{script}.py"))?, "ANTHROPIC_AUTH_TOKEN"),
        (node(&format!("{script}.mjs"))?, "ANTHROPIC_API_KEY"),
    ])
}

async fn world() -> Result<World> {
    Plan::default().dialect("anthropic").start().await
}

fn cost(input: u64, output: u64) -> i64 {
    token_cost(input, 1_000_000_000, output, 2_000_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_get_messages_streams_tools_and_counts_and_pay_for_what_is_made() -> Result<()> {
    let world = world().await?;
    let key = world.key("messages").await?;
    for (script, variable) in clients("messages")? {
        let before = world.balance().await?;
        world.upstream.forget().await?;
        let printed = script.env("ANTHROPIC_BASE_URL", &world.url).env(variable, &key).arg(MODEL).json().await?;
        let expected = json!({
            "whole": "Say hello",
            "usage": [4, 3],
            "model": MODEL,
            "stream": { "text": "Say hello", "tokens": 3 },
            "count": 4,
            "tool": ["weather", { "city": "sim" }, "tool_use"],
        });
        assert_eq!(printed, expected, "{variable}");
        // The tool's description is 8 tokens, its name 2, its arguments 4.
        let charged = cost(4, 3) * 2 + cost(12, 6);
        assert_eq!(before - world.balance().await?, charged, "the count is free");
        for seen in world.upstream.seen().await? {
            assert!(!seen.header("x-api-key").contains(&key) && !seen.header("x-api-key").is_empty());
            assert_eq!(seen.header("authorization"), "", "{}", seen.path());
            let version = seen.header("anthropic-version");
            assert!(["2023-06-01", "2026-10-21"].contains(&version.as_str()), "the client's own: {version}");
            assert!(seen.headers().iter().all(|(name, _)| !name.starts_with("x-stainless")), "{}", seen.path());
            assert!(!seen.json()["model"].as_str().unwrap_or_default().contains('/'), "the upstream's name");
        }
        let paths: Vec<String> = world.upstream.seen().await?.iter().map(|seen| seen.path().to_owned()).collect();
        let counts = paths.iter().filter(|path| path.starts_with("/v1/messages/count_tokens")).count();
        let messages = paths.iter().filter(|path| *path == "/v1/messages").count();
        assert_eq!((messages, counts), (3, 1), "{paths:?}");
    }
    let records = world.records(12).await?;
    assert!(records.iter().all(|record| record["endpoint"] == "messages" && record["outcome"] == "complete"));
    assert_eq!(records.iter().filter(|record| record["usage_source"] == "upstream_final").count(), 9, "{records:?}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_raise_what_the_status_says_after_one_request() -> Result<()> {
    let world = Plan::default().dialect("anthropic").credit("0.000001").start().await?;
    let key = world.key("refused").await?;
    let revoked = world.create_key(&json!({ "name": "old" })).await?;
    world.revoke(revoked["id"].as_str().unwrap_or_default()).await?;
    let cases = [
        (key.as_str(), MODEL, "", 402, "billing_error"),
        (revoked["value"].as_str().unwrap_or_default(), MODEL, "AuthenticationError", 401, "authentication_error"),
        (key.as_str(), "no/such", "NotFoundError", 404, "not_found_error"),
        (key.as_str(), "free/echo", "BadRequestError", 400, "invalid_request_error"),
    ];
    for (key, model, class, status, kind) in cases {
        for (script, variable) in clients("messages")? {
            let tap = Tap::to(world.address()).await?;
            let script = script.env("ANTHROPIC_BASE_URL", tap.url()).env(variable, key);
            let printed = script.arg(model).arg("{}").json().await?;
            assert_eq!((&printed["status"], &printed["type"]), (&json!(status), &json!(kind)), "{printed}");
            // SDKs differ in whether they have a class of their own for 402.
            let name = printed["class"].as_str().unwrap_or_default();
            assert!(name == class || (status == 402 && name.ends_with("Error")), "{model}: {printed}");
            assert!(printed["id"].as_str().is_some_and(|id| id.starts_with("req_")), "{printed}");
            assert_eq!(tap.requests(), 1, "{model}: {printed}");
        }
    }
    assert_eq!(world.upstream.count().await?, 0, "no call was made");
    let records = world.records(100).await?;
    let paid: Vec<_> = records.iter().filter(|record| record["error_code"] == "insufficient_quota").collect();
    assert!(!paid.is_empty() && paid.iter().all(|record| record["status"] == 402), "as it was told: {paid:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_an_exception_and_the_next_request_is_fine() -> Result<()> {
    let world = world().await?;
    let key = world.key("broken").await?;
    for mode in ["error-chunk", "truncate"] {
        for (script, variable) in clients("messages")? {
            let script = script.env("ANTHROPIC_BASE_URL", &world.url).env(variable, &key);
            let sim = json!({ "mode": mode, "after": 2 }).to_string();
            let printed = script.arg(MODEL).arg(&sim).json().await?;
            assert!(printed["class"].as_str().is_some_and(|class| class.contains("Error")), "{mode}: {printed}");
            let record = world.records(1).await?.remove(0);
            assert_eq!(record["outcome"], "upstream_cut", "{mode}: {record}");
            assert_eq!(record["error_code"], if mode == "truncate" { "stream_truncated" } else { "upstream_error" });
        }
    }
    let body = json!({ "model": MODEL, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    let answer = world.client.post("/v1/messages", &key, &body).await?;
    assert_eq!((answer.status, answer.header("request-id").starts_with("req_")), (200, true));
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_served_at_every_alias_and_their_errors_are_anthropics_everywhere() -> Result<()> {
    let world = world().await?;
    let key = world.key("aliases").await?;
    let body = json!({ "model": MODEL, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    for base in ["/v1/", "/", "/api/", "/api/v1/", "/openai/v1/", "/v1/v1/"] {
        for (path, member) in [("messages", "content"), ("messages/count_tokens", "input_tokens")] {
            let answer = world.client.post(&format!("{base}{path}?beta=true"), &key, &body).await?;
            assert_eq!(answer.status, 200, "{base}{path}: {}", answer.text());
            assert!(!answer.json()[member].is_null(), "{base}{path}: {}", answer.text());
        }
        let refused = world.client.send("POST", &format!("{base}messages"), &[], b"").await?;
        let error = refused.json();
        assert_eq!((refused.status, &error["error"]["type"]), (401, &json!("authentication_error")), "{error}");
        assert_eq!((&error["type"], &error["request_id"]), (&json!("error"), &json!(refused.header("request-id"))));
    }
    let seen = world.upstream.seen().await?;
    assert!(seen.iter().all(|seen| seen.path().ends_with("?beta=true")), "the beta is passed on");
    let wrong = world.client.send("GET", "/v1/messages", &[], b"").await?;
    assert_eq!((wrong.status, &wrong.json()["type"]), (405, &json!("error")));
    let no_path = world.client.send("GET", "/v1/message", &[], b"").await?;
    assert_eq!((no_path.status, no_path.code()), (404, "unknown_url".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_message_pays_for_what_came() -> Result<()> {
    let world = world().await?;
    let key = world.key("leaves").await?;
    let sim = json!({ "tokens": 4000, "first_ms": 0, "gap_ms": 5, "mode": "no-usage" });
    let body = json!({ "model": "paid/claude-stream", "max_tokens": 5000, "stream": true, "sim": sim,
        "messages": [{ "role": "user", "content": "Say hello" }] });
    let mut stream = world.client.stream("/v1/messages", &key, &body).await?;
    let mut deltas = 0_u64;
    while deltas < 20 {
        let event: Value = serde_json::from_str(&stream.next().await?.unwrap_or_default())?;
        deltas += u64::from(event["type"] == "content_block_delta");
    }
    let id = stream.request_id();
    drop(stream);
    let record = world.record(&id).await?;
    assert_eq!(
        (&record["outcome"], &record["usage_source"]),
        (&json!("client_closed"), &json!("estimated")),
        "{record}"
    );
    let output = record["meters"]["output_token"].as_u64().unwrap_or_default();
    assert!((deltas..4000).contains(&output), "{record}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}
