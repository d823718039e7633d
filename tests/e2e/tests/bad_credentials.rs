//! Rows 25 to 39 of the table of bad inputs: credentials and paths.
//!
//! Not here: rows 34 and 35, which are in `limits.rs`; row 33 (suspending an organization is the operator's act, whose
//! tests have it); and the foreign id of row 39, which the storage and control suites compare with an unknown one.

use claviger_e2e::{Answer, Raw, Result, World};
use serde_json::{Value, json};
use std::time::Duration;

fn chat() -> String {
    json!({ "model": "free/echo", "messages": [{ "role": "user", "content": "hi" }] }).to_string()
}

async fn call(world: &World, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut all = headers.to_vec();
    all.push(("content-type", "application/json"));
    world.client.send("POST", path, &all, chat().as_bytes()).await
}

async fn assert_refused(
    world: &World,
    name: &str,
    headers: &[(&str, &str)],
    status: u16,
    code: &str,
) -> Result<Answer> {
    let answer = call(world, "/v1/chat/completions", headers).await?;
    assert_eq!(answer.refusal(), (status, code.to_owned()), "{name}: {}", answer.text());
    assert_eq!(answer.header("x-claviger-code"), code, "{name}");
    assert!(answer.header("x-request-id").starts_with("req_"), "{name}");
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_25_to_27_which_credential_counts() -> Result<()> {
    let world = World::usual().await?;
    let good = world.key("good").await?;
    let bearer = format!("Bearer {good}");
    let (bearer, good) = (bearer.as_str(), good.as_str());
    for (name, headers) in [
        ("none", vec![]),
        ("Bearer alone", vec![("authorization", "Bearer")]),
        ("empty X-API-Key", vec![("x-api-key", "")]),
        ("api-key is not read", vec![("api-key", good)]),
        ("x-goog-api-key is not read", vec![("x-goog-api-key", good)]),
        ("a cookie is not read", vec![("cookie", good)]),
        ("empty X-API-Key beside a good Bearer", vec![("x-api-key", ""), ("authorization", bearer)]),
    ] {
        let answer = assert_refused(&world, &format!("row 25/27, {name}"), &headers, 401, "missing_api_key").await?;
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"api\"", "{name}");
        assert!(answer.text().contains("You didn't provide an API key"), "{name}");
    }
    for (name, headers) in [
        ("two Authorization", vec![("authorization", bearer), ("authorization", bearer)]),
        ("two X-API-Key", vec![("x-api-key", good), ("x-api-key", good)]),
        ("two unequal", vec![("x-api-key", good), ("x-api-key", "other")]),
        ("beside the other kind", vec![("x-api-key", good), ("authorization", bearer), ("authorization", "Bearer x")]),
    ] {
        assert_refused(&world, &format!("row 26, {name}"), &headers, 400, "multiple_credentials").await?;
    }
    let wrong = [("x-api-key", "bad"), ("authorization", bearer)];
    assert_refused(&world, "row 27, bad X-API-Key", &wrong, 401, "invalid_api_key").await?;
    let right = [("x-api-key", good), ("authorization", "Bearer bad")];
    assert_eq!(call(&world, "/v1/chat/completions", &right).await?.status, 200, "row 27, good X-API-Key");
    let named = [("authorization", bearer), ("connection", "authorization")];
    assert_refused(&world, "row 60", &named, 400, "invalid_connection_header").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_28_a_key_in_the_url_is_refused_and_not_logged() -> Result<()> {
    let world = World::usual().await?;
    let good = world.key("url").await?;
    let bearer = format!("Bearer {good}");
    for query in [
        "api_key=x",
        "key=x",
        "token=x",
        "access_token=x",
        "apikey=x",
        "api-key=x",
        "a=b&key=x",
        &format!("page={good}"),
    ] {
        for headers in [vec![], vec![("authorization", bearer.as_str())]] {
            let answer = call(&world, &format!("/v1/chat/completions?{query}"), &headers).await?;
            assert_eq!(answer.refusal(), (400, "credential_in_url".to_owned()), "row 28, {query}");
            assert!(!answer.text().contains(&good), "row 28, {query}");
        }
    }
    let secret = good.rsplit('_').next().unwrap_or_default();
    assert!(!world.server.output().contains(secret), "row 28: the value reaches no log");
    assert_eq!(world.upstream.count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_29_to_31_schemes_shapes_and_strangers() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("good").await?;
    for scheme in ["bearer", "BEARER", "Bearer  ", "bEaReR"] {
        let value = format!("{scheme} {key}");
        assert_eq!(
            call(&world, "/v1/chat/completions", &[("authorization", &value)]).await?.status,
            200,
            "row 29, {scheme}"
        );
    }
    for value in [format!("Basic {key}"), format!("Token {key}"), key.clone()] {
        let answer = assert_refused(&world, "row 29", &[("authorization", &value)], 401, "missing_api_key").await?;
        assert!(!answer.header("www-authenticate").contains("Basic"), "row 29");
    }
    let flipped =
        if key.ends_with('0') { format!("{}1", &key[..key.len() - 1]) } else { format!("{}0", &key[..key.len() - 1]) };
    let long = "k".repeat(10_000);
    for value in ["' OR '1'='1", &flipped, &long, "sk-proj-abcdefghijklmnopqrstuvwxyz"] {
        let answer = assert_refused(&world, "row 30", &[("x-api-key", value)], 401, "invalid_api_key").await?;
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"api\", error=\"invalid_token\"");
        assert!(answer.text().contains("Incorrect API key provided"), "row 30: {}", answer.text());
        assert!(!answer.text().contains(value), "row 30: the text is not repeated");
    }
    for bytes in [&b"\x80\xff\xfe\xc3\x28"[..], "１２３４５６７８９０".as_bytes()] {
        let mut connection = Raw::connect(world.address()).await?;
        let mut head = format!("GET /v1/models HTTP/1.1\r\nHost: {}\r\nX-API-Key: ", world.address()).into_bytes();
        head.extend_from_slice(bytes);
        head.extend_from_slice(b"\r\n\r\n");
        connection.send(head).await?;
        let answer = connection.answer().await?;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"), "row 30, bytes");
    }
    let (id, secret) = key["clv_".len()..].split_once('_').unwrap_or_default();
    let other = if secret.starts_with('a') { 'b' } else { 'a' };
    let wrong_secret = with_checksum(&format!("clv_{id}_{other}{}", &secret[1..43]));
    let unknown_id = with_checksum(&format!("clv_{}_{}", "0".repeat(12), &secret[..43]));
    assert_eq!(with_checksum(&key[..key.len() - 6]), key, "the checksum is the one of keys");
    let mut bodies = Vec::new();
    for value in [&wrong_secret, &unknown_id] {
        let answer = assert_refused(&world, "row 31", &[("x-api-key", value)], 401, "invalid_api_key").await?;
        bodies.push(answer.text().replace(&value[value.len() - 4..], "LAST"));
    }
    assert_eq!(bodies.first(), bodies.last(), "row 31: identical");
    assert!(bodies.concat().contains("No key of this server matches it."), "row 31: {bodies:?}");
    Ok(())
}

/// The text with its checksum: CRC-32 (IEEE) of everything before it, in base62, left-padded to six.
fn with_checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let (mut rest, mut digits) = (!crc, Vec::new());
    for _ in 0..6 {
        let digits62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        digits.push(char::from(digits62[usize::try_from(rest % 62).unwrap_or(0)]));
        rest /= 62;
    }
    format!("{text}{}", digits.iter().rev().collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_32_an_expired_key_is_refused_with_its_reason() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "short", "expires_in_seconds": 60 })).await?;
    let value = key["value"].as_str().unwrap_or_default();
    assert_eq!(world.client.get("/v1/models", value).await?.status, 200);
    tokio::time::sleep(Duration::from_secs(62)).await;
    let answer = world.client.get("/v1/models", value).await?;
    assert_eq!(answer.refusal(), (401, "key_expired".to_owned()));
    assert!(answer.text().contains("Incorrect API key provided: clv_****"), "{}", answer.text());
    assert!(answer.text().contains("This key expired at 20"), "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_35_and_36_forwarded_addresses_and_key_classes() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("inference").await?;
    let bearer = format!("Bearer {key}");
    let hops = vec!["10.0.0.1"; 1_000].join(", ");
    for value in [hops.as_str(), "garbage", "::ffff:10.0.0.1", "fe80::1%eth0"] {
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", value)];
        assert_eq!(call(&world, "/v1/chat/completions", &headers).await?.status, 200, "row 35: ignored");
    }
    let answer = world.client.get("/v1/organization/api_keys", &key).await?;
    assert_eq!(answer.refusal(), (403, "admin_key_required".to_owned()), "row 36");
    let answer =
        world.client.post("/v1/chat/completions", &world.admin_key, &serde_json::from_str::<Value>(&chat())?).await?;
    assert_eq!(answer.refusal(), (403, "inference_key_required".to_owned()), "row 36");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_37_to_39_paths_and_ids() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("paths").await?;
    let head = format!("Host: {}\r\nAuthorization: Bearer {key}", world.address());
    let json_head = format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {}", chat().len());
    let ask = async |path: &str| {
        let mut connection = Raw::connect(world.address()).await?;
        connection.send(format!("POST {path} HTTP/1.1\r\n{json_head}\r\n\r\n{}", chat())).await?;
        connection.answer().await
    };
    for path in [
        "/v1/../x",
        "/v1/../v1/chat/completions",
        "/v1/%2e%2e/chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions%00",
        "/v1/chat/completions;x=1",
        "/v1/chat/completiöns",
        "/v1\\chat\\completions",
        "/V1/chat/completions",
        "/v1/chat/completions#x",
        "/v2/chat/completions",
    ] {
        let answer = ask(path).await.map_err(|error| error.context(path.to_owned()))?;
        assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_url"), "row 37, {path}");
    }
    let answer = ask("/v1/chat completions").await?;
    assert_eq!((answer.status, answer.body.as_str()), (400, ""), "row 37, a space");
    for path in ["//v1//chat/completions", "/v1/chat/completions/", "/v1/chat//completions/"] {
        assert_eq!(ask(path).await?.status, 200, "row 37, {path}");
    }
    for path in ["/v1/files", "/v1/fine_tuning/jobs", "/v1/assistants"] {
        let answer = ask(path).await?;
        assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_url"), "row 38, {path}");
        assert!(answer.body.contains(&format!("Invalid URL (POST {path})")), "row 38: {}", answer.body);
    }
    let mut bodies = Vec::new();
    for id in ["key_000000000000", "key_x", "nonsense"] {
        let answer = world.client.get(&format!("/v1/organization/api_keys/{id}"), &world.admin_key).await?;
        assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "row 39, {id}");
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "row 39: byte-equal");
    assert_eq!(
        bodies[0],
        r#"{"error":{"message":"Not found.","type":"invalid_request_error","param":null,"code":"not_found"}}"#
    );
    Ok(())
}

