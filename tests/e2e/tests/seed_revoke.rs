//! Seed checks about the end of a key: at once, for ever, for that key alone; what runs finishes.
//! The ids in the names are those of the seed checks.

use claviger_e2e::{Engine, Plan, Raw, Result, World, text, token_cost};
use serde_json::json;

/// Connections that are kept alive across the revocation; as many requests are sent over them at once.
const CONNECTIONS: usize = 1_000;
/// Addresses of this machine they come from: a server admits at most 1,000 connections from one.
const SOURCES: [&str; 4] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];

#[tokio::test(flavor = "multi_thread")]
async fn s0_15_s0_17_s0_18_s1_8_s2_8_after_the_revoke_reply_1000_concurrent_requests_are_401() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        revoked_at_once(&world).await?;
    }
    Ok(())
}

async fn revoked_at_once(world: &World) -> Result<()> {
    let doomed = world.create_key(&json!({ "name": "doomed" })).await?;
    let (id, key) = (text(&doomed["id"]), text(&doomed["value"]));
    let other = world.key("other").await?;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let source = SOURCES[number % SOURCES.len()];
        let mut connection = Raw::connect_from(source, world.address()).await?;
        connection.send(chat_request(world, &key, "free/echo")).await?;
        connections.push(connection);
    }
    for connection in &mut connections {
        let answer = connection.answer().await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    let reply = world.revoke(&id).await?;
    assert_eq!((&reply["id"], &reply["deleted"]), (&json!(id), &json!(true)));
    assert!(reply["confirmation"].is_object(), "{reply}");

    let request = chat_request(world, &key, "paid/echo");
    let before = world.upstream.count().await?;
    let mut calls = tokio::task::JoinSet::new();
    for mut connection in connections {
        let request = request.clone();
        calls.spawn(async move {
            connection.send(request).await?;
            connection.answer().await
        });
    }
    let mut others = tokio::task::JoinSet::new();
    others.spawn({
        let (client, other) = (world.client.clone(), other.clone());
        async move {
            for _ in 0..50 {
                let body = json!({ "model": "free/echo", "messages": [{ "role": "user", "content": "Say hello" }] });
                let answer = client.post("/v1/chat/completions", &other, &body).await?;
                anyhow::ensure!(answer.status == 200, "the other key: {}", answer.text());
            }
            Ok::<(), anyhow::Error>(())
        }
    });
    let mut refused = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer??;
        assert_eq!((answer.status, answer.reason.as_str()), (401, "Unauthorized"));
        assert_eq!(answer.code(), "key_revoked", "{}", answer.body);
        refused += 1;
    }
    assert_eq!(refused, CONNECTIONS);
    while let Some(done) = others.join_next().await {
        done??;
    }
    assert_eq!(world.upstream.count().await? - before, 50, "only the other key's calls went on");

    let list = world.client.get("/v1/organization/api_keys", &world.admin_key).await?.text();
    assert!(!list.contains(&id), "not in the default list");
    let shown = world.client.get(&format!("/v1/organization/api_keys/{id}"), &world.admin_key).await?.json();
    assert_eq!(shown["state"], "revoked");
    let enabled =
        world.client.post(&format!("/v1/organization/api_keys/{id}/enable"), &world.admin_key, &json!({})).await?;
    assert_eq!(enabled.refusal(), (400, "key_is_revoked".to_owned()));
    Ok(())
}

/// Self-service rows such as `models` have a rate limit of their own; inference has none here.
fn chat_request(world: &World, key: &str, model: &str) -> String {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello" }] }).to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        world.address(),
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_15_a_revoked_key_stays_revoked_over_a_restart() -> Result<()> {
    let mut world = World::usual().await?;
    let doomed = world.create_key(&json!({ "name": "doomed" })).await?;
    world.revoke(&text(&doomed["id"])).await?;
    world.kill().await?;
    world.restart().await?;
    let answer = world.client.get("/v1/models", &text(&doomed["value"])).await?;
    assert_eq!(answer.refusal(), (401, "key_revoked".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_16_a_20_second_stream_survives_the_revoke_and_is_billed() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "long stream" })).await?;
    let before = world.balance().await?;
    let body = json!({
        "model": "paid/stream", "stream": true, "messages": [{ "role": "user", "content": "Say hello" }],
        "sim": { "tokens": 200, "first_ms": 100, "gap_ms": 100 },
    });
    let mut events = world.client.stream("/v1/chat/completions", &text(&key["value"]), &body).await?;
    assert_eq!(events.status, 200);
    for _ in 0..10 {
        events.next().await?;
    }
    world.revoke(&text(&key["id"])).await?;
    let refused = world.client.get("/v1/models", &text(&key["value"])).await?;
    assert_eq!(refused.refusal(), (401, "key_revoked".to_owned()));

    let request = events.request_id();
    let rest = events.rest().await?;
    assert_eq!(rest.last().map(String::as_str), Some("[DONE]"));
    assert!(rest.iter().all(|event| !event.contains("\"error\"")), "no error chunk");
    let content = rest.iter().filter(|event| event.contains("\"content\":\"")).count();
    assert!(content >= 189, "the rest of 200 tokens came: {content}");
    let cost = token_cost(4, 1_000_000_000, 200, 2_000_000_000);
    assert_eq!(before - world.balance().await?, cost);
    let record = world.record(&request).await?;
    assert_eq!((&record["outcome"], &record["status"]), (&json!("complete"), &json!(200)), "{record}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_key_is_refused_and_comes_back() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "pause" })).await?;
    let act = async |verb: &str| {
        let path = format!("/v1/organization/api_keys/{}/{verb}", text(&key["id"]));
        world.client.post(&path, &world.admin_key, &json!({})).await.map(|answer| answer.status)
    };
    assert_eq!(act("disable").await?, 200);
    let refused = world.client.get("/v1/models", &text(&key["value"])).await?;
    assert_eq!(refused.refusal(), (401, "key_disabled".to_owned()));
    assert_eq!(act("enable").await?, 200);
    assert_eq!(world.client.get("/v1/models", &text(&key["value"])).await?.status, 200);
    Ok(())
}
