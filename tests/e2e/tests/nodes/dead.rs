//! What dead nodes leave: their credit goes back once, and whoever was taken for dead charges nothing more of it.

use crate::cluster::Node;
use crate::{at_once, plan, text};
use claviger_e2e::{Result, World, eventually, now};
use serde_json::{Value, json};
use std::time::Duration;

/// A stream of this many tokens, ten a second.
fn stream(tokens: u64) -> Value {
    json!({
        "model": "paid/stream", "stream": true, "messages": [{ "role": "user", "content": "Say hello" }],
        "sim": { "tokens": tokens, "first_ms": 0, "gap_ms": 100 },
    })
}

/// The seats that hold credit.
async fn leases(world: &World) -> Result<Vec<String>> {
    let listed: Value = serde_json::from_str(&world.claviger(&["lease", "list", "--json"]).await?)?;
    let rows = listed.as_array().cloned().unwrap_or_default();
    Ok(rows.iter().map(|row| text(&row["seat"])).collect())
}

async fn nodes(world: &World) -> Result<Vec<Value>> {
    let listed: Value = serde_json::from_str(&world.claviger(&["nodes", "list", "--json"]).await?)?;
    Ok(listed.as_array().cloned().unwrap_or_default())
}

/// The seat of the node that is not the world's own.
async fn other_seat(world: &World) -> Result<String> {
    let own = std::fs::read_to_string(world.data().join("seat"))?;
    let nodes = nodes(world).await?;
    let other = nodes.iter().map(|node| text(&node["seat"])).find(|seat| seat != own.trim());
    other.ok_or_else(|| anyhow::anyhow!("there is one node: {nodes:?}"))
}

/// Refused while anything speaks for the node's life.
async fn write_off(world: &World, seat: &str) -> Result<String> {
    world.claviger(&["lease", "write-off", seat, "--confirm", seat]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_nodes_credit_is_written_off_once_and_goes_to_the_others() -> Result<()> {
    let world = plan().without_credit().start().await?;
    let mut second = Node::added_to(&world, "second").await?;
    let key = world.key("shared").await?;
    world.grant("0.00004").await?;
    let clients = [world.client.clone(), second.client.clone()];
    let served = at_once(&clients, &key, 100).await?;
    assert_eq!(served, 100);
    let seat = other_seat(&world).await?;
    let living = write_off(&world, &seat).await.map_err(|error| error.to_string());
    assert!(living.as_ref().is_err_and(|said| said.contains("node_alive") || said.contains("alive")), "{living:?}");
    second.server.kill().await?;
    let before = leases(&world).await?;
    assert!(before.contains(&seat), "the dead node holds credit: {before:?}");
    let done = write_off(&world, &seat).await?;
    assert!(done.starts_with("Given back "), "{done}");
    assert!(!leases(&world).await?.contains(&seat));
    assert!(write_off(&world, &seat).await.is_err(), "once");
    world.verify_ledger().await?;
    // What is left of 400 calls is the surviving node's alone, to the last one.
    assert_eq!(at_once(&clients[..1], &key, 320).await?, 300);
    assert_eq!(world.balance().await?, 0);
    // The dead one comes back, with what it draws.
    world.grant("0.000001").await?;
    second.start()?;
    second.ready().await?;
    assert_eq!(at_once(&clients, &key, 30).await?, 10);
    assert_eq!(world.balance().await?, 0);
    world.verify_ledger().await?;
    assert!(world.claviger(&["audit", "verify"]).await?.starts_with("audit verify ok"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_for_dead_joins_again_and_its_late_charge_is_ours() -> Result<()> {
    let world = plan().without_credit().start().await?;
    let second = Node::added_to(&world, "second").await?;
    let key = world.key("shared").await?;
    world.grant("0.5").await?;
    let seat = other_seat(&world).await?;
    let mut running = second.client.stream("/v1/chat/completions", &key, &stream(150)).await?;
    assert_eq!(running.status, 200, "{}", running.request_id());
    running.next().await?;
    second.wire.cut();
    // Its sessions end with its connections; that it is silent must still be seen for as long as its rights last.
    let done = eventually(15, "the node is given up", async || Ok(write_off(&world, &seat).await.ok())).await?;
    assert!(done.contains("Given back 0."), "{done}");
    second.wire.heal();
    let rest = running.rest().await?;
    assert_eq!(rest.last().map(String::as_str), Some("[DONE]"), "{rest:?}");
    let record = world.record(&running.request_id()).await?;
    assert_eq!(text(&record["charge"]), "0.000000000", "{record}");
    assert_eq!(text(&record["absorbed"]), "0.000304000", "4 and 150 tokens were used: {record}");
    assert_eq!(world.balance().await?, 500_000_000, "nothing was charged");
    world.verify_ledger().await?;
    let answer = eventually(10, "it serves again", async || {
        let answer = second.client.post("/v1/chat/completions", &key, &crate::paid()).await;
        Ok(answer.ok().filter(|answer| answer.status == 200))
    });
    answer.await?;
    assert_eq!(world.balance().await?, 500_000_000 - 100);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_finishes_gives_back_and_leaves() -> Result<()> {
    let world = plan().without_credit().start().await?;
    let mut second = Node::added_to(&world, "second").await?;
    let created = world.create_key(&json!({ "name": "k" })).await?;
    let key = text(&created["value"]);
    world.grant("0.5").await?;
    let mut running = second.client.stream("/v1/chat/completions", &key, &stream(40)).await?;
    running.next().await?;
    let seat = other_seat(&world).await?;
    let id = nodes(&world).await?.iter().find(|node| text(&node["seat"]) == seat).map(|node| text(&node["id"]));
    let told = world.claviger(&["nodes", "drain", &id.unwrap_or_default(), "-y"]).await?;
    assert!(told.starts_with("Told nod_"), "{told}");
    let rest = running.rest().await?;
    assert_eq!(rest.last().map(String::as_str), Some("[DONE]"), "what runs is finished");
    eventually(20, "the process ends", async || Ok(second.server.ensure_running().err())).await?;
    assert_eq!(nodes(&world).await?.len(), 1);
    assert!(!leases(&world).await?.contains(&seat), "its credit went back");
    let revoked = world.revoke(&text(&created["id"])).await?;
    assert_eq!(revoked["confirmation"]["nodes"].as_array().map(Vec::len), Some(1), "{revoked}");
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_nodes_books_are_closed_by_the_others_without_being_told() -> Result<()> {
    let world = plan().without_credit().start().await?;
    let mut second = Node::added_to(&world, "second").await?;
    let key = world.key("shared").await?;
    world.grant("0.5").await?;
    let mut running = second.client.stream("/v1/chat/completions", &key, &stream(600)).await?;
    running.next().await?;
    let seat = other_seat(&world).await?;
    second.server.kill().await?;
    assert!(leases(&world).await?.contains(&seat), "the dead node holds credit");
    let begun = now();
    while leases(&world).await?.contains(&seat) {
        assert!(begun.elapsed() < Duration::from_secs(240), "nobody closed its books");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(50), "a node that is only away has a minute");
    assert_eq!(nodes(&world).await?.len(), 1);
    assert_eq!(world.balance().await?, 500_000_000, "all of it went back");
    world.verify_ledger().await
}
