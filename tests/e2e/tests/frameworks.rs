//! Libraries that speak OpenAI's dialect for their users: LangChain, Vercel's AI SDK, LiteLLM and Rust's async-openai, by
//! base URL and key alone.

use claviger_e2e::{Plan, Result, Seen, Tap, World, node, python, rust_client};
use serde_json::{Value, json};

async fn revoked(world: &World) -> Result<String> {
    let key = world.create_key(&json!({ "name": "old" })).await?;
    world.revoke(key["id"].as_str().unwrap_or_default()).await?;
    Ok(key["value"].as_str().unwrap_or_default().to_owned())
}

/// How often each path was asked for, what was refused not among them.
async fn paths(world: &World) -> Result<Value> {
    let mut counts = serde_json::Map::new();
    for seen in world.upstream.seen().await? {
        let count = counts.entry(seen.path().to_owned()).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap_or_default() + 1);
    }
    Ok(Value::Object(counts))
}

async fn every_call_is_recorded(world: &World, complete: usize) -> Result<()> {
    let records = world.records(50).await?;
    let done = records.iter().filter(|record| record["outcome"] == "complete");
    assert_eq!(done.filter(|record| record["usage_source"] == "upstream_final").count(), complete, "{records:#?}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_invokes_streams_structures_and_embeds() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("langchain").await?;
    let script = python("langchain", "langchain_calls.py")?.env("OPENAI_API_KEY", &key);
    let script = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).env("REVOKED", &revoked(&world).await?);
    let expected = json!({
        "whole": "Say hello",
        "tokens": 7,
        "stream": "Say hello",
        "structured": { "name": "sim", "inhabitants": 1 },
        "vectors": [64, 64],
        "refused": "key_revoked",
    });
    assert_eq!(script.json().await?, expected);
    assert_eq!(paths(&world).await?, json!({ "/v1/chat/completions": 3, "/v1/embeddings": 1 }));
    every_call_is_recorded(&world, 4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ai_sdk_asks_for_responses_chat_and_vectors_and_sees_a_break() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("ai").await?;
    let script = node("ai.mjs")?.env("OPENAI_API_KEY", &key).env("REVOKED", &revoked(&world).await?);
    let printed = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).json().await?;
    let asked = json!({ "whole": "Say hello", "tokens": 7, "stream": "Say hello", "streamed": 7 });
    let expected = json!({
        "responses": asked,
        "chat": asked,
        "compatible": asked,
        "vectors": [64, 64],
        "picture": "PNG",
        "sound": 8044,
        "heard": true,
        "broken": [true, true],
        "refused": { "status": 401, "retryable": false },
    });
    assert_eq!(printed, expected);
    let expected = json!({
        "/v1/responses": 3, "/v1/chat/completions": 5, "/v1/embeddings": 1,
        "/v1/images/generations": 1, "/v1/audio/speech": 1, "/v1/audio/transcriptions": 1,
    });
    assert_eq!(paths(&world).await?, expected, "nothing is sent twice");
    every_call_is_recorded(&world, 9).await
}

#[tokio::test(flavor = "multi_thread")]
async fn litellm_calls_four_endpoints_and_raises_what_each_refusal_means() -> Result<()> {
    let world = World::usual().await?;
    let (key, before) = (world.key("litellm").await?, world.balance().await?);
    let script = python("litellm", "litellm_calls.py")?.env("OPENAI_API_KEY", &key);
    let script = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).env("REVOKED", &revoked(&world).await?);
    let expected = json!({
        "whole": ["Say hello", 7, "paid/echo"],
        "stream": ["Say hello", 7],
        "vectors": [64, 64],
        "sound": 8044,
        "revoked": ["AuthenticationError", 401],
        "unknown": ["NotFoundError", 404],
        "too_long": ["ContextWindowExceededError", 400],
        "failed": ["BadGatewayError", 502],
    });
    assert_eq!(script.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").json().await?, expected);
    // What failed it tries again by itself; what was refused or answered it does not.
    let failing = |seen: &Seen| seen.json()["sim"]["code"] == 500;
    let seen = world.upstream.seen().await?;
    let once = seen.iter().filter(|seen| !failing(seen)).count();
    assert_eq!((once, seen.iter().any(failing)), (5, true), "{seen:#?}");
    // Two messages of 4 and 3 tokens, vectors of 4, ten characters.
    assert_eq!(before - world.balance().await?, 2 * 10_000 + 4_000 + 150_000);
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await?;

    let poor = Plan::default().credit("0.0000001").start().await?;
    let (key, tap) = (poor.key("litellm").await?, Tap::to(poor.address()).await?);
    let script = python("litellm", "litellm_calls.py")?.env("OPENAI_API_KEY", &key).arg("refused");
    let script = script.env("OPENAI_API_BASE", &format!("{}/v1", tap.url()));
    let raised = script.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").json().await?;
    assert_eq!((raised, tap.requests()), (json!(["RateLimitError", 429]), 1));
    assert_eq!(poor.upstream.count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_reads_models_chunks_finish_reasons_and_refusals() -> Result<()> {
    let world = World::usual().await?;
    let (key, base) = (world.key("rust").await?, format!("{}/v1", world.url));
    let printed = rust_client()?.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base).json().await?;
    let broken = printed["broken"].clone();
    let mut rest = printed;
    rest["broken"] = json!(null);
    let expected = json!({
        "models": true,
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "whole": { "text": "Say hello", "calls": [], "end": "stop", "tokens": 7 },
        "short": { "text": "Say ", "calls": [], "end": "length", "tokens": 5 },
        "tool": { "text": null, "calls": [["weather", "{\"city\":\"sim\"}"]], "end": "tool_calls", "tokens": 18 },
        "stream": { "text": "Say hello", "end": "stop", "usages": 0, "fault": null },
        "stream_with_usage": { "text": "Say hello", "end": "stop", "usages": 1, "fault": null },
        "broken": null,
        "vectors": [64, 64],
        "response": "Say hello",
        "unknown": { "status": 404, "type": "invalid_request_error", "code": "model_not_found" },
    });
    assert_eq!(rest, expected);
    assert!(broken["text"] == "001 002 003 004 005 " && broken["end"].is_null(), "{broken}");
    assert!(broken["fault"].as_str().is_some_and(|fault| fault.contains("upstream_error")), "{broken}");
    every_call_is_recorded(&world, 7).await?;

    let poor = Plan::default().credit("0.0000001").start().await?;
    for (key, status, code) in
        [(poor.key("rust").await?, 429, "insufficient_quota"), (revoked(&poor).await?, 401, "key_revoked")]
    {
        let tap = Tap::to(poor.address()).await?;
        let script = rust_client()?.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &format!("{}/v1", tap.url()));
        let raised = script.arg("refused").json().await?;
        assert_eq!((&raised["status"], &raised["code"]), (&json!(status), &json!(code)), "{raised}");
        assert_eq!(tap.requests(), 1, "{raised}");
    }
    assert_eq!(poor.upstream.count().await?, 0);
    Ok(())
}
