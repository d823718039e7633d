//! Responses by OpenAI's official SDKs: what their answers look like, what the upstream is sent, and what it costs.

use claviger_e2e::{Result, Script, World, node, python, token_cost};
use serde_json::{Value, json};

const MODEL: &str = "paid/gpt";

fn clients() -> Result<[Script; 3]> {
    Ok([python("openai-2", "responses.py")?, python("openai-3", "responses.py")?, node("responses.mjs")?])
}

fn cost(input: u64, output: u64) -> i64 {
    token_cost(input, 1_000_000_000, output, 2_000_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_get_responses_streams_and_tools_and_pay_for_what_is_made() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("responses").await?;
    let base = format!("{}/v1", world.url);
    for script in clients()? {
        let before = world.balance().await?;
        world.upstream.forget().await?;
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
        let printed = script.arg(MODEL).json().await?;
        let expected = json!({
            "whole": "Say hello",
            "usage": [8, 3],
            "model": MODEL,
            "stream": { "text": "Say hello", "last": "response.completed", "error": null, "tokens": 7 },
            "tool": ["weather", { "city": "sim" }],
            "previous": { "class": "NotFoundError", "code": "not_found" },
        });
        assert_eq!(printed, expected);
        // 4 for the instructions and their end, 4 for the input; a tool is 8, its call 2 and 4.
        assert_eq!(before - world.balance().await?, cost(8, 3) + cost(4, 3) + cost(12, 6));
        let seen = world.upstream.seen().await?;
        assert_eq!(seen.len(), 3, "an id that is not known is not asked for");
        for seen in &seen {
            assert_eq!(seen.path(), "/v1/responses");
            assert!(
                seen.header("authorization").starts_with("Bearer ") && !seen.header("authorization").contains(&key)
            );
        }
        let bodies: Vec<Value> = seen.iter().map(|seen| seen.json()).collect();
        let streamed = bodies.iter().find(|body| body["stream"] == true);
        assert!(streamed.is_some_and(|body| body.get("stream_options").is_none()), "{bodies:?}");
        let tools: Vec<usize> = bodies.iter().filter_map(|body| Some(body["tools"].as_array()?.len())).collect();
        assert_eq!(tools, [1], "web_search is taken out");
    }
    let records = world.records(12).await?;
    let complete = records.iter().filter(|record| record["outcome"] == "complete");
    assert_eq!(complete.filter(|record| record["usage_source"] == "upstream_final").count(), 9, "{records:?}");
    assert!(records.iter().all(|record| record["endpoint"] == "responses"));
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_ends_as_failed_and_one_at_its_hold_as_incomplete() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("broken").await?;
    let base = format!("{}/v1", world.url);
    for (mode, code) in [("error-chunk", "upstream_error"), ("truncate", "stream_truncated")] {
        for script in clients()? {
            let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
            let printed = script.arg(MODEL).arg(&json!({ "mode": mode, "after": 2 }).to_string()).json().await?;
            assert_eq!((&printed["last"], &printed["error"]), (&json!("response.failed"), &json!("server_error")));
            let record = world.records(1).await?.remove(0);
            assert_eq!((&record["outcome"], &record["error_code"]), (&json!("upstream_cut"), &json!(code)), "{record}");
        }
    }
    // An upstream that makes more than it was told to is cut where the hold ends.
    let sim = json!({ "mode": "usage-absurd", "tokens": 9 });
    let absurd = json!({ "model": MODEL, "input": "Say hello", "max_output_tokens": 9, "sim": sim });
    let answer = world.client.post("/v1/responses", &key, &absurd).await?;
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!((&record["usage_source"], &record["usage_anomaly"]), (&json!("estimated"), &json!(true)), "{record}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_served_at_every_alias_and_by_the_simulator_for_test_keys() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("aliases").await?;
    for base in ["/v1/", "/", "/api/", "/api/v1/", "/openai/v1/"] {
        let body = json!({ "model": MODEL, "input": "hi" });
        let answer = world.client.post(&format!("{base}responses"), &key, &body).await?;
        assert_eq!((answer.status, &answer.json()["object"]), (200, &json!("response")), "{base}: {}", answer.text());
    }
    for (members, code) in [
        (json!({ "input": "hi", "conversation": "conv_1" }), "not_found"),
        (json!({ "input": "hi", "background": true }), "unsupported_parameter"),
        (json!({ "input": "hi", "service_tier": "priority" }), "unpriced_parameter"),
    ] {
        let mut body = members;
        body["model"] = json!(MODEL);
        let refused = world.client.post("/v1/responses", &key, &body).await?;
        assert_eq!(refused.code(), code, "{body}");
    }
    let kept = world.client.get("/v1/responses/resp_1", &key).await?;
    assert_eq!((kept.status, kept.code()), (404, "unknown_url".to_owned()));
    Ok(())
}
