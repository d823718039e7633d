//! A model server that is brought along on one node is served by all of them, with its credential, and by none any more
//! once it is ended on another.

use crate::cluster::Node;
use claviger_e2e::{Client, Engine, Plan, Result, eventually, text};
use serde_json::json;

const PROVIDERS: &str = "/v1/organization/providers";

async fn answers_everywhere(clients: [&Client; 2], key: &str, status: u16) -> Result<()> {
    let body = json!({ "model": "own/echo", "messages": [{ "role": "user", "content": "hi" }] });
    for client in clients {
        eventually(10, "every node knows of it", async || {
            let answer = client.post("/v1/chat/completions", key, &body).await?;
            Ok((answer.status == status).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_made_on_one_node_serves_on_the_other_until_it_is_ended_there() -> Result<()> {
    let more = "validity_lease = \"1s\"\n[providers]\nallow_private = [\"127.0.0.0/8\"]\n";
    let world = Plan::default().on(Engine::Postgres).more(more).start().await?;
    let node = Node::added_to(&world, "second").await?;
    let clients = [&world.client, &node.client];
    let (key, admin) = (world.key("own").await?, &world.admin_key);
    answers_everywhere(clients, &key, 404).await?;

    let registry = json!({ "name": "Own", "slug": "own" });
    let registry = world.client.post("/v1/organization/registries", admin, &registry).await?.json();
    let credential = std::fs::read_to_string(world.folder.path().join("provider-key"))?.trim().to_owned();
    let body = json!({
        "name": "gpu", "registry_id": registry["id"], "dialect": "openai", "base_url": world.upstream.url(),
        "credential": credential, "models": [{ "name": "echo", "upstream_model": "echo" }],
    });
    let made = world.client.post(PROVIDERS, admin, &body).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let path = format!("{PROVIDERS}/{}", text(&made.json()["id"]));
    // The upstream lets nobody in without it: the other node has opened the box.
    answers_everywhere(clients, &key, 200).await?;
    let tested = node.client.post(&format!("{path}/test"), admin, &json!({})).await?.json();
    assert_eq!(tested["ok"], true, "{tested}");

    // A credential that is replaced on the second node is the one that the first sends.
    let wrong = json!({ "credential": "sk-wrong-credential-0000" });
    assert_eq!(node.client.post(&path, admin, &wrong).await?.status, 200);
    answers_everywhere(clients, &key, 502).await?;
    let right = json!({ "credential": credential });
    assert_eq!(world.client.post(&path, admin, &right).await?.status, 200);
    answers_everywhere(clients, &key, 200).await?;

    assert_eq!(node.client.delete(&path, admin).await?.status, 200);
    answers_everywhere(clients, &key, 404).await?;
    assert_eq!(world.client.get(&path, admin).await?.refusal(), (404, "not_found".to_owned()));
    Ok(())
}
