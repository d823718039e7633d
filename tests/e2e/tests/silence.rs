//! Streams that are silent for long, and a server that is told to stop: what clients notice.

use claviger_e2e::{Raw, Result, World, now};
use serde_json::{Value, json};
use std::time::Duration;

fn request(world: &World, key: &str, body: &Value) -> String {
    let text = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
        world.address(),
        text.len()
    )
}

fn stream(sim: Value) -> Value {
    json!({ "model": "paid/stream", "stream": true, "messages": [{ "role": "user", "content": "Say hello" }], "sim": sim })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_gets_a_comment_after_15_s_and_its_head_after_30_s() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("patient").await?;
    let comment = async {
        let mut connection = Raw::connect(world.address()).await?;
        let stalls = stream(json!({ "tokens": 9, "first_ms": 0, "gap_ms": 0, "mode": "stall", "after": 3 }));
        connection.send(request(&world, &key, &stalls)).await?;
        assert_eq!(connection.head().await?.status, 200);
        let begun = now();
        connection.until(": keep-alive\n\n").await?;
        let after = begun.elapsed();
        assert!((14..=18).contains(&after.as_secs()), "a comment after {after:?}");
        Ok::<(), anyhow::Error>(())
    };
    let head = async {
        let mut connection = Raw::connect(world.address()).await?;
        let begun = now();
        connection
            .send(request(&world, &key, &stream(json!({ "tokens": 2, "first_ms": 33_000, "gap_ms": 0 }))))
            .await?;
        connection.readable_within(Duration::from_secs(40)).await?;
        let head = connection.head().await?;
        let after = begun.elapsed();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), "text/event-stream; charset=utf-8");
        assert!((29..=32).contains(&after.as_secs()), "the head after {after:?}");
        connection.until("data: [DONE]\n\n").await
    };
    let (comment, head) = tokio::join!(comment, head);
    comment?;
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_finishes_what_runs_and_takes_nothing_new() -> Result<()> {
    let mut world = World::usual().await?;
    let key = world.key("running").await?;
    let before = world.balance().await?;
    let mut events = world
        .client
        .stream("/v1/chat/completions", &key, &stream(json!({ "tokens": 30, "first_ms": 0, "gap_ms": 60 })))
        .await?;
    events.next().await?;
    let client = world.client.clone();
    let running = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let refused = client.get("/v1/models", &key).await;
        assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 503), "nothing new is taken");
        events.rest().await
    };
    let (stopped, rest) = tokio::join!(world.server.stop(), running);
    assert!(stopped?.success());
    let rest = rest?;
    assert_eq!(rest.last().map(String::as_str), Some("[DONE]"));
    world.restart().await?;
    let cost = claviger_e2e::token_cost(4, 1_000_000_000, 30, 2_000_000_000);
    assert_eq!(before - world.balance().await?, cost);
    assert!(world.in_doubt().await?.is_empty(), "an orderly stop leaves nothing in doubt");
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_a_stream_leave_as_they_come() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("pace").await?;
    let body = stream(json!({ "tokens": 20, "first_ms": 0, "gap_ms": 100 }));
    let mut events = world.client.stream("/v1/chat/completions", &key, &body).await?;
    let begun = now();
    let mut late = Duration::ZERO;
    for number in 0..20_u32 {
        while !events.next().await?.unwrap_or_default().contains(&format!("{:03} ", number + 1)) {}
        late = late.max(begun.elapsed().saturating_sub(Duration::from_millis(100) * number));
    }
    assert!(late < Duration::from_millis(400), "a piece was held back for {late:?}");
    Ok(())
}
