//! Keys presented to somebody else: verified for other services, ended by whoever holds them, read by themselves.

use claviger_e2e::{Plan, Result, World, chat};
use serde_json::{Value, json};

async fn made(world: &World, body: Value) -> Result<(String, String)> {
    let key = world.create_key(&body).await?;
    let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    Ok((text("id"), text("value")))
}

/// What verify says, in two words.
async fn said(world: &World, body: Value) -> Result<(String, String)> {
    let answer = world.client.post("/v1/keys/verify", &world.admin_key, &body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let data = &answer.json()["data"];
    assert_eq!(data["valid"] == true, data["code"] == "VALID", "{data}");
    let word = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    Ok((word("code"), word("detail")))
}

fn words(code: &str, detail: &str) -> (String, String) {
    (code.to_owned(), detail.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn w45_other_services_ask_whether_a_key_is_good() -> Result<()> {
    let world = World::usual().await?;
    let policy = json!({
        "ips": ["203.0.113.0/24"], "models": ["free/*"], "endpoints": ["chat.completions"],
    });
    let body = json!({ "name": "asked", "source_tag": "shop", "limits": { "rpm": 1, "burst": 2 }, "policy": policy });
    let (id, key) = made(&world, body).await?;
    let ask = json!({
        "key": key, "model": "free/echo", "ip": "203.0.113.9", "permissions": ["chat.completions"], "tags": ["a=b"],
    });
    let verified = world.client.post("/v1/keys/verify", &world.admin_key, &ask).await?.json();
    let data = &verified["data"];
    assert_eq!(
        (&data["valid"], &data["code"], &data["keyId"]),
        (&json!(true), &json!("VALID"), &json!(id)),
        "{verified}"
    );
    assert_eq!((&data["name"], &data["enabled"], &data["expires"]), (&json!("asked"), &json!(true), &Value::Null));
    assert_eq!(data["meta"]["source_tag"], "shop");
    let requests = &data["ratelimits"][0];
    assert_eq!((&requests["limit"], &requests["remaining"]), (&json!(1), &json!(1)), "one of the rate is taken");
    assert!(verified["meta"]["requestId"].as_str().unwrap_or_default().starts_with("req_"));

    // What costs nothing takes nothing, and says when nothing is left.
    let free = |more: Value| {
        let mut body = json!({ "key": key, "credits": { "cost": 0 } });
        body.as_object_mut().into_iter().for_each(|body| body.extend(more.as_object().cloned().unwrap_or_default()));
        body
    };
    for _ in 0..3 {
        assert_eq!(said(&world, free(json!({}))).await?.0, "VALID");
    }
    for (more, code, detail) in [
        (json!({ "ip": "198.51.100.1" }), "FORBIDDEN", "ip_not_allowed"),
        (json!({ "model": "paid/echo" }), "INSUFFICIENT_PERMISSIONS", "model_not_allowed"),
        (json!({ "model": "nobody/knows" }), "INSUFFICIENT_PERMISSIONS", "model_not_found"),
        (json!({ "permissions": ["embeddings"] }), "INSUFFICIENT_PERMISSIONS", "endpoint_not_allowed"),
        (json!({ "permissions": "keys.verify" }), "INSUFFICIENT_PERMISSIONS", "permission_denied"),
        (json!({ "permissions": ["documents.read"] }), "INSUFFICIENT_PERMISSIONS", "permission_denied"),
        (json!({ "key": world.admin_key, "model": "free/echo" }), "INSUFFICIENT_PERMISSIONS", "inference_key_required"),
    ] {
        assert_eq!(said(&world, free(more.clone())).await?, words(code, detail), "{more}");
    }
    assert_eq!(said(&world, json!({ "key": key })).await?.0, "VALID");
    assert_eq!(said(&world, json!({ "key": key })).await?, words("RATE_LIMITED", "rate_limit_exceeded"));
    assert_eq!(said(&world, free(json!({}))).await?, words("RATE_LIMITED", "rate_limit_exceeded"));
    let refused = world.client.post("/v1/keys/verify", &key, &json!({ "key": key })).await?;
    assert_eq!(refused.status, 403, "this key may not verify others: {}", refused.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn w45_states_are_told_and_what_is_no_key_is_unknown() -> Result<()> {
    let world = Plan::default().without_credit().start().await?;
    let (id, key) = made(&world, json!({ "name": "asked" })).await?;
    assert_eq!(said(&world, json!({ "key": key })).await?, words("USAGE_EXCEEDED", "insufficient_quota"));
    assert_eq!(said(&world, json!({ "key": key, "model": "free/echo" })).await?.0, "VALID");
    world.grant("5").await?;
    assert_eq!(said(&world, json!({ "key": key })).await?.0, "VALID");
    let path = format!("/v1/organization/api_keys/{id}");
    world.client.post(&format!("{path}/disable"), &world.admin_key, &json!({})).await?;
    assert_eq!(said(&world, json!({ "key": key })).await?, words("DISABLED", "key_disabled"));
    world.client.post(&format!("{path}/enable"), &world.admin_key, &json!({})).await?;
    world.revoke(&id).await?;
    assert_eq!(said(&world, json!({ "key": key })).await?, words("NOT_FOUND", "key_revoked"));

    let body = |key: &str| json!({ "key": key });
    let bare = |text: String| {
        let mut told: Value = serde_json::from_str(&text).unwrap_or_default();
        told["meta"] = Value::Null;
        told
    };
    let unknown = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
    let nobody = world.client.post("/v1/keys/verify", &world.admin_key, &body(unknown)).await?;
    assert_eq!(bare(nobody.text())["data"], json!({ "valid": false, "code": "NOT_FOUND" }));
    for text in ["garbage", &"a".repeat(10_000)] {
        let answer = world.client.post("/v1/keys/verify", &world.admin_key, &body(text)).await?;
        assert_eq!(bare(answer.text()), bare(nobody.text()), "{text:.20}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn w45_a_key_of_another_organization_is_as_unknown_as_none() -> Result<()> {
    let world = World::usual().await?;
    world.claviger(&["organizations", "create", "Second"]).await?;
    let theirs = world.claviger(&["keys", "create", "theirs", "--organization", "second"]).await?;
    let theirs = theirs.trim();
    let listed = world.client.get("/v1/models", theirs).await?;
    assert_eq!(listed.status, 200, "it is a good key: {}", listed.text());
    let unknown = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
    let mut told = Vec::new();
    for text in [theirs, unknown] {
        let answer = world.client.post("/v1/keys/verify", &world.admin_key, &json!({ "key": text })).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        told.push(answer.json()["data"].to_string());
    }
    assert_eq!(told[0], json!({ "valid": false, "code": "NOT_FOUND" }).to_string());
    assert_eq!(told[0], told[1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_13_who_uses_a_key_is_listed_by_network_client_and_secret() -> Result<()> {
    let world = World::usual().await?;
    let (id, first) = made(&world, json!({ "name": "asked" })).await?;
    let rotate = format!("/v1/organization/api_keys/{id}/rotate");
    let rotated = world.client.post(&rotate, &world.admin_key, &json!({ "overlap_seconds": 3600 })).await?.json();
    let second = rotated["value"].as_str().unwrap_or_default().to_owned();
    let ask = |key: &str, agent: &str| {
        let headers =
            [("Authorization".to_owned(), format!("Bearer {key}")), ("User-Agent".to_owned(), agent.to_owned())];
        let client = &world.client;
        async move {
            let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            headers.push(("Content-Type", "application/json"));
            client.send("POST", "/v1/chat/completions", &headers, chat("free/echo").to_string().as_bytes()).await
        }
    };
    for (key, agent) in [(&first, "OpenAI/Python 1.109.1"), (&second, "curl/8.5.0"), (&second, "curl/8.5.0")] {
        assert_eq!(ask(key, agent).await?.status, 200);
    }
    let path = format!("/v1/organization/api_keys/{id}/callers");
    let mut callers = Vec::new();
    // A batch is written every ten seconds.
    for _ in 0..150 {
        let listed = world.client.get(&path, &world.admin_key).await?.json();
        callers = listed["data"].as_array().cloned().unwrap_or_default();
        let requests: u64 = callers.iter().filter_map(|caller| caller["requests"].as_u64()).sum();
        if requests == 3 && callers.iter().all(|caller| !caller["last_status"].is_null()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    callers.sort_by_key(|caller| caller["client"].to_string());
    let told: Vec<_> = callers.iter().map(|caller| (caller["client"].as_str(), caller["requests"].as_u64())).collect();
    assert_eq!(told, [(Some("OpenAI/Python"), Some(1)), (Some("curl/8.5.0"), Some(2))], "{callers:?}");
    for caller in &callers {
        assert_eq!((&caller["network"], &caller["last_status"]), (&json!("127.0.0.0/24"), &json!(200)), "{caller}");
        assert_eq!(caller["last_model"], "free/echo");
    }
    assert_ne!(callers[0]["secret_id"], callers[1]["secret_id"], "each secret has its own");
    let shown = world.claviger(&["keys", "callers", "asked"]).await?;
    assert!(shown.contains("OpenAI/Python") && shown.contains("127.0.0.0/24"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sees_what_it_spent_and_whoever_holds_it_ends_it() -> Result<()> {
    let world = World::usual().await?;
    let (id, key) = made(&world, json!({ "name": "spends" })).await?;
    assert_eq!(world.client.post("/v1/chat/completions", &key, &chat("paid/echo")).await?.status, 200);
    let record = world.records(1).await?.remove(0);
    let charge = record["charge"].as_str().unwrap_or_default().to_owned();
    let own = world.client.get("/v1/key", &key).await?;
    for name in ["usage", "usage_daily", "usage_weekly", "usage_monthly"] {
        assert!(own.text().contains(&format!("\"{name}\":{charge},")), "{name} {charge}: {}", own.text());
    }
    assert_eq!(own.json()["data"]["id"], json!(id));
    let ended = world.client.post("/v1/key/revoke", &key, &json!({ "reason": "it was in a screenshot" })).await?;
    assert_eq!((ended.status, ended.json()["epoch"].is_i64()), (200, true), "{}", ended.text());
    let refused = world.client.post("/v1/chat/completions", &key, &chat("free/echo")).await?;
    assert_eq!(refused.refusal(), (401, "key_revoked".to_owned()), "not once more after the answer");
    let read = world.client.get(&format!("/v1/organization/api_keys/{id}"), &world.admin_key).await?.json();
    assert_eq!(read["state_changed"]["reason"], "compromised");
    Ok(())
}
