//! Tasks outlive the node that began them: another one captures or releases what they hold, once.

use crate::cluster::Node;
use crate::plan;
use claviger_e2e::{Result, eventually};
use serde_json::json;

/// Four seconds of a tenth each.
const FOUR_SECONDS: i64 = 400_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn videos_of_a_killed_node_are_paid_for_or_released_by_another() -> Result<()> {
    let world = plan().start().await?;
    let mut second = Node::added_to(&world, "second").await?;
    let key = world.key("films").await?;
    let before = world.balance().await?;
    let mut ids = Vec::new();
    for prompt in ["a cat", "fail, please"] {
        let film = json!({ "model": "paid/film", "prompt": prompt, "duration": 4, "sim": { "first_ms": 2_500 } });
        let made = second.client.post("/v1/video/generations", &key, &film).await?;
        assert_eq!(made.status, 200, "{}", made.text());
        ids.push(made.json()["id"].as_str().unwrap_or_default().to_owned());
    }
    second.server.kill().await?;
    for (id, status) in ids.iter().zip(["completed", "failed"]) {
        eventually(30, "the other node looks after it", async || {
            let shown = world.client.get(&format!("/v1/video/generations/{id}"), &key).await?.json();
            Ok((shown["status"] == status).then_some(()))
        })
        .await?;
    }
    eventually(10, "what was held is back", async || {
        Ok((before - world.balance().await? == FOUR_SECONDS).then_some(()))
    })
    .await?;
    world.verify_ledger().await
}
