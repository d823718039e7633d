//! Limits that several nodes count together (P16 on four processes).

use crate::cluster::Node;
use claviger_e2e::{Engine, Plan, Result, World, chat, eventually, is_long_run, now, refused};
use serde_json::json;
use std::time::Duration;

/// A world of four nodes that know of each other.
async fn four() -> Result<(World, [Node; 3])> {
    let world = Plan::default().on(Engine::Postgres).start().await?;
    let nodes = [
        Node::added_to(&world, "second").await?,
        Node::added_to(&world, "third").await?,
        Node::added_to(&world, "fourth").await?,
    ];
    // Every node polls five times a second; the last to join is known to all before the first key is made.
    tokio::time::sleep(Duration::from_millis(600)).await;
    Ok((world, nodes))
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_four_nodes_let_through_what_one_would_and_a_quantum_each() -> Result<()> {
    const LIMIT: u64 = 240;
    let (world, nodes) = four().await?;
    let key = world.key_with(&json!({ "limits": { "rpm": LIMIT } })).await?;
    let clients = [&world.client, &nodes[0].client, &nodes[1].client, &nodes[2].client];
    for client in clients {
        eventually(
            5,
            "the key is known",
            async || Ok((client.get("/v1/key", &key).await?.status == 200).then_some(())),
        )
        .await?;
    }
    // Ten windows that begin one after the other; sixty of a whole minute in the long run.
    let (seconds, window, windows) = if is_long_run() { (120, 60_000, 60) } else { (12, 6_000, 10) };
    let begun = now();
    let mut running = tokio::task::JoinSet::new();
    for client in clients {
        let (client, key) = (client.clone(), key.clone());
        running.spawn(async move {
            let mut passed = Vec::new();
            while begun.elapsed() < Duration::from_secs(seconds) {
                let answer = client.post("/v1/chat/completions", &key, &chat("free/echo")).await?;
                match answer.refusal() {
                    (200, _) => passed.push(begun.elapsed()),
                    other => assert_eq!(other, refused(429, "rate_limit_exceeded"), "{}", answer.text()),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, anyhow::Error>(passed)
        });
    }
    let mut passed = Vec::new();
    while let Some(of_node) = running.join_next().await {
        passed.extend(of_node??);
    }
    passed.sort();
    let (burst, quantum) = (LIMIT / 6, LIMIT / 64);
    let bound = LIMIT * window / 60_000 + burst + clients.len() as u64 * quantum;
    for number in 0..windows {
        let begin = Duration::from_millis((seconds * 1_000 - window) * number / (windows - 1));
        // An answer is seen a little after it was let through, so a window is looked at that is a little shorter.
        let end = begin + Duration::from_millis(window - 100);
        let within = passed.iter().filter(|at| **at >= begin && **at < end).count() as u64;
        assert!(within <= bound, "window {number}: {within} of at most {bound}: the nodes count for themselves");
    }
    let usable = LIMIT * seconds / 60 + burst;
    assert!(passed.len() as u64 * 100 >= usable * 85, "{} of {usable} could be used", passed.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_an_answer_used_on_one_node_are_owed_on_the_others() -> Result<()> {
    let (world, nodes) = four().await?;
    let key = world.key_with(&json!({ "limits": { "tpm": 6_000 } })).await?;
    let long = json!({ "model": "free/echo", "messages": [{ "role": "user", "content": "x".repeat(16_000) }] });
    let first = world.client.post("/v1/chat/completions", &key, &long).await?;
    assert_eq!(first.status, 200, "slow, not impossible: {}", first.text());
    let refusal = eventually(5, "another node knows", async || {
        let answer = nodes[0].client.post("/v1/chat/completions", &key, &chat("free/echo")).await?;
        Ok((answer.status != 200).then_some(answer))
    })
    .await?;
    assert_eq!(refusal.refusal(), refused(429, "rate_limit_exceeded"), "{}", refusal.text());
    assert_eq!(
        (refusal.header("x-claviger-limit"), refusal.header("x-ratelimit-remaining-tokens")),
        ("key.tpm", "0"),
        "{}",
        refusal.text()
    );
    Ok(())
}
