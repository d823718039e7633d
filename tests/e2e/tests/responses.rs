//! Responses by OpenAI's official SDKs: what their answers look like, what the upstream is sent, and what it costs.

use claviger_e2e::{Engine, Plan, Result, Script, Upstream, World, node, python, token_cost};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

const MODEL: &str = "paid/gpt";

fn clients() -> Result<[Script; 3]> {
    Ok([python("openai-2", "responses.py")?, python("openai-3", "responses.py")?, node("responses.mjs")?])
}

fn cost(input: u64, output: u64) -> i64 {
    token_cost(input, 1_000_000_000, output, 2_000_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_get_responses_streams_and_tools_and_pay_for_what_is_made() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("responses").await?;
    let base = format!("{}/v1", world.url);
    for script in clients()? {
        let before = world.balance().await?;
        world.upstream.forget().await?;
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
        let printed = script.arg(MODEL).json().await?;
        let expected = json!({
            "whole": "Say hello",
            "usage": [8, 3],
            "model": MODEL,
            "stream": { "text": "Say hello", "last": "response.completed", "error": null, "tokens": 7 },
            "tool": ["weather", { "city": "sim" }],
            "previous": "Say hello",
        });
        assert_eq!(printed, expected);
        // 4 for the instructions and their end, 4 for the input; a tool is 8, its call 2 and 4.
        assert_eq!(before - world.balance().await?, cost(8, 3) + 2 * cost(4, 3) + cost(12, 6));
        let seen = world.upstream.seen().await?;
        assert_eq!(seen.len(), 4);
        for seen in &seen {
            assert_eq!(seen.path(), "/v1/responses");
            assert!(
                seen.header("authorization").starts_with("Bearer ") && !seen.header("authorization").contains(&key)
            );
        }
        let bodies: Vec<Value> = seen.iter().map(|seen| seen.json()).collect();
        let streamed = bodies.iter().find(|body| body["stream"] == true);
        assert!(streamed.is_some_and(|body| body.get("stream_options").is_none()), "{bodies:?}");
        let tools: Vec<usize> = bodies.iter().filter_map(|body| Some(body["tools"].as_array()?.len())).collect();
        assert_eq!(tools, [1], "web_search is taken out");
    }
    let records = world.records(15).await?;
    let complete = records.iter().filter(|record| record["outcome"] == "complete");
    assert_eq!(complete.filter(|record| record["usage_source"] == "upstream_final").count(), 12, "{records:?}");
    assert!(records.iter().all(|record| record["endpoint"] == "responses"));
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_ends_as_failed_and_one_at_its_hold_as_incomplete() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("broken").await?;
    let base = format!("{}/v1", world.url);
    for (mode, code) in [("error-chunk", "upstream_error"), ("truncate", "stream_truncated")] {
        for script in clients()? {
            let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
            let printed = script.arg(MODEL).arg(&json!({ "mode": mode, "after": 2 }).to_string()).json().await?;
            assert_eq!((&printed["last"], &printed["error"]), (&json!("response.failed"), &json!("server_error")));
            let record = world.records(1).await?.remove(0);
            assert_eq!((&record["outcome"], &record["error_code"]), (&json!("upstream_cut"), &json!(code)), "{record}");
        }
    }
    // An upstream that makes more than it was told to is cut where the hold ends.
    let sim = json!({ "mode": "usage-absurd", "tokens": 9 });
    let absurd = json!({ "model": MODEL, "input": "Say hello", "max_output_tokens": 9, "sim": sim });
    let answer = world.client.post("/v1/responses", &key, &absurd).await?;
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!((&record["usage_source"], &record["usage_anomaly"]), (&json!("estimated"), &json!(true)), "{record}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_served_at_every_alias_and_by_the_simulator_for_test_keys() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("aliases").await?;
    for base in ["/v1/", "/", "/api/", "/api/v1/", "/openai/v1/"] {
        let body = json!({ "model": MODEL, "input": "hi" });
        let answer = world.client.post(&format!("{base}responses"), &key, &body).await?;
        assert_eq!((answer.status, &answer.json()["object"]), (200, &json!("response")), "{base}: {}", answer.text());
    }
    for (members, code) in [
        (json!({ "input": "hi", "conversation": "conv_1" }), "not_found"),
        (json!({ "input": "hi", "background": true }), "unsupported_parameter"),
        (json!({ "input": "hi", "service_tier": "priority" }), "unpriced_parameter"),
    ] {
        let mut body = members;
        body["model"] = json!(MODEL);
        let refused = world.client.post("/v1/responses", &key, &body).await?;
        assert_eq!(refused.code(), code, "{body}");
    }
    Ok(())
}

/// Two servers of responses, and a model that either may answer.
struct Pair {
    world: World,
    other: Upstream,
    key: String,
    stranger: String,
    _folder: TempDir,
}

impl Pair {
    async fn start(engine: Engine) -> Result<Self> {
        let folder = TempDir::new()?;
        let key_file = folder.path().join("key");
        std::fs::write(&key_file, "sk-of-the-other-one")?;
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600))?;
        let other = Upstream::start(folder.path(), "other", "openai", &key_file, None).await?;
        // To a server of nobody's dialect requests have another id, so its answers have other ids than the caller's.
        let mut more = format!(
            "[[provider]]\nname = \"other\"\ndialect = \"compatible\"\nbase_url = \"{}\"\nkey_file = \"{}\"\n",
            other.url(),
            key_file.display()
        );
        let (one, two) = ("{ provider = \"upstream\", model = \"gpt\" }", "{ provider = \"other\", model = \"gpt\" }");
        for (id, tiers) in
            [("kept/one", one.to_owned()), ("kept/other", two.to_owned()), ("kept/both", format!("{one}, {two}"))]
        {
            more.push_str(&format!(
                "[[model]]\nid = \"{id}\"\ntiers = [[{tiers}]]\ncontext = 131072\nmax_output = 1000\nendpoints = [\"responses\"]\n[[price]]\nmodel = \"{id}\"\nmeter = \"input_token\"\nsell = \"1\"\n[[price]]\nmodel = \"{id}\"\nmeter = \"output_token\"\nsell = \"2\"\n"
            ));
        }
        let world = Plan::default().on(engine).more(&more).start().await?;
        let key = world.key("kept").await?;
        world.claviger(&["organizations", "create", "Second"]).await?;
        world.claviger(&["grants", "create", "second", "1", "--reason", "test"]).await?;
        let path = world.folder.path().join("stranger.txt");
        let file = path.to_string_lossy();
        world.claviger(&["keys", "create", "theirs", "--organization", "second", "--to-file", &file, "-q"]).await?;
        let stranger = std::fs::read_to_string(&path)?.trim().to_owned();
        Ok(Self { world, other, key, stranger, _folder: folder })
    }

    /// What both upstreams were asked about responses: method, path and the answer that was gone on from.
    async fn asked(&self) -> Result<[Vec<(String, String, Value)>; 2]> {
        let mut all = Vec::new();
        for upstream in [&self.world.upstream, &self.other] {
            let seen = upstream.seen().await?;
            let told = |seen: &claviger_e2e::Seen| {
                let method = seen.0["method"].as_str().unwrap_or_default().to_owned();
                (method, seen.path().to_owned(), seen.json()["previous_response_id"].clone())
            };
            all.push(seen.iter().map(told).collect::<Vec<_>>());
        }
        let other = all.pop().unwrap_or_default();
        Ok([all.pop().unwrap_or_default(), other])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_come_back_to_responses_where_they_are_kept_and_nobody_else_does() -> Result<()> {
    for engine in Engine::ALL {
        let pair = Pair::start(engine).await?;
        let world = &pair.world;
        for script in [python("openai-3", "kept_responses.py")?, node("kept_responses.mjs")?] {
            let before = world.balance().await?;
            let base = format!("{}/v1", world.url);
            let script = script.env("OPENAI_API_KEY", &pair.key).env("OPENAI_BASE_URL", &base);
            let printed = script.arg(&pair.stranger).arg("kept/one").arg("kept/other").arg("kept/both").json().await?;
            let ids: Vec<String> = serde_json::from_value(printed["ids"].clone())?;
            let expected = json!({
                "read": [true, "kept/other", "Say hello", null],
                "second": ["kept/both", true],
                "streamed": [true, true, "kept/one"],
                "kept_stream": true,
                "items": ["Say hello"],
                "counted": 4,
                "compacted": ["response.compaction", "compaction", 7],
                "deleted": [true, true],
                "cancel": ["BadRequestError", null],
                "unknown": [1, ["NotFoundError", "not_found"]],
                "refused": [1, ["NotFoundError", "not_found"]],
                "ids": ids,
            });
            assert_eq!(printed, expected, "{engine:?}");
            // Reading, listing, counting and ending cost nothing; refusals neither.
            let paid = cost(4, 3) + cost(3, 2) + 2 * cost(4, 3) + cost(2, 1) + cost(4, 3);
            assert_eq!(before - world.balance().await?, paid, "{engine:?}");
            let [one, other] = pair.asked().await?;
            let upstream_id =
                other.iter().find_map(|(_, path, _)| Some(path.strip_prefix("/v1/responses/")?.to_owned()));
            let upstream_id = upstream_id.unwrap_or_default();
            assert!(upstream_id.starts_with("resp_") && upstream_id != ids[0], "{other:?}");
            let went_on: Vec<&Value> =
                other.iter().map(|(_, _, previous)| previous).filter(|id| !id.is_null()).collect();
            assert_eq!(went_on, [&json!(upstream_id)], "{other:?}");
            assert!(!one.iter().any(|(_, path, _)| path.contains(&ids[0]) || path.contains(&upstream_id)), "{one:?}");
            let methods: Vec<&str> = other.iter().map(|(method, ..)| method.as_str()).collect();
            assert_eq!(methods, ["POST", "GET", "POST", "GET", "DELETE", "GET", "POST"], "{other:?}");
            world.upstream.forget().await?;
            pair.other.forget().await?;
        }
        assert_eq!(world.held().await?, 0);
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_response_is_asked_of_nobody_else_when_its_provider_is_away() -> Result<()> {
    let mut pair = Pair::start(Engine::Sqlite).await?;
    let body = json!({ "model": "kept/other", "input": "Say hello" });
    let first = pair.world.client.post("/v1/responses", &pair.key, &body).await?.json()["id"].clone();
    let id = first.as_str().unwrap_or_default().to_owned();
    // The binding is durable: it outlives the server that made it.
    pair.world.kill().await?;
    pair.world.restart().await?;
    let client = &pair.world.client;
    let on = |model: &str| json!({ "model": model, "input": "x", "previous_response_id": id });
    assert_eq!(client.post("/v1/responses", &pair.key, &on("kept/both")).await?.status, 200);
    let elsewhere = client.post("/v1/responses", &pair.key, &on("kept/one")).await?;
    assert_eq!(elsewhere.refusal(), (400, "unsupported_parameter".to_owned()));
    for query in ["?limit=0", "?order=up", "?after=../x", "?include=%2F"] {
        let refused = client.get(&format!("/v1/responses/{id}/input_items{query}"), &pair.key).await?;
        assert_eq!(refused.refusal(), (400, "invalid_value".to_owned()), "{query}");
    }
    let test_key = pair.world.create_key(&json!({ "name": "test", "test": true })).await?;
    let hidden = client.get(&format!("/v1/responses/{id}"), test_key["value"].as_str().unwrap_or_default()).await?;
    assert_eq!(hidden.refusal(), (404, "not_found".to_owned()), "the wall between test keys and live ones");

    pair.other.kill().await?;
    pair.world.upstream.forget().await?;
    let away = client.post("/v1/responses", &pair.key, &on("kept/both")).await?;
    assert_eq!(away.refusal(), (503, "service_unavailable".to_owned()));
    let away = client.get(&format!("/v1/responses/{id}"), &pair.key).await?;
    assert_eq!(away.refusal(), (503, "service_unavailable".to_owned()));
    assert_eq!(pair.world.upstream.count().await?, 0, "nobody else is asked");
    assert_eq!(pair.world.held().await?, 0);
    pair.world.verify_ledger().await
}
