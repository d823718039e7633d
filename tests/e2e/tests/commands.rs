//! The walk of docs/getting-started.md by the command line: against a running server and without one.

use claviger_e2e::{Result, World};
use serde_json::{Value, json};

async fn json(world: &World, arguments: &[&str]) -> Result<Value> {
    let printed = world.claviger(arguments).await?;
    Ok(serde_json::from_str(printed.trim())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_explained_and_revoked_by_the_command_line() -> Result<()> {
    let world = World::usual().await?;
    let printed = world.claviger(&["keys", "create", "production backend", "--tag", "checkout"]).await?;
    let key = printed.trim();
    assert!(key.starts_with("clv_") && !key.contains(char::is_whitespace), "piped: the secret alone, not {key:?}");

    let body = json!({ "model": "gpt-4", "messages": [{ "role": "user", "content": "Say hello" }] });
    let answer = world.client.post("/v1/chat/completions", key, &body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let request = answer.header("x-request-id");
    world.record(request).await?;

    let listed = json(&world, &["keys", "list", "--json"]).await?.to_string();
    assert!(listed.contains("production backend") && listed.contains("checkout") && !listed.contains(key), "{listed}");
    let shown = json(&world, &["keys", "get", "production backend", "--json"]).await?;
    assert_eq!(shown["source_tag"], "checkout", "{shown}");
    let credits = json(&world, &["credits", "--json"]).await?.to_string();
    // 4 × 0.05/M + 3 × 0.08/M = 440 nano.
    assert!(credits.contains("9.999999560"), "{credits}");
    let usage = world.claviger(&["usage", "--by", "source_tag"]).await?;
    assert!(usage.contains("checkout") && usage.contains("total"), "{usage}");
    let receipt = world.claviger(&["explain", request]).await?;
    for word in [request, "production backend", "0.000000440", "complete"] {
        assert!(receipt.contains(word), "{word} is not in\n{receipt}");
    }
    world.claviger(&["keys", "revoke", "production backend", "--reason", "unused", "-y"]).await?;
    assert_eq!(world.client.get("/v1/models", key).await?.refusal(), (401, "key_revoked".to_owned()));
    assert!(!world.claviger(&["keys", "list"]).await?.contains("production backend"));

    world.claviger(&["grants", "create", "acme", "2.50", "--reason", "goodwill"]).await?;
    assert_eq!(world.balance().await?, 12_499_999_560);
    let proof = world.claviger(&["ledger", "verify"]).await?;
    assert!(!proof.is_empty());
    let doctor = world.claviger(&["doctor"]).await;
    let said = doctor.unwrap_or_else(|error| error.to_string());
    assert!(said.contains("without a price: unpriced/echo") && said.contains("ok      pepper"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_without_a_server_on_the_same_directory() -> Result<()> {
    let mut world = World::usual().await?;
    world.server.stop().await?;
    let key = world.claviger(&["keys", "create", "offline"]).await?;
    let credits = json(&world, &["credits", "--json"]).await?.to_string();
    assert!(credits.contains("10.000000000"), "{credits}");
    world.verify_ledger().await?;
    world.restart().await?;
    assert_eq!(world.client.get("/v1/models", key.trim()).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_by_the_api_adds_up_to_the_charges() -> Result<()> {
    let world = World::usual().await?;
    let mut charged = 0;
    for tag in ["etl", "etl", "web"] {
        let key = world.create_key(&json!({ "name": tag, "source_tag": tag })).await?;
        let body = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }] });
        world.client.post("/v1/chat/completions", key["value"].as_str().unwrap_or_default(), &body).await?;
        charged += claviger_e2e::token_cost(4, 1_000_000_000, 3, 2_000_000_000);
    }
    let path = "/v1/organization/usage/completions?start_time=1&group_by=source_tag&bucket_width=1d&limit=31";
    let now = std::time::UNIX_EPOCH.elapsed().map(|since| since.as_secs()).unwrap_or_default();
    let path = path.replace("start_time=1", &format!("start_time={}", now - 86_400));
    let page = world.client.get(&path, &world.admin_key).await?;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    let mut input = 0;
    let mut tags = std::collections::BTreeSet::new();
    for bucket in page["data"].as_array().into_iter().flatten() {
        for row in bucket["results"].as_array().into_iter().flatten() {
            input += row["input_tokens"].as_u64().unwrap_or(0);
            tags.extend(row["source_tag"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(input, 12, "{page}");
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), ["etl", "web"], "{page}");
    assert_eq!(10_000_000_000 - world.balance().await?, charged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_works_once() -> Result<()> {
    let world = World::usual().await?;
    let again = world
        .claviger(&["setup", "--organization", "Other", "--email", "x@y.example", "--password-file", "password"])
        .await;
    assert!(again.is_err_and(|error| error.to_string().contains("already")), "a second owner by the same door");
    Ok(())
}
