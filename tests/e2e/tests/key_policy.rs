//! What the policy of a key restricts, on the real program: addresses, endpoints, models, rates, and its shadow.

use claviger_e2e::{Plan, Result, World, refused};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn s1_15_each_key_has_its_own_permissions() -> Result<()> {
    let world = World::usual().await?;
    let chats = world.key_with(&json!({ "policy": { "endpoints": ["chat.completions"] } })).await?;
    let lists = world.key_with(&json!({ "policy": { "endpoints": ["models"] } })).await?;
    let free = world.key("free").await?;
    assert_eq!(world.ask(&chats, "free/echo").await?.status, 200);
    let models = world.client.get("/v1/models", &chats).await?;
    assert_eq!(models.refusal(), refused(403, "endpoint_not_allowed"));
    assert!(models.text().contains("This key may not use the endpoint `models`."), "{}", models.text());
    assert_eq!(world.client.get("/v1/key", &chats).await?.status, 200, "a key may always read itself");
    assert_eq!(world.ask(&lists, "free/echo").await?.refusal(), refused(403, "endpoint_not_allowed"));
    assert_eq!(world.client.get("/v1/models", &lists).await?.status, 200);
    assert_eq!(
        (world.ask(&free, "free/echo").await?.status, world.client.get("/v1/models", &free).await?.status),
        (200, 200)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_15_rows_34_and_35_only_trusted_proxies_say_who_the_client_is() -> Result<()> {
    let lists = json!({ "policy": { "ips": ["203.0.113.0/24"], "ips_denied": ["203.0.113.66"] } });
    let world = Plan::default().server("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]").start().await?;
    let listed = world.key_with(&lists.clone()).await?;
    let unlisted = world.key("unlisted").await?;
    let thousand = format!("{}, 203.0.113.9", ["198.51.100.1"; 1_000].join(","));
    for forwarded in ["203.0.113.9", "198.51.100.1, 203.0.113.9, 10.1.1.1", "::ffff:203.0.113.9", &thousand] {
        let answer = world.ask_from(&listed, &[("x-forwarded-for", forwarded)]).await?;
        assert_eq!(answer.status, 200, "{forwarded:.40}: {}", answer.text());
    }
    for (forwarded, seen) in [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("203.0.113.66", "203.0.113.66"),
        ("2001:db8::7", "2001:db8::7"),
    ] {
        let answer = world.ask_from(&listed, &[("x-forwarded-for", forwarded)]).await?;
        assert_eq!(answer.refusal(), refused(403, "ip_not_allowed"), "row 34, {forwarded}");
        assert!(answer.text().contains(seen) && !answer.text().contains("203.0.113.0/24"), "{}", answer.text());
    }
    for forwarded in ["garbage", "203.0.113.9, unknown", "fe80::1%eth0", "203.0.113.9, fe80::1%1"] {
        let answer = world.ask_from(&listed, &[("x-forwarded-for", forwarded)]).await?;
        assert_eq!(answer.refusal(), refused(403, "client_ip_unknown"), "row 35, {forwarded}");
        assert_eq!(world.ask_from(&unlisted, &[("x-forwarded-for", forwarded)]).await?.status, 200, "{forwarded}");
    }

    // Nobody is trusted: the header is what the sender likes to say.
    let world = World::usual().await?;
    let listed = world.key_with(&lists).await?;
    let local = world.key_with(&json!({ "policy": { "ips": ["127.0.0.1"] } })).await?;
    let spoofed = world.ask_from(&listed, &[("x-forwarded-for", "203.0.113.9")]).await?;
    assert_eq!(spoofed.refusal(), refused(403, "ip_not_allowed"));
    assert!(spoofed.text().contains("127.0.0.1"), "{}", spoofed.text());
    for forwarded in ["198.51.100.1", "garbage"] {
        assert_eq!(world.ask_from(&local, &[("x-forwarded-for", forwarded)]).await?.status, 200, "{forwarded}");
    }

    let world = Plan::default().server("trusted_proxies = [\"127.0.0.1\"]\nforwarded = \"forwarded\"").start().await?;
    let listed = world.key_with(&json!({ "policy": { "ips": ["2001:db8::/32"] } })).await?;
    let good = [("forwarded", "for=\"[2001:db8::7]:4711\";proto=https")];
    assert_eq!(world.ask_from(&listed, &good).await?.status, 200);
    let other = world.ask_from(&listed, &[("x-forwarded-for", "2001:db8::7")]).await?;
    assert_eq!(other.refusal(), refused(403, "ip_not_allowed"), "the other header is not read");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_48_models_are_hidden_from_whoever_may_not_call_them() -> Result<()> {
    let world = World::usual().await?;
    let one =
        world.key_with(&json!({ "policy": { "models": ["free/*", "meta-llama/Llama-3.1-8B-Instruct"] } })).await?;
    let refusal = world.ask(&one, "paid/echo").await?;
    assert_eq!(refusal.refusal(), refused(403, "model_not_allowed"));
    assert_eq!(refusal.json()["error"]["param"], "model");
    assert_eq!(world.ask(&one, "nobody/echo").await?.refusal(), refused(404, "model_not_found"));
    for model in ["free/echo", "gpt-4", "meta-llama/Llama-3.1-8B-Instruct"] {
        assert_eq!(world.ask(&one, model).await?.status, 200, "{model}: an alias is allowed with what it stands for");
    }
    let list = world.client.get("/v1/models", &one).await?.json();
    let mut ids: Vec<&str> =
        list["data"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["free/echo", "free/stream", "gpt-3.5-turbo", "gpt-4", "meta-llama/Llama-3.1-8B-Instruct"]);
    assert_eq!(world.client.get("/v1/models/paid/echo", &one).await?.refusal(), refused(404, "model_not_found"));

    // An environment's rule binds every key in it, at once.
    let free = world.key("free").await?;
    let path = world.environment_path().await?;
    let rule = json!({ "mode": "deny_list", "model_ids": ["paid/*"] });
    let set = world.client.post(&format!("{path}/model_permissions"), &world.admin_key, &rule).await?;
    assert_eq!(set.status, 200, "{}", set.text());
    let refusal = world.ask(&free, "paid/echo").await?;
    assert_eq!(refusal.refusal(), refused(403, "model_not_allowed"));
    assert!(refusal.text().contains("This key's environment may not use"), "{}", refusal.text());
    assert!(!world.client.get("/v1/models", &free).await?.text().contains("paid/"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_15_separate_keys_limit_impact() -> Result<()> {
    let world = World::usual().await?;
    let tight = world
        .key_with(&json!({ "limits": { "rpm": 6 }, "policy": { "models": ["free/echo"], "ips": ["127.0.0.1"] } }))
        .await?;
    let away = world.key_with(&json!({ "policy": { "ips": ["203.0.113.7"] } })).await?;
    let free = world.key("free").await?;
    assert_eq!(world.ask(&tight, "free/echo").await?.status, 200);
    assert_eq!(world.ask(&tight, "free/echo").await?.refusal(), refused(429, "rate_limit_exceeded"));
    assert_eq!(world.ask(&away, "free/echo").await?.refusal(), refused(403, "ip_not_allowed"));
    for model in ["free/echo", "paid/echo", "free/echo", "paid/echo"] {
        let answer = world.ask(&free, model).await?;
        assert_eq!((answer.status, answer.header("x-ratelimit-limit-requests")), (200, ""), "{model}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_refuses_nothing_and_tells_the_record() -> Result<()> {
    let world = World::usual().await?;
    for (shadow, code) in [
        (json!({ "models": ["paid/*"] }), Some("model_not_allowed")),
        (json!({ "endpoints": ["models"] }), Some("endpoint_not_allowed")),
        (json!({ "ips": ["203.0.113.7"] }), Some("ip_not_allowed")),
        (json!({ "models": ["free/*"], "rpm": 600 }), None),
    ] {
        let key = world.key_with(&json!({ "shadow": shadow })).await?;
        let answer = world.ask(&key, "free/echo").await?;
        assert_eq!((answer.status, answer.header("x-ratelimit-limit-requests")), (200, ""), "{shadow}");
        let record = world.record(answer.header("x-request-id")).await?;
        assert_eq!(record["would_refuse"].as_str(), code, "{shadow}");
        assert_eq!(record["outcome"], "complete");
    }
    let key = world.key_with(&json!({ "shadow": { "rpm": 6 } })).await?;
    let mut would = Vec::new();
    for _ in 0..3 {
        let answer = world.ask(&key, "free/echo").await?;
        assert_eq!(answer.status, 200);
        would.push(world.record(answer.header("x-request-id")).await?["would_refuse"].clone());
    }
    assert_eq!(would, [Value::Null, json!("rate_limit_exceeded"), json!("rate_limit_exceeded")]);
    Ok(())
}
