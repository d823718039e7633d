//! Seed checks about keys themselves: text, both headers, what is shown once, what a wrong one gets.
//! The ids in the names are those of the seed checks.

use claviger_e2e::{Plan, Result, World, chat};
use serde_json::{Value, json};

/// Every endpoint that a key can open, with its method; management rows get any id.
const ENDPOINTS: &[(&str, &str)] = &[
    ("POST", "/v1/chat/completions"),
    ("POST", "/chat/completions"),
    ("POST", "/api/chat/completions"),
    ("POST", "/api/v1/chat/completions"),
    ("POST", "/openai/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/meta-llama/Llama-3.1-8B-Instruct"),
    ("GET", "/v1/key"),
    ("GET", "/v1/credits"),
    ("GET", "/v1/organization/api_keys"),
    ("POST", "/v1/organization/api_keys"),
    ("DELETE", "/v1/organization/api_keys/key_000000000000"),
    ("GET", "/v1/organization/projects"),
    ("GET", "/v1/organization/credits"),
    ("GET", "/v1/organization/usage/completions"),
    ("GET", "/v1/organization/requests"),
];

#[tokio::test(flavor = "multi_thread")]
async fn s0_1_s2_1_s3_1_s4_1_every_endpoint_needs_a_key() -> Result<()> {
    let world = World::usual().await?;
    for (method, path) in ENDPOINTS {
        let headers = [("content-type", "application/json")];
        let body = if *method == "POST" { chat("free/echo").to_string() } else { String::new() };
        let answer = world.client.send(method, path, &headers, body.as_bytes()).await?;
        assert_eq!(answer.refusal(), (401, "missing_api_key".to_owned()), "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"api\"", "{method} {path}");
        assert_eq!(answer.header("x-claviger-code"), "missing_api_key", "{method} {path}");
        assert!(answer.header("x-request-id").starts_with("req_"), "{method} {path}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error", "{method} {path}");
    }
    assert_eq!(world.upstream.count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_6_s0_8_s1_4_s2_3_s3_4_s4_4_a_key_is_shown_once_and_lies_nowhere() -> Result<()> {
    let mut world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "production backend" })).await?;
    let (id, value) = (key["id"].as_str().unwrap_or_default().to_owned(), key["value"].as_str().unwrap_or_default());
    let secret = value.rsplit('_').next().unwrap_or_default().to_owned();
    assert_eq!(world.client.post("/v1/chat/completions", value, &chat("paid/echo")).await?.status, 200);

    for path in [format!("/v1/organization/api_keys/{id}"), "/v1/organization/api_keys".to_owned()] {
        let answer = world.client.get(&path, &world.admin_key).await?;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().contains("production backend"), "{path}");
        assert!(!answer.text().contains(&secret), "{path} gives the secret again");
        assert!(!answer.text().contains("\"value\""), "{path} has a value");
    }
    let shown = world.client.get(&format!("/v1/organization/api_keys/{id}"), &world.admin_key).await?.json();
    let last_four = &secret[secret.len() - 4..];
    assert!(shown["redacted_value"].as_str().unwrap_or_default().ends_with(last_four), "{shown}");
    let own = world.client.get("/v1/key", value).await?;
    assert!(own.status == 200 && !own.text().contains(&secret), "{}", own.text());

    world.server.stop().await?;
    let half = &secret[..24];
    for entry in walk(world.folder.path())? {
        let bytes = std::fs::read(&entry)?;
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(half), "{} holds the secret", entry.display());
    }
    Ok(())
}