/// Digits, as one: dates differ from run to run.
fn shape(text: &str) -> String {
    text.chars().map(|symbol| if symbol.is_ascii_digit() { '0' } else { symbol }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_known_key_has_its_documented_message() -> Result<()> {
    let world = World::usual().await?;
    let made = async |body: Value| -> Result<(String, String)> {
        let key = world.create_key(&body).await?;
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        Ok((format!("/v1/organization/api_keys/{}", text("id")), text("value")))
    };
    let act = async |path: String, body: Value| {
        let answer = world.client.post(&path, &world.admin_key, &body).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        Ok::<_, anyhow::Error>(())
    };
    let told = async |value: &str| {
        let bearer = format!("Bearer {value}");
        let answer = call(&world, "/v1/chat/completions", &[("authorization", &bearer)]).await?;
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        let (status, code) = answer.refusal();
        Ok::<_, anyhow::Error>((status, code, shape(&message)))
    };
    let refused = |value: &str, code: &str, reason: &str| {
        let mask = format!("clv_****{}", &value[value.len() - 4..]);
        (401, code.to_owned(), shape(&format!("Incorrect API key provided: {mask}. {reason}")))
    };

    let (disabled, value) = made(json!({ "name": "disabled" })).await?;
    act(format!("{disabled}/disable"), json!({})).await?;
    let reason = "This key is disabled; an administrator of its organization can enable it.";
    assert_eq!(told(&value).await?, refused(&value, "key_disabled", reason));
    let (rotated, value) = made(json!({ "name": "rotated" })).await?;
    act(format!("{rotated}/rotate"), json!({ "overlap_seconds": 0 })).await?;
    let reason = "This secret was replaced on 2026-11-21; use the key's current one.";
    assert_eq!(told(&value).await?, refused(&value, "key_revoked", reason));
    let (revoked, value) = made(json!({ "name": "revoked" })).await?;
    act(format!("{revoked}/revoke"), json!({})).await?;
    assert_eq!(told(&value).await?, refused(&value, "key_revoked", "This key was revoked on 2026-11-21."));

    for (name, policy, code, words) in [
        ("address", json!({ "ips": ["203.0.113.0/24"] }), "ip_not_allowed", "000.0.0.0"),
        ("endpoint", json!({ "endpoints": ["models"] }), "endpoint_not_allowed", "chat.completions"),
        ("model", json!({ "models": ["acme/*"] }), "model_not_allowed", "free/echo"),
    ] {
        let (_, value) = made(json!({ "name": name, "policy": policy })).await?;
        let (status, refusal, message) = told(&value).await?;
        assert_eq!((status, refusal.as_str()), (403, code), "{name}");
        assert!(message.contains(words) && !message.contains("000.0.000.0/00"), "{name}: {message}");
    }
    let (_, value) = made(json!({ "name": "viewer", "class": "admin", "role": "viewer" })).await?;
    let denied = world.client.post("/v1/organization/api_keys", &value, &json!({ "name": "x" })).await?;
    assert_eq!(denied.refusal(), (403, "permission_denied".to_owned()));
    for word in ["keys.create", "the role viewer", "owner"] {
        assert!(denied.text().contains(word), "{word}: {}", denied.text());
    }
    Ok(())
}
