//! What comes back when an upstream fails: an honest status before the first byte, an error event behind it.

use claviger_e2e::{Plan, Result, World, node, python};
use serde_json::{Value, json};

fn body(model: &str, sim: Value) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello" }], "sim": sim })
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_before_the_first_byte_are_statuses_and_cost_nothing() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("failures").await?;
    let before = world.balance().await?;
    let cases: &[(Value, u16, &str)] = &[
        (json!({ "mode": "status", "code": 500 }), 502, "upstream_error"),
        (json!({ "mode": "status", "code": 404 }), 502, "upstream_error"),
        (json!({ "mode": "status", "code": 403 }), 502, "upstream_auth_error"),
        (json!({ "mode": "status", "code": 529 }), 503, "overloaded"),
        (json!({ "mode": "status", "code": 422 }), 400, ""),
        (json!({ "mode": "bad-json" }), 502, "upstream_error"),
        (json!({ "mode": "cut", "bytes": 20 }), 502, "upstream_error"),
        (json!({ "mode": "redirect", "to": "http://127.0.0.1:1/" }), 502, "upstream_error"),
    ];
    // What refuses the operator's configuration is left alone from then on: such a case has a model to itself.
    let models = ["glm-4.7", "u-8105f7322477/test", "meta-llama/Llama-3.1-8B-Instruct"].into_iter();
    let mut own = models.chain(std::iter::repeat("paid/echo"));
    for (sim, status, code) in cases {
        let is_misconfigured = sim["mode"] == "redirect" || matches!(sim["code"].as_u64(), Some(403 | 404));
        let model = if is_misconfigured { own.next().unwrap_or_default() } else { "paid/echo" };
        let answer = world.client.post("/v1/chat/completions", &key, &body(model, sim.clone())).await?;
        assert_eq!(answer.refusal(), (*status, (*code).to_owned()), "{sim}: {}", answer.text());
        assert!(answer.json()["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{sim}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if *code == "upstream_auth_error" || *code == "overloaded" {
            world.upstream.forget().await?;
        }
    }
    assert_eq!((world.balance().await?, world.held().await?), (before, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_behind_the_first_byte_end_the_stream_with_an_error_and_without_done() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("cuts").await?;
    for (sim, code) in [
        (json!({ "tokens": 20, "first_ms": 0, "gap_ms": 0, "mode": "truncate", "after": 5 }), "stream_truncated"),
        (json!({ "tokens": 20, "first_ms": 0, "gap_ms": 0, "mode": "error-chunk", "after": 5 }), "upstream_error"),
        (json!({ "tokens": 20, "first_ms": 0, "gap_ms": 0, "mode": "cut", "bytes": 1500 }), "stream_truncated"),
    ] {
        let mut ask = body("paid/stream", sim.clone());
        ask["stream"] = json!(true);
        let mut events = world.client.stream("/v1/chat/completions", &key, &ask).await?;
        let request = events.request_id();
        let events = events.rest().await?;
        let last: Value = serde_json::from_str(events.last().map_or("", String::as_str)).unwrap_or_default();
        assert_eq!(last["error"]["type"], "server_error", "{sim}: {events:?}");
        assert!(
            [code, "upstream_error"].contains(&last["error"]["code"].as_str().unwrap_or_default()),
            "{sim}: {last}"
        );
        assert!(!events.iter().any(|event| event == "[DONE]"), "{sim}");
        assert!(!events.iter().any(|event| event.contains("\"finish_reason\":\"error\"")), "{sim}");
        let record = world.record(&request).await?;
        assert_eq!((&record["outcome"], &record["rule"]), (&json!("upstream_cut"), &json!(12)), "{record}");
        assert_eq!(record["charge"], "0.000000000", "no running usage was reported: {record}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_raise_when_a_stream_is_cut_and_the_key_works_on() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("cuts").await?;
    let sim = r#"{"tokens":20,"first_ms":0,"gap_ms":0,"mode":"truncate","after":5}"#;
    let base = format!("{}/v1", world.url);
    for (name, script) in [
        ("openai-3", python("openai-3", "cut.py")?),
        ("openai-1", python("openai-1", "cut.py")?),
        ("node", node("cut.mjs")?),
    ] {
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base).arg("paid/stream").arg(sim);
        let printed = script.json().await?;
        assert_eq!(printed["text"], "001 002 003 004 005 ", "{name}");
        assert_eq!((&printed["raised"], &printed["code"]), (&json!("APIError"), &json!("stream_truncated")), "{name}");
        let answer = world.client.post("/v1/chat/completions", &key, &body("paid/echo", json!({}))).await?;
        assert_eq!(answer.status, 200, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_upstream_forgets_done_is_complete_and_ends_at_once() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("done").await?;
    for mode in ["crlf", "drip", "usage-twice", "no-usage"] {
        let mut ask = body("paid/stream", json!({ "tokens": 3, "first_ms": 0, "gap_ms": 0, "mode": mode }));
        ask["stream"] = json!(true);
        ask["stream_options"] = json!({ "include_usage": true });
        let events = world.client.stream("/v1/chat/completions", &key, &ask).await?.rest().await?;
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{mode}: {events:?}");
        let usages = events.iter().filter(|event| event.contains("\"usage\":{")).count();
        assert_eq!(usages, 1, "{mode}: one usage chunk, ours if theirs is missing: {events:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_is_followed_by_the_next_and_charged_once() -> Result<()> {
    let world = Plan::default().with_broken_upstream().start().await?;
    let key = world.key("retry").await?;
    let before = world.balance().await?;
    let answer = world.client.post("/v1/chat/completions", &key, &body("paid/retried", json!({}))).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(before - world.balance().await?, claviger_e2e::token_cost(4, 1_000_000_000, 3, 2_000_000_000));
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!(record["attempts"].as_array().map(Vec::len), Some(2), "{record}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_key_reaches_the_simulator_and_nothing_else() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "test", "test": true })).await?;
    let value = key["value"].as_str().unwrap_or_default();
    assert!(value.starts_with("clv_test_"), "{value}");
    let simulated = world.client.post("/v1/chat/completions", value, &body("sim-echo", json!({}))).await?;
    assert_eq!(simulated.status, 200, "{}", simulated.text());
    let usage = &simulated.json()["usage"];
    for (name, count) in [("prompt_tokens", 4), ("completion_tokens", 3), ("total_tokens", 7)] {
        assert_eq!(usage[name], count, "{usage}");
    }
    let live = world.client.post("/v1/chat/completions", value, &body("paid/echo", json!({}))).await?;
    assert_eq!(live.refusal(), (403, "model_not_allowed".to_owned()));
    assert_eq!(world.upstream.count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reply_carries_our_headers_and_none_for_browsers() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("headers").await?;
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("origin", "http://localhost:3000"),
        ("x-request-id", "mine-1"),
    ];
    for (path, ask) in [
        ("/v1/chat/completions", body("paid/echo", json!({}))),
        ("/v1/chat/completions", body("x/y", json!({}))),
        ("/v1/nowhere", body("x/y", json!({}))),
    ] {
        let answer = world.client.send("POST", path, &headers, ask.to_string().as_bytes()).await?;
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}: ours, not the caller's");
        assert_eq!(answer.header("openai-version"), "2020-10-01", "{path}");
        assert!(answer.header("openai-processing-ms").parse::<u64>().is_ok(), "{path}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "S2-7, {path}");
        let code = if answer.status == 200 { String::new() } else { answer.code() };
        assert_eq!(answer.header("x-claviger-code"), code, "{path}");
    }
    let mut ask = body("paid/stream", json!({ "tokens": 2, "first_ms": 0, "gap_ms": 0 }));
    ask["stream"] = json!(true);
    let events = world.client.stream("/v1/chat/completions", &key, &ask).await?;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
        ("openai-version", "2020-10-01"),
    ] {
        assert_eq!(events.headers.get(name).and_then(|value| value.to_str().ok()), Some(value), "{name}");
    }
    let options = world.client.send("OPTIONS", "/v1/chat/completions", &[("origin", "http://x")], b"").await?;
    assert_eq!((options.status, options.header("allow")), (204, "POST, OPTIONS"));
    Ok(())
}
