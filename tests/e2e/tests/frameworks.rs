//! Frameworks that speak OpenAI's dialect for their users: LangChain and Vercel's AI SDK, by base URL and key alone.

use claviger_e2e::{Result, World, node, python};
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
        "broken": [true, true],
        "refused": { "status": 401, "retryable": false },
    });
    assert_eq!(printed, expected);
    let expected = json!({ "/v1/responses": 3, "/v1/chat/completions": 5, "/v1/embeddings": 1 });
    assert_eq!(paths(&world).await?, expected, "nothing is sent twice");
    every_call_is_recorded(&world, 7).await
}