fn walk(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(walk(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_7_keys_begin_with_the_operators_prefix() -> Result<()> {
    let world = Plan::default().prefix("eco_").start().await?;
    let key = world.key("local dev").await?;
    assert!(key.starts_with("eco_"), "{key}");
    let (id, secret) = key["eco_".len()..].split_once('_').unwrap_or_default();
    assert_eq!((id.len(), secret.len()), (12, 49));
    assert!(key["eco_".len()..].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    assert_eq!(world.client.post("/v1/chat/completions", &key, &chat("free/echo")).await?.status, 200);
    let other = key.replacen("eco_", "clv_", 1);
    let answer = world.client.post("/v1/chat/completions", &other, &chat("free/echo")).await?;
    assert_eq!(answer.refusal(), (401, "invalid_api_key".to_owned()));
    assert!(answer.text().contains("Keys here start with 'eco_'."), "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_9_s1_10_an_sk_key_with_underscores_works_in_the_seeds_curl() -> Result<()> {
    let world = Plan::default().prefix("sk-").start().await?;
    let key = world.key("test-key").await?;
    assert!(key.starts_with("sk-") && key.contains('_'), "{key}");
    let printed = curl(&[
        &format!("{}/v1/chat/completions", world.url),
        "-H",
        "Content-Type: application/json",
        "-H",
        &format!("Authorization: Bearer {key}"),
        "-d",
        r#"{
    "model": "u-8105f7322477/test",
    "messages": [{"role": "user", "content": "Hello, model!"}],
    "temperature": 0.7
  }"#,
    ])
    .await?;
    let reply: Value = serde_json::from_str(&printed)?;
    assert_eq!(reply["choices"][0]["message"]["content"], "Hello, model!");
    assert_eq!(reply["model"], "u-8105f7322477/test");
    Ok(())
}

async fn curl(arguments: &[&str]) -> Result<String> {
    let output = tokio::process::Command::new("curl").args(["-sS"]).args(arguments).output().await?;
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_5_s3_6_both_headers_open_every_endpoint() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("ci-deploy").await?;
    let calls: &[(&str, &str, &str)] = &[
        ("POST", "/v1/chat/completions", &key),
        ("POST", "/api/chat/completions", &key),
        ("GET", "/v1/models", &key),
        ("GET", "/v1/models/paid/echo", &key),
        ("GET", "/v1/key", &key),
        ("GET", "/v1/credits", &key),
        ("GET", "/v1/organization/api_keys", &world.admin_key),
        ("GET", "/v1/organization/projects", &world.admin_key),
        ("GET", "/v1/organization/credits", &world.admin_key),
        ("GET", "/v1/organization/requests", &world.admin_key),
    ];
    for (method, path, key) in calls {
        let body = if *method == "POST" { chat("free/echo").to_string() } else { String::new() };
        for (name, value) in [("x-api-key", (*key).to_owned()), ("authorization", format!("Bearer {key}"))] {
            let headers = [(name, value.as_str()), ("content-type", "application/json")];
            let answer = world.client.send(method, path, &headers, body.as_bytes()).await?;
            assert_eq!(answer.status, 200, "{method} {path} with {name}: {}", answer.text());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_9_x_api_key_wins_over_bearer_without_fallback() -> Result<()> {
    let world = World::usual().await?;
    let (a, b) = (world.create_key(&json!({ "name": "a" })).await?, world.create_key(&json!({ "name": "b" })).await?);
    let text = |key: &Value| key["value"].as_str().unwrap_or_default().to_owned();
    let call = async |first: &str, second: &str| {
        let bearer = format!("Bearer {second}");
        let headers = [("x-api-key", first), ("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = chat("paid/echo").to_string();
        world.client.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await
    };
    assert_eq!(call(&text(&a), "garbage").await?.status, 200);
    assert_eq!(call("garbage", &text(&b)).await?.refusal(), (401, "invalid_api_key".to_owned()));
    assert_eq!(call("", &text(&b)).await?.refusal(), (401, "missing_api_key".to_owned()));
    let answer = call(&text(&a), &text(&b)).await?;
    assert_eq!(answer.status, 200);
    let record = world.record(answer.header("x-request-id")).await?;
    assert!(record.to_string().contains(a["id"].as_str().unwrap_or_default()), "billed to the X-API-Key: {record}");
    assert!(!record.to_string().contains(b["id"].as_str().unwrap_or_default()), "{record}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_10_s2_11_a_missing_or_wrong_key_is_401() -> Result<()> {
    let world = World::usual().await?;
    let good = world.key("good").await?;
    let truncated = &good[..good.len() - 3];
    let other_prefix = good.replacen("clv_", "eco_", 1);
    let long = format!("Bearer clv_{}", "a".repeat(10_000));
    let cases: Vec<(Vec<(&str, String)>, &str)> = vec![
        (vec![], "missing_api_key"),
        (vec![("authorization", "Bearer".to_owned())], "missing_api_key"),
        (vec![("authorization", "Bearer ".to_owned())], "missing_api_key"),
        (vec![("x-api-key", String::new())], "missing_api_key"),
        (vec![("authorization", format!("Basic {good}"))], "missing_api_key"),
        (vec![("authorization", "Bearer garbage".to_owned())], "invalid_api_key"),
        (vec![("authorization", format!("Bearer {truncated}"))], "invalid_api_key"),
        (vec![("authorization", format!("Bearer {other_prefix}"))], "invalid_api_key"),
        (vec![("authorization", long)], "invalid_api_key"),
        (vec![("x-api-key", "' OR '1'='1".to_owned())], "invalid_api_key"),
    ];
    for (headers, code) in cases {
        let mut all: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.push(("content-type", "application/json"));
        let body = chat("paid/echo").to_string();
        let answer = world.client.send("POST", "/v1/chat/completions", &all, body.as_bytes()).await?;
        assert_eq!(answer.refusal(), (401, code.to_owned()), "{headers:?}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        let expected = match code {
            "missing_api_key" => "Bearer realm=\"api\"",
            _ => "Bearer realm=\"api\", error=\"invalid_token\"",
        };
        assert_eq!(answer.header("www-authenticate"), expected);
    }
    assert_eq!(world.upstream.count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_401_bodies_are_byte_exact() -> Result<()> {
    let world = World::usual().await?;
    let missing = world.client.send("GET", "/v1/models", &[], b"").await?;
    assert_eq!(
        missing.text(),
        r#"{"error":{"message":"You didn't provide an API key. Send 'Authorization: Bearer YOUR_API_KEY' or 'X-API-Key: YOUR_API_KEY'.","type":"authentication_error","param":null,"code":"missing_api_key"}}"#
    );
    let key = world.create_key(&json!({ "name": "golden" })).await?;
    let value = key["value"].as_str().unwrap_or_default();
    world.revoke(key["id"].as_str().unwrap_or_default()).await?;
    let revoked = world.client.get("/v1/models", value).await?;
    let last_four = &value[value.len() - 4..];
    let start = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: clv_****{last_four}. This key was revoked on 20"#
    );
    assert!(revoked.text().starts_with(&start), "{}", revoked.text());
    assert!(revoked.text().ends_with(r#".","type":"authentication_error","param":null,"code":"key_revoked"}}"#));
    let model = world.client.post("/v1/chat/completions", &world.key("m").await?, &chat("x/y")).await?;
    assert_eq!(
        (model.status, model.text().as_str()),
        (
            404,
            r#"{"error":{"message":"The model `x/y` does not exist or you do not have access to it.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
        )
    );
    Ok(())
}
