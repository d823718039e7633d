//! The cut-off rule of a chat: the client leaves after chunk k, for every k; one record, the right charge, no hold left.

use claviger_e2e::{Plan, Raw, Result, World, eventually, token_cost};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Content chunks of the stream.
const CHUNKS: u64 = 40;
/// Tokens of the prompt: `tokens("Say hello") + 1`.
const PROMPT: u64 = 4;

fn cost(output: u64) -> i64 {
    token_cost(PROMPT, 1_000_000_000, output, 2_000_000_000)
}

fn body(gap_ms: u64, more: Value) -> Value {
    let mut sim = json!({ "tokens": CHUNKS, "first_ms": 20, "gap_ms": gap_ms });
    if let (Some(sim), Some(more)) = (sim.as_object_mut(), more.as_object()) {
        sim.extend(more.clone());
    }
    json!({ "model": "paid/stream", "stream": true, "messages": [{ "role": "user", "content": "Say hello" }], "sim": sim })
}

/// Opens a stream, leaves after `events` events (0: right after the head), and gives the request id.
async fn leave_after(world: &World, key: &str, body: &Value, events: usize) -> Result<String> {
    let mut connection = Raw::connect(world.address()).await?;
    let text = body.to_string();
    connection
        .send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            world.address(),
            text.len()
        ))
        .await?;
    let head = connection.head().await?;
    assert_eq!(head.status, 200);
    connection.events(events).await?;
    Ok(head.header("x-request-id").to_owned())
}

/// Leaves after every k at once and gives each k with its record.
async fn every_k(world: &World, key: &str, body: &Value) -> Result<Vec<(u64, Value)>> {
    let mut leaving = Vec::new();
    for k in 0..=CHUNKS {
        leaving.push(
            async move { Ok::<_, anyhow::Error>((k, leave_after(world, key, body, usize::try_from(k)?).await?)) },
        );
    }
    let mut found = Vec::new();
    for left in join_all(leaving).await {
        let (k, request) = left?;
        found.push((k, world.record(&request).await?));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_after_chunk_k_pays_the_drained_answer() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("leaver").await?;
    let before = world.balance().await?;
    let mut charged = 0;
    for (k, record) in every_k(&world, &key, &body(15, json!({}))).await? {
        assert_eq!(nano(&record["charge"]), cost(CHUNKS), "k = {k}: drained, or complete: {record}");
        // Close to the end the last piece may have left before the client did: rule 8.
        let is_late = record["outcome"] == "complete" && record["rule"] == 1 && k + 10 >= CHUNKS;
        let is_cut = record["outcome"] == "client_closed" && record["rule"] == 7;
        assert!(is_cut || is_late, "k = {k}: {record}");
        assert_eq!(record["usage_source"], "upstream_final", "k = {k}: {record}");
        charged += nano(&record["charge"]);
    }
    settled(&world, before, charged, 41).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_running_usage_a_client_that_leaves_pays_what_was_made_and_the_upstream_is_cancelled() -> Result<()> {
    let world = Plan::default().dialect("vllm").start().await?;
    let key = world.key("leaver").await?;
    let before = world.balance().await?;
    let mut charged = 0;
    for (k, record) in every_k(&world, &key, &body(80, json!({}))).await? {
        let output = record["meters"]["output_token"].as_u64().unwrap_or(0);
        let charge = nano(&record["charge"]);
        assert_eq!(charge, if output == 0 { charge } else { cost(output) }, "k = {k}: the last figure seen: {record}");
        assert!(output + 1 >= k && output <= CHUNKS, "k = {k}: {output} tokens were made: {record}");
        if k + 10 < CHUNKS {
            assert!(output <= k + 10, "k = {k}: cancelled at once, but {output} tokens were made: {record}");
            assert_eq!(record["outcome"], "client_closed", "k = {k}: {record}");
            assert_eq!(record["rule"], 6, "k = {k}: {record}");
        }
        charged += charge;
    }
    settled(&world, before, charged, 41).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_be_drained_in_time_is_counted() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("leaver").await?;
    let before = world.balance().await?;
    let stalling = body(5, json!({ "mode": "stall", "after": 10 }));
    let request = leave_after(&world, &key, &stalling, 11).await?;
    let record = eventually(20, "the drain gives up after 10 s", async || {
        let answer = world.client.get(&format!("/v1/organization/requests/{request}"), &world.admin_key).await?;
        Ok((answer.status == 200).then(|| answer.json()))
    })
    .await?;
    assert_eq!((&record["outcome"], &record["rule"]), (&json!("client_closed"), &json!(7)), "{record}");
    assert_eq!(record["usage_source"], "estimated", "{record}");
    // Estimated input: a quarter of the bytes and 4 a message; output: the ten chunks that came.
    let charge = token_cost(3 + 4, 1_000_000_000, 10, 2_000_000_000);
    assert_eq!(nano(&record["charge"]), charge, "{record}");
    settled(&world, before, charge, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_json_answer_pays_the_drained_answer() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("leaver").await?;
    let before = world.balance().await?;
    let mut whole = body(10, json!({}));
    whole["stream"] = json!(false);
    {
        let mut connection = Raw::connect(world.address()).await?;
        let text = whole.to_string();
        let head =
            format!("Host: {}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json", world.address());
        connection
            .send(format!(
                "POST /v1/chat/completions HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ))
            .await?;
        eventually(5, "the request is upstream", async || {
            Ok((world.upstream.stats().await?["in_flight"] != json!(0)).then_some(()))
        })
        .await?;
    }
    let record = eventually(15, "the record", async || Ok(world.records(1).await?.pop())).await?;
    assert_eq!((&record["outcome"], &record["rule"]), (&json!("client_closed"), &json!(7)), "{record}");
    assert_eq!(nano(&record["charge"]), cost(CHUNKS), "{record}");
    settled(&world, before, cost(CHUNKS), 1).await
}

/// No hold is left, the wallet lost what the records say, there is one record each, nothing runs upstream.
async fn settled(world: &World, before: i64, charged: i64, records: usize) -> Result<()> {
    eventually(10, "holds are given back", async || Ok((world.held().await? == 0).then_some(()))).await?;
    assert_eq!(before - world.balance().await?, charged);
    assert_eq!(world.records(1_000).await?.len(), records);
    assert_eq!(world.upstream.stats().await?["in_flight"], json!(0));
    world.verify_ledger().await
}

fn nano(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_default();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap_or(i64::MIN)
}
