//! Videos: asked for by the official SDKs and by hand, paid for once, whatever dies in between.

#![expect(clippy::disallowed_methods, reason = "tests are drivers: they start tasks themselves")]

use claviger_e2e::{Engine, Plan, Result, World, eventually, node, python};
use serde_json::{Value, json};

/// Four seconds of a tenth each.
const FOUR_SECONDS: i64 = 400_000_000;

fn film(prompt: &str, first_ms: u64) -> Value {
    json!({ "model": "paid/film", "prompt": prompt, "duration": 4, "sim": { "first_ms": first_ms } })
}

/// How often the upstream was asked for a video.
async fn submissions(world: &World) -> Result<usize> {
    let seen = world.upstream.seen().await?;
    Ok(seen.iter().filter(|seen| seen.0["method"] == "POST" && seen.path() == "/v1/videos").count())
}

async fn ended(world: &World, key: &str, id: &str) -> Result<Value> {
    eventually(20, "the video ends", async || {
        let shown = world.client.get(&format!("/v1/video/generations/{id}"), key).await?.json();
        Ok((shown["completed_at"].is_number()).then_some(shown))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_make_videos_and_pay_for_the_seconds_of_each() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("films").await?;
    let base = format!("{}/v1", world.url);
    let before = world.balance().await?;
    for script in [python("openai-3", "videos.py")?, node("videos.mjs")?] {
        let printed = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base).json().await?;
        let expected = json!({
            "status": "completed", "seconds": "4", "model": "paid/film", "mp4": "ftyp", "listed": true, "deleted": true,
        });
        assert_eq!(printed, expected);
    }
    assert_eq!(before - world.balance().await?, 2 * FOUR_SECONDS);
    assert_eq!(world.held().await?, 0);
    let record = world.records(1).await?.remove(0);
    assert_eq!((&record["endpoint"], &record["outcome"]), (&json!("video"), &json!("complete")), "{record}");
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_held_for_from_its_beginning_and_paid_for_once_over_a_kill() -> Result<()> {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut world = Plan::default().on(engine).start().await?;
        let key = world.key("films").await?;
        let before = world.balance().await?;
        let mut ids = Vec::new();
        for prompt in ["a cat", "fail, please", "a dog"] {
            let made = world.client.post("/v1/video/generations", &key, &film(prompt, 2_500)).await?;
            assert_eq!((made.status, made.header("openai-poll-after-ms")), (200, "2000"), "{}", made.text());
            let made = made.json();
            assert_eq!((&made["object"], &made["status"]), (&json!("video.job"), &json!("queued")), "{made}");
            ids.push(made["id"].as_str().unwrap_or_default().to_owned());
        }
        let cancelled =
            world.client.post(&format!("/v1/video/generations/{}/cancel", ids[2]), &key, &json!({})).await?;
        assert_eq!(cancelled.json()["status"], "cancelled", "{}", cancelled.text());
        world.kill().await?;
        world.restart().await?;
        let done = ended(&world, &key, &ids[0]).await?;
        assert_eq!((&done["status"], &done["usage"]["seconds"]), (&json!("completed"), &json!(4)), "{done}");
        let failed = ended(&world, &key, &ids[1]).await?;
        assert_eq!((&failed["status"], &failed["usage"]["seconds"]), (&json!("failed"), &json!(0)), "{failed}");
        eventually(10, "what was held is back", async || {
            Ok((before - world.balance().await? == FOUR_SECONDS).then_some(()))
        })
        .await?;
        // Any key of the organization may ask. Ids of nobody, and words that are none.
        let key = world.key("another").await?;
        for id in ["task_0000000000000000000000", "x"] {
            let none = world.client.get(&format!("/v1/videos/{id}"), &key).await?;
            assert_eq!(none.refusal(), (404, "not_found".to_owned()), "{id}");
        }
        let bytes = world.client.get(&format!("/v1/videos/{}/content", ids[0]), &key).await?;
        assert_eq!((bytes.status, bytes.header("content-type")), (200, "video/mp4"));
        let none = world.client.get(&format!("/v1/videos/{}/content", ids[1]), &key).await?;
        assert_eq!(none.refusal(), (404, "not_found".to_owned()));
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_beyond_the_credit_never_leaves() -> Result<()> {
    let world = Plan::default().credit("0.5").start().await?;
    let key = world.key("films").await?;
    let long = json!({ "model": "paid/film", "prompt": "a cat", "duration": 6 });
    let refused = world.client.post("/v1/video/generations", &key, &long).await?;
    assert_eq!(refused.refusal(), (429, "insufficient_quota".to_owned()));
    assert_eq!(world.upstream.count().await?, 0);
    let made = world.client.post("/v1/video/generations", &key, &film("a cat", 60_000)).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let second = world.client.post("/v1/video/generations", &key, &film("a cat", 60_000)).await?;
    assert_eq!(second.status, 429, "what the first holds is not there twice: {}", second.text());
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_a_submission_neither_submits_again_nor_keeps_the_hold() -> Result<()> {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut world = Plan::default().on(engine).start().await?;
        let key = world.key("films").await?;
        let before = world.balance().await?;
        let rules = json!([{ "match": { "path": "/v1/videos" }, "do": { "mode": "stall", "after": 5 } }]);
        world.upstream.script(&rules).await?;
        let (client, sender) = (world.client.clone(), key.clone());
        let asking = tokio::spawn(async move {
            client.post("/v1/video/generations", &sender, &film("a cat", 1_000)).await.map(|answer| answer.status)
        });
        eventually(10, "the upstream has been asked", async || Ok((submissions(&world).await? == 1).then_some(())))
            .await?;
        world.kill().await?;
        assert!(asking.await?.is_err(), "nobody answered");
        world.restart().await?;
        let listed = eventually(10, "the lost task ends", async || {
            let listed = world.client.get("/v1/videos", &key).await?.json();
            Ok((listed["data"][0]["status"] == "failed").then_some(listed))
        })
        .await?;
        assert_eq!(listed["data"][0]["error"]["code"], "upstream_error", "{listed}");
        assert_eq!((world.balance().await?, world.held().await?), (before, 0));
        assert_eq!(submissions(&world).await?, 1, "nobody knows whether it was taken: it is not sent again");
        let record = world.records(1).await?.remove(0);
        assert_eq!((&record["outcome"], &record["charge"]), (&json!("node_lost"), &json!("0.000000000")), "{record}");
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_whose_answer_is_lost_is_not_sent_again() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("films").await?;
    let before = world.balance().await?;
    for (rule, code) in [
        (json!({ "mode": "status", "code": 500 }), (502, "upstream_error")),
        (json!({ "mode": "cut", "bytes": 10 }), (502, "upstream_error")),
        (json!({ "mode": "bad-json" }), (502, "upstream_error")),
    ] {
        world.upstream.forget().await?;
        world.upstream.script(&json!([{ "match": { "path": "/v1/videos" }, "do": rule }])).await?;
        let refused = world.client.post("/v1/video/generations", &key, &film("a cat", 1_000)).await?;
        assert_eq!(refused.refusal(), (code.0, code.1.to_owned()), "{rule}");
        assert_eq!(submissions(&world).await?, 1, "{rule}");
        assert_eq!((world.balance().await?, world.held().await?), (before, 0), "{rule}");
    }
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_request_makes_one_video_however_often_it_is_sent() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("films").await?;
    let bearer = format!("Bearer {key}");
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "film 1")];
    let body = film("a cat", 1_000).to_string();
    let first = world.client.send("POST", "/v1/video/generations", &headers, body.as_bytes()).await?;
    let second = world.client.send("POST", "/v1/video/generations", &headers, body.as_bytes()).await?;
    assert_eq!((first.status, second.status, second.header("idempotent-replayed")), (200, 200, "true"));
    assert_eq!(first.text(), second.text());
    assert_eq!(submissions(&world).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_a_video_needs_no_key_and_opens_nothing_else() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "films" })).await?;
    let (id, value) = (key["id"].as_str().unwrap_or_default(), key["value"].as_str().unwrap_or_default());
    let mut films = Vec::new();
    for prompt in ["a cat", "a dog"] {
        let made = world.client.post("/v1/video/generations", value, &film(prompt, 0)).await?.json();
        films.push(ended(&world, value, made["id"].as_str().unwrap_or_default()).await?);
    }
    world.revoke(id).await?;
    let url = films[0]["video_url"].as_str().unwrap_or_default();
    assert_eq!(films[0]["url"], url);
    assert!(!url.contains(value) && !url.contains('?'), "{url}");
    let path = url.strip_prefix(&world.url).unwrap_or_default();
    let bytes = world.client.send("GET", path, &[], b"").await?;
    assert_eq!((bytes.status, bytes.header("content-type")), (200, "video/mp4"), "{}", bytes.text());
    let seen = world.upstream.seen().await?;
    let asked = seen.iter().find(|seen| seen.path().ends_with("/content")).map(|seen| seen.header("authorization"));
    assert!(asked.is_some_and(|line| line.starts_with("Bearer sk-upstream-")), "by the provider's credential");
    let link = path.rsplit('/').next().unwrap_or_default();
    let (one, other) = (films[0]["id"].as_str().unwrap_or_default(), films[1]["id"].as_str().unwrap_or_default());
    for path in [
        format!("/v1/videos/{other}/content/{link}"),
        format!("/v1/videos/{one}/content/{}", link.replacen('1', "2", 1)),
        format!("/v1/videos/{one}/content/x"),
        format!("/v1/videos/task_0000000000000000000000/content/{link}"),
    ] {
        let refused = world.client.send("GET", &path, &[], b"").await?;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let bare = world.client.send("GET", &format!("/v1/videos/{one}/content"), &[], b"").await?;
    assert_eq!(bare.refusal(), (401, "missing_api_key".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_takes_a_video_back_gives_the_charge_back_once() -> Result<()> {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = Plan::default().on(engine).start().await?;
        let key = world.key("films").await?;
        let before = world.balance().await?;
        let made = world.client.post("/v1/video/generations", &key, &film("a cat", 0)).await?.json();
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        let done = ended(&world, &key, &id).await?;
        assert_eq!(before - world.balance().await?, FOUR_SECONDS, "{done}");
        let seen = world.upstream.seen().await?;
        let path = seen.iter().map(|seen| seen.path().to_owned()).find(|path| path.starts_with("/v1/videos/"));
        let path = path.unwrap_or_default();
        let failed = r#"{"id":"v","status":"failed","error":{"message":"it was black"}}"#;
        let raw = json!({ "mode": "status", "code": 200, "body": failed });
        world
            .upstream
            .script(&json!([
                { "match": { "path": path }, "do": raw },
                { "match": { "path": format!("{path}/content") }, "do": { "mode": "status", "code": 500 } },
            ]))
            .await?;
        let lost = world.client.get(&format!("/v1/videos/{id}/content"), &key).await?;
        assert_eq!(lost.refusal(), (502, "upstream_error".to_owned()));
        eventually(10, "the charge is back", async || Ok((world.balance().await? == before).then_some(()))).await?;
        let shown = world.client.get(&format!("/v1/video/generations/{id}"), &key).await?.json();
        assert_eq!(
            (&shown["status"], &shown["error"]["message"]),
            (&json!("failed"), &json!("it was black")),
            "{shown}"
        );
        let none = world.client.get(&format!("/v1/videos/{id}/content"), &key).await?;
        assert_eq!(none.refusal(), (404, "not_found".to_owned()));
        assert_eq!(world.balance().await?, before, "once");
        world.verify_ledger().await?;
    }
    Ok(())
}
