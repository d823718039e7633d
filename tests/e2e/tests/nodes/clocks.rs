//! A node whose wall clock is wrong (P17): time limits hold by the later one of its clock and the database's. And one that
//! hears nothing any more: what it says to whom.

use crate::cluster::Node;
use crate::{call, free, plan};
use claviger_e2e::{Engine, Plan, Result, eventually};
use serde_json::json;

const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread")]
async fn p17_a_node_an_hour_behind_ends_keys_by_the_databases_clock() -> Result<()> {
    let world = Plan::default().on(Engine::Postgres).with_bug("").clock_ahead(-HOUR).start().await?;
    // Its own clock says that this key has ten minutes left, and the database's that it has long expired.
    let ended = world.create_key(&json!({ "name": "ended", "expires_in_seconds": 600 })).await?;
    let key = ended["value"].as_str().unwrap_or_default().to_owned();
    eventually(5, "the database's clock counts", async || Ok((call(&world.client, &key).await? == 401).then_some(())))
        .await?;
    let refused = world.client.get("/v1/models", &key).await?;
    assert_eq!(refused.refusal(), (401, "key_expired".to_owned()), "{}", refused.text());
    let own = world.client.get("/v1/key", &key).await?;
    assert_eq!(own.refusal(), (401, "key_expired".to_owned()), "on the management plane too: {}", own.text());
    let asked = world.client.post("/v1/keys/verify", &world.admin_key, &json!({ "key": key })).await?.json();
    assert_eq!((&asked["data"]["valid"], &asked["data"]["code"]), (&json!(false), &json!("EXPIRED")), "{asked}");
    let living = world.create_key(&json!({ "name": "living", "expires_in_seconds": 2 * HOUR })).await?;
    let key = living["value"].as_str().unwrap_or_default().to_owned();
    eventually(
        5,
        "a key with an hour left serves",
        async || Ok((call(&world.client, &key).await? == 200).then_some(())),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_says_authorization_stale_and_serves_again_when_it_does() -> Result<()> {
    let world = plan().start().await?;
    let node = Node::added_to(&world, "second").await?;
    let key = world.key("steady").await?;
    eventually(5, "the second node knows the key", async || Ok((call(&node.client, &key).await? == 200).then_some(())))
        .await?;
    node.wire.cut();
    let stale = eventually(5, "its lease is over", async || {
        let answer = node.client.post("/v1/chat/completions", &key, &free()).await?;
        Ok((answer.status != 200).then_some(answer))
    });
    let stale = stale.await?;
    assert_eq!(stale.refusal(), (503, "authorization_stale".to_owned()), "{}", stale.text());
    assert_eq!(stale.header("retry-after"), "1");
    node.wire.heal();
    eventually(10, "it serves again", async || Ok((call(&node.client, &key).await? == 200).then_some(()))).await
}
