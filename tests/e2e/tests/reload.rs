//! SIGHUP: models, routes and prices change without a restart, all of them or none.

use claviger_e2e::{Result, World, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CHAT: &str = "/v1/chat/completions";

fn body(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello" }] })
}

async fn hang_up(world: &World) -> Result<()> {
    let id = world.server.id().unwrap_or_default().to_string();
    let sent = tokio::process::Command::new("kill").args(["-HUP", &id]).status().await?;
    assert!(sent.success());
    Ok(())
}

async fn eventually_said(world: &World, text: &str) -> Result<()> {
    eventually(10, text, async || Ok(world.server.output().contains(text).then_some(()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_prices_change_at_a_signal_and_a_bad_file_changes_nothing() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("reload").await?;
    let file = world.folder.path().join("claviger.toml");
    let former = std::fs::read_to_string(&file)?;
    let price =
        |model: &str, sell: &str| format!("[[price]]\nmodel = \"{model}\"\nmeter = \"request\"\nsell = \"{sell}\"\n");
    let added = "[[model]]\nid = \"added/echo\"\ntiers = [[{ provider = \"upstream\", model = \"echo\" }]]\n";
    assert_eq!(world.client.post(CHAT, &key, &body("added/echo")).await?.refusal().0, 404);

    // A stream that runs keeps the price it was admitted under.
    let mut running = body("paid/request");
    running["stream"] = json!(true);
    running["sim"] = json!({ "mode": "slow", "first_ms": 1500 });
    let (client, of_key) = (claviger_e2e::Client::new(&world.url), key.clone());
    let mut streams = JoinSet::new();
    streams.spawn(async move {
        let mut events = client.stream(CHAT, &of_key, &running).await?;
        events.rest().await?;
        anyhow::Ok(events.request_id())
    });
    eventually(5, "it is upstream", async || Ok((world.upstream.count().await? == 1).then_some(()))).await?;
    let dearer = former.replace(&price("paid/request", "0.0000001"), &price("paid/request", "0.0000005"));
    assert_ne!(dearer, former);
    std::fs::write(&file, format!("{dearer}{added}{}", price("added/echo", "0.0000002")))?;
    let looked = world.claviger(&["reload", "--check"]).await?;
    assert_eq!(looked, "new      added/echo\nchanged  paid/request\nThe configuration reads. Nothing was changed.\n");
    assert_eq!(world.client.post(CHAT, &key, &body("added/echo")).await?.refusal().0, 404);
    hang_up(&world).await?;
    eventually_said(&world, "new: added/echo; gone: none; changed: paid/request").await?;

    let charge_of = async |model: &str| {
        let answer = world.client.post(CHAT, &key, &body(model)).await?;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        let record = world.record(answer.header("x-request-id")).await?;
        anyhow::Ok(record["charge"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(charge_of("added/echo").await?, "0.000000200");
    assert_eq!(charge_of("paid/request").await?, "0.000000500");
    let record = world.record(&streams.join_all().await.pop().expect("it was asked")?).await?;
    assert_eq!(record["charge"], "0.000000100", "{record}");

    // One bad line: nothing of the file is taken over, not even what is good in it.
    let bad = "[[model]]\nid = \"bad/echo\"\ntiers = [[{ provider = \"upstraem\" }]]\n";
    std::fs::write(&file, format!("{}{bad}", former.replace("0.0000001", "0.0000009")))?;
    hang_up(&world).await?;
    eventually_said(&world, "provider `upstraem` does not exist (did you mean `upstream`?)").await?;
    assert_eq!(charge_of("added/echo").await?, "0.000000200");
    assert_eq!(charge_of("paid/request").await?, "0.000000500");

    let refused = world.run(&["reload"], "").await?;
    assert_ne!(refused.code, 0, "{}", refused.err);
    assert!(refused.err.contains("provider `upstraem` does not exist"), "{}", refused.err);

    // What is taken out is gone, and every time is in the audit log of the instance.
    std::fs::write(&file, former)?;
    world.claviger(&["reload"]).await?;
    let audited =
        world.claviger(&["audit", "list", "--instance", "--event", "configuration.reloaded", "--json"]).await?;
    let audited: Value = serde_json::from_str(&audited)?;
    let outcome = |record: &Value| record["outcome"].as_str().unwrap_or_default().to_owned();
    let outcomes: Vec<String> = audited.as_array().into_iter().flatten().map(outcome).collect();
    assert_eq!(outcomes, ["succeeded", "failed", "failed", "succeeded"], "{audited}");
    assert_eq!(world.client.post(CHAT, &key, &body("added/echo")).await?.refusal().0, 404);
    assert_eq!(charge_of("paid/request").await?, "0.000000100");
    world.verify_ledger().await
}
