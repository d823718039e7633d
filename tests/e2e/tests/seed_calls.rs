//! Seed checks about calls: the snippets of the five documents with host and key swapped, by curl and the official SDKs.
//! The ids in the names are those of the seed checks.

use claviger_e2e::{Result, World, node, python};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

const PYTHONS: [&str; 3] = ["openai-1", "openai-2", "openai-3"];

#[tokio::test(flavor = "multi_thread")]
async fn s0_2_s1_1_keys_belong_to_the_account_and_calls_bill_its_balance() -> Result<()> {
    let world = World::usual().await?;
    let before = world.balance().await?;
    let mut charged = 0;
    for name in ["local dev", "data pipeline"] {
        let key = world.create_key(&json!({ "name": name, "source_tag": "etl" })).await?;
        let body = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }] });
        let answer =
            world.client.post("/v1/chat/completions", key["value"].as_str().unwrap_or_default(), &body).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["usage"]["total_tokens"], 7);
        let record = world.record(answer.header("x-request-id")).await?.to_string();
        assert!(record.contains(key["id"].as_str().unwrap_or_default()), "{record}");
        assert!(record.contains(name) && record.contains("etl"), "{record}");
        charged += claviger_e2e::token_cost(4, 1_000_000_000, 3, 2_000_000_000);
    }
    assert_eq!(before - world.balance().await?, charged);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_9_s2_5_s4_5_the_curl_snippets_work_as_printed() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("local dev").await?;
    let url = format!("{}/v1/chat/completions", world.url);
    let snippets = [
        format!(
            r#"curl -sS {url} \
-H "Authorization: Bearer {key}" \
-H "Content-Type: application/json" \
-d '{{
"model": "meta-llama/Llama-3.1-8B-Instruct",
"messages": [{{"role": "user", "content": "Say hello"}}]
}}'"#
        ),
        format!(
            r#"curl -sS {url} \
-H "Authorization: Bearer {key}" \
-H "Content-Type: application/json" \
-d '{{
"model": "glm-4.7",
"messages": [{{"role": "user", "content": "Hello!"}}]
}}'"#
        ),
    ];
    for (snippet, said) in snippets.iter().zip(["Say hello", "Hello!"]) {
        let output = tokio::process::Command::new("bash").args(["-c", snippet]).output().await?;
        let reply: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(reply["choices"][0]["message"]["content"], said, "{reply}");
        assert!(reply["usage"]["total_tokens"].as_u64().is_some_and(|total| total > 0), "{reply}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_10_ids_with_slashes_work_raw_and_encoded() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("slash").await?;
    let id = "meta-llama/Llama-3.1-8B-Instruct";
    let list = world.client.get("/v1/models", &key).await?.json();
    assert!(list["data"].as_array().into_iter().flatten().any(|item| item["id"] == id), "{list}");
    for path in ["/v1/models/meta-llama/Llama-3.1-8B-Instruct", "/v1/models/meta-llama%2FLlama-3.1-8B-Instruct"] {
        let answer = world.client.get(path, &key).await?;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)), "{path}");
    }
    for venv in PYTHONS {
        let printed = sdk(&world, python(venv, "models.py")?, &key).arg(id).json().await?;
        assert_eq!(printed["retrieved"], id, "{venv}");
        assert_eq!(printed["listed"], true, "{venv}");
    }
    let printed = sdk(&world, node("models.mjs")?, &key).arg(id).json().await?;
    assert_eq!((&printed["retrieved"], &printed["listed"]), (&json!(id), &json!(true)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_12_the_python_snippet_works_on_three_majors() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("snippet").await?;
    for venv in PYTHONS {
        let printed = python(venv, "ecolink.py")?.arg(&key).arg(&format!("{}/v1", world.url)).text().await?;
        assert_eq!(printed, "Say hello", "{venv}");
    }
    assert_eq!(world.upstream.count().await?, PYTHONS.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_13_the_node_snippet_works() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("snippet").await?;
    let printed = node("ecolink.mjs")?.arg(&key).arg(&format!("{}/v1", world.url)).text().await?;
    assert_eq!(printed, "Say hello");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_19_s2_6_sdks_take_key_and_base_from_the_environment() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("environment").await?;
    for venv in PYTHONS {
        assert_eq!(sdk(&world, python(venv, "embercloud.py")?, &key).text().await?, "Hello!", "{venv}");
    }
    assert_eq!(sdk(&world, node("embercloud.mjs")?, &key).text().await?, "Hello!");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_11_a_tenant_id_routes_and_is_echoed_in_model() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("tenant").await?;
    let id = "u-8105f7322477/test";
    let body = json!({ "model": id, "messages": [{ "role": "user", "content": "Hello, model!" }] });
    assert_eq!(world.client.post("/v1/chat/completions", &key, &body).await?.json()["model"], id);
    assert_eq!(world.client.get("/v1/models/u-8105f7322477/test", &key).await?.json()["id"], id);
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = world.client.stream("/v1/chat/completions", &key, &streamed).await?.rest().await?;
    for event in events.iter().filter(|event| *event != "[DONE]") {
        assert_eq!(serde_json::from_str::<Value>(event)?["model"], id, "{event}");
    }
    let seen = world.upstream.seen().await?;
    assert!(seen.iter().all(|request| request.json()["model"] == "tenant-test"), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_13_numbers_reach_the_upstream_as_they_were_written() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("numbers").await?;
    let body = r#"{ "model":"paid/echo" , "messages":[{"role":"user","content":"x"}],"temperature": 0.7, "top_p":1.50e-1,"seed":12345678901234567890, "max_tokens" : 64 }"#;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = world.client.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = world.upstream.seen().await?.first().map(claviger_e2e::Seen::body).unwrap_or_default();
    assert_eq!(sent, body.replace("\"paid/echo\"", "\"echo\""));
    // Without a limit of the caller's own a priced answer is told one (ADR 0008); nothing else changes.
    let unsaid = body.replace(", \"max_tokens\" : 64", "");
    world.client.send("POST", "/v1/chat/completions", &headers, unsaid.as_bytes()).await?;
    let sent = world.upstream.seen().await?.last().map(claviger_e2e::Seen::body).unwrap_or_default();
    let told = unsaid.replacen("{ ", "{\"max_completion_tokens\":16384, ", 1);
    assert_eq!(sent, told.replace("\"paid/echo\"", "\"echo\""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_10_the_model_list_is_a_free_key_check() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("check").await?;
    let before = world.balance().await?;
    let answer = world.client.get("/v1/models", &key).await?;
    let list = answer.json();
    assert_eq!((answer.status, &list["object"], &list["has_more"]), (200, &json!("list"), &json!(false)));
    let ids: Vec<&str> = list["data"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect();
    assert!(ids.contains(&"gpt-4"), "aliases are listed: {ids:?}");
    assert!(!ids.contains(&"unpriced/echo"), "a model without a price is hidden: {ids:?}");
    let item = &list["data"][0];
    assert!(item["object"] == "model" && item["created"].is_u64() && item["owned_by"].is_string(), "{item}");
    assert_eq!((world.balance().await?, world.upstream.count().await?), (before, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_11_an_invalid_key_is_an_authentication_error_in_the_sdks() -> Result<()> {
    let world = World::usual().await?;
    let good = world.create_key(&json!({ "name": "soon revoked" })).await?;
    let revoked = good["value"].as_str().unwrap_or_default().to_owned();
    world.revoke(good["id"].as_str().unwrap_or_default()).await?;
    let disabled = world.create_key(&json!({ "name": "soon disabled" })).await?;
    let path = format!("/v1/organization/api_keys/{}/disable", disabled["id"].as_str().unwrap_or_default());
    assert_eq!(world.client.post(&path, &world.admin_key, &json!({})).await?.status, 200);
    let disabled = disabled["value"].as_str().unwrap_or_default().to_owned();
    let cases = [("sk-wrong", "invalid_api_key"), (revoked.as_str(), "key_revoked"), (&disabled, "key_disabled")];
    for (key, code) in cases {
        let tap = claviger_e2e::Tap::to(world.address()).await?;
        for (name, script) in [
            ("openai-1", python("openai-1", "refused.py")?),
            ("openai-3", python("openai-3", "refused.py")?),
            ("node", node("refused.mjs")?),
        ] {
            let before = tap.requests();
            let base = format!("{}/v1", tap.url());
            let printed = script.env("OPENAI_API_KEY", key).env("OPENAI_BASE_URL", &base).json().await?;
            assert_eq!(printed["class"], "AuthenticationError", "{name}: {printed}");
            assert_eq!(printed["status"], 401, "{name}: {printed}");
            assert_eq!(printed["type"], "authentication_error", "{name}: {printed}");
            assert_eq!(printed["code"], code, "{name}: {printed}");
            assert!(printed["request_id"].as_str().unwrap_or_default().starts_with("req_"), "{name}: {printed}");
            assert_eq!(tap.requests() - before, 1, "{name} repeated a refusal");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_8_sdks_work_with_a_base_that_ends_in_api() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("elacity").await?;
    for base in ["/api", "/api/", "", "/v1/"] {
        let base = format!("{}{base}", world.url);
        let printed = node("elacity.mjs")?.arg(&key).arg(&base).text().await?;
        assert_eq!(printed, "Say hello", "node, {base}");
        let printed = python("openai-3", "ecolink.py")?.arg(&key).arg(&base).text().await?;
        assert_eq!(printed, "Say hello", "python, {base}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_9_a_bad_x_api_key_beats_the_sdks_good_one() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("good").await?;
    let printed = sdk(&world, python("openai-3", "refused.py")?, &key).env("EXTRA_X_API_KEY", "bad").json().await?;
    assert_eq!((&printed["class"], &printed["code"]), (&json!("AuthenticationError"), &json!("invalid_api_key")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_6_s4_7_gpt_names_are_aliases_for_python_and_node() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("pomelo").await?;
    for venv in PYTHONS {
        assert_eq!(sdk(&world, python(venv, "pomelo.py")?, &key).text().await?, "gpt-4: Hello world", "{venv}");
    }
    assert_eq!(sdk(&world, node("pomelo.mjs")?, &key).text().await?, "gpt-3.5-turbo: Hello world");
    let seen = world.upstream.seen().await?;
    assert!(seen.iter().all(|request| request.json()["model"] == "llama-3.1-8b"), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_carry_usage_only_when_asked_and_cost_the_same() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("stream").await?;
    let mut scripts = vec![("node", node("stream.mjs")?)];
    for venv in PYTHONS {
        scripts.push((venv, python(venv, "stream.py")?));
    }
    for (name, script) in scripts {
        let before = world.balance().await?;
        let printed = sdk(&world, script, &key).arg("paid/stream").json().await?;
        let text: String = (1..=12).map(|number| format!("{number:03} ")).collect();
        assert_eq!(printed["plain"]["text"], text, "{name}");
        assert_eq!(printed["asked"]["text"], text, "{name}");
        assert_eq!((&printed["plain"]["usages"], &printed["asked"]["usages"]), (&json!(0), &json!(1)), "{name}");
        let cost = claviger_e2e::token_cost(4, 1_000_000_000, 12, 2_000_000_000);
        assert_eq!(before - world.balance().await?, 2 * cost, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_credit_stops_every_sdk_after_one_request() -> Result<()> {
    let world = claviger_e2e::Plan::default().without_credit().start().await?;
    let key = world.key("broke").await?;
    for (name, script) in [
        ("openai-1", python("openai-1", "refused.py")?),
        ("openai-3", python("openai-3", "refused.py")?),
        ("node", node("refused.mjs")?),
    ] {
        let tap = claviger_e2e::Tap::to(world.address()).await?;
        let base = format!("{}/v1", tap.url());
        let printed = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base).json().await?;
        assert_eq!(
            (&printed["class"], &printed["code"]),
            (&json!("RateLimitError"), &json!("insufficient_quota")),
            "{name}"
        );
        assert_eq!(tap.requests(), 1, "{name}");
    }
    assert_eq!(world.upstream.count().await?, 0);
    Ok(())
}

/// The script with the two variables every SDK reads.
fn sdk(world: &World, script: claviger_e2e::Script, key: &str) -> claviger_e2e::Script {
    script.env("OPENAI_API_KEY", key).env("OPENAI_BASE_URL", &format!("{}/v1", world.url))
}

/// One form with a file of one second, as `curl -F` sends it.
fn spoken(model: &str) -> (String, Vec<u8>) {
    let mut wav =
        b"RIFF\x24\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x40\x1f\0\0".to_vec();
    wav.extend(std::iter::repeat_n(128_u8, 8_000));
    let mut body = format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n").into_bytes();
    body.extend(
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n",
    );
    body.extend(wav);
    body.extend(b"\r\n--b--\r\n");
    ("multipart/form-data; boundary=b".to_owned(), body)
}

/// A model of another server, which ranks.
fn ranking_by(url: &str, key_file: &std::path::Path) -> String {
    format!(
        "\n[[provider]]\nname = \"ranking\"\ndialect = \"vllm\"\nbase_url = \"{url}\"\nkey_file = \"{}\"\n\
         \n[[model]]\nid = \"everything/rank\"\nendpoints = [\"rerank\"]\ncontext = 32768\nmax_output = 1024\n\
         tiers = [[{{ provider = \"ranking\", model = \"sim-rerank\" }}]]\n\
         \n[[price]]\nmodel = \"everything/rank\"\nmeter = \"search_unit\"\nsell = \"0.002\"\n",
        key_file.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_11_one_key_opens_all_seven_endpoints_and_each_is_metered() -> Result<()> {
    // No one kind of server makes all seven.
    let folder = tempfile::TempDir::new()?;
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "sk-of-the-ranking-server")?;
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600))?;
    let ranking = claviger_e2e::Upstream::start(folder.path(), "ranking", "vllm", &key_file, None).await?;
    let world = claviger_e2e::Plan::default().more(&ranking_by(ranking.url(), &key_file)).start().await?;
    let key = world.key("everything").await?;
    let bearer = format!("Bearer {key}");
    let json_type = || "application/json".to_owned();
    let (form_type, form) = spoken("paid/hear");
    let body = |value: Value| (json_type(), value.to_string().into_bytes());
    let chat = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }] });
    let calls = [
        ("/v1/chat/completions", "chat.completions", body(chat)),
        ("/v1/embeddings", "embeddings", body(json!({ "model": "paid/embed", "input": "Say hello" }))),
        ("/v1/images/generations", "images", body(json!({ "model": "paid/draw", "prompt": "a cat" }))),
        (
            "/v1/audio/speech",
            "audio.speech",
            body(json!({ "model": "paid/say", "input": "hi", "voice": "alloy", "response_format": "wav" })),
        ),
        ("/v1/audio/transcriptions", "audio.transcriptions", (form_type, form)),
        (
            "/v1/video/generations",
            "video",
            body(json!({ "model": "paid/film", "prompt": "a cat", "sim": { "first_ms": 0 } })),
        ),
        ("/v1/rerank", "rerank", body(json!({ "model": "everything/rank", "query": "cat", "documents": ["a cat"] }))),
    ];
    for (path, endpoint, (content_type, bytes)) in calls {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type.as_str())];
        let answer = world.client.send("POST", path, &headers, &bytes).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let record = world.record(answer.header("x-request-id")).await?;
        assert_eq!(record["endpoint"], endpoint, "{record}");
        assert!(record["charge"].as_str().is_some_and(|charge| charge > "0.000000000"), "{path}: {record}");
    }
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_17_several_host_names_serve_one_gateway() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("regions").await?;
    let bearer = format!("Bearer {key}");
    let body = json!({ "model": "u-8105f7322477/test", "messages": [{ "role": "user", "content": "Say hello" }] });
    for host in ["api-eu.example.com", "api-us.example.com:8443", "10.1.2.3", "localhost"] {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("host", host)];
        let answer = world.client.send("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes()).await?;
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("u-8105f7322477/test")), "{host}");
    }
    assert_eq!(world.records(4).await?.len(), 4);
    Ok(())
}
