//! Tasks: any inference, asked for now and answered later, paid for once.

use claviger_e2e::{Answer, Client, Engine, Plan, Result, World, eventually};
use serde_json::{Value, json};

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hello world" }] })
}

async fn send(client: &Client, key: &str, body: &Value, more: &[(&str, &str)]) -> Result<Answer> {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
    headers.extend_from_slice(more);
    client.send("POST", "/v1/tasks", &headers, body.to_string().as_bytes()).await
}

async fn ended(world: &World, key: &str, id: &str) -> Result<Value> {
    eventually(20, "the task ends", async || {
        let shown = world.client.get(&format!("/v1/tasks/{id}"), key).await?.json();
        Ok((shown["completed_at"].is_number()).then_some(shown))
    })
    .await
}

fn id_of(task: &Value) -> &str {
    task["id"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_8_a_task_is_taken_at_once_answered_later_and_billed_once() -> Result<()> {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = Plan::default().on(engine).start().await?;
        let key = world.key("Production Server").await?;
        // The snippet, with host and key swapped.
        let snippet = format!(
            r#"curl -sS -i {}/v1/tasks \
-H "Content-Type: application/json" \
-H "Authorization: Bearer {key}" \
-d '{{ "model": "gpt-4", "messages": [{{"role": "user", "content": "Hello world"}}] }}'"#,
            world.url
        );
        let output = tokio::process::Command::new("bash").args(["-c", &snippet]).output().await?;
        let printed = String::from_utf8(output.stdout)?;
        assert!(printed.starts_with("HTTP/1.1 202 Accepted"), "{printed}");
        let (head, body) = printed.split_once("\r\n\r\n").unwrap_or_default();
        let made: Value = serde_json::from_str(body)?;
        assert_eq!((&made["object"], &made["type"], &made["result"]), (&json!("task"), &json!("chat"), &json!(null)));
        assert!(head.contains(&format!("location: {}/v1/tasks/{}\r\n", world.url, id_of(&made))), "{head}");
        // What it held is given back before the balance is read.
        ended(&world, &key, id_of(&made)).await?;

        let before = world.balance().await?;
        let made = send(&world.client, &key, &chat("paid/echo"), &[]).await?;
        assert_eq!(made.status, 202, "{}", made.text());
        let done = ended(&world, &key, id_of(&made.json())).await?;
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(done["result"]["choices"][0]["message"]["content"], "Hello world", "{done}");
        assert_eq!(done["result"]["model"], "paid/echo", "the caller's name of the model");
        let record = world.record(done["request_id"].as_str().unwrap_or_default()).await?;
        assert_eq!(
            (&record["endpoint"], &record["outcome"]),
            (&json!("chat.completions"), &json!("complete")),
            "{record}"
        );
        assert_eq!(record["charge"], done["cost"]);
        let charged = before - world.balance().await?;
        assert!(
            charged > 0 && format!("0.{charged:09}") == done["cost"].as_str().unwrap_or_default(),
            "{charged} {done}"
        );
        assert_eq!(world.held().await?, 0);
        for _ in 0..3 {
            world.client.get(&format!("/v1/tasks/{}", id_of(&done)), &key).await?;
        }
        let raw = world.client.get(&format!("/api/v1/task/{}", id_of(&done)), &key).await?.json();
        assert_eq!(raw["result"], done["result"]);
        let result = world.client.get(&format!("/v1/tasks/{}/result", id_of(&done)), &key).await?;
        assert_eq!(result.json(), done["result"]);
        assert_eq!(before - world.balance().await?, charged, "polling is free");
        let sent = world.upstream.seen().await?;
        assert_eq!(sent.len(), 2, "one request for each task");
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_8_a_task_may_be_waited_for_cancelled_and_seen_by_its_organization_alone() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("tasks").await?;
    let waited = send(&world.client, &key, &chat("paid/echo"), &[("prefer", "wait=10")]).await?;
    assert_eq!((waited.status, &waited.json()["status"]), (200, &json!("completed")), "{}", waited.text());

    // One that takes longer than anybody waits.
    let slow = json!({
        "model": "paid/stream", "metadata": { "order": "7" }, "messages": [{ "role": "user", "content": "hi" }],
        "sim": { "tokens": 50, "first_ms": 20_000 },
    });
    let before = world.balance().await?;
    let made = send(&world.client, &key, &slow, &[("prefer", "wait=1")]).await?;
    assert_eq!((made.status, &made.json()["metadata"]["order"]), (202, &json!("7")), "{}", made.text());
    let made = made.json();
    let listed = world.client.get("/v1/tasks?status=in_progress", &key).await?.json();
    assert_eq!((listed["data"].as_array().map(Vec::len), &listed["data"][0]["id"]), (Some(1), &made["id"]), "{listed}");
    let sent = world.upstream.seen().await?.pop().map(|seen| seen.json()).unwrap_or_default();
    assert!(sent["metadata"].is_null(), "what is the task's own stays here: {sent}");

    world.claviger(&["organizations", "create", "Second"]).await?;
    world.claviger(&["keys", "create", "theirs", "--organization", "second", "--to-file", "theirs.txt", "-q"]).await?;
    let theirs = std::fs::read_to_string(world.folder.path().join("theirs.txt"))?.trim().to_owned();
    for path in [
        format!("/v1/tasks/{}", id_of(&made)),
        "/v1/tasks/task_0000000000000000000000".to_owned(),
        "/v1/tasks/x".to_owned(),
    ] {
        let foreign = world.client.get(&path, &theirs).await?;
        assert_eq!(foreign.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let foreign = world.client.post(&format!("/v1/tasks/{}/cancel", id_of(&made)), &theirs, &json!({})).await?;
    assert_eq!(foreign.refusal(), (404, "not_found".to_owned()));

    let cancelled = world.client.post(&format!("/v1/tasks/{}/cancel", id_of(&made)), &key, &json!({})).await?;
    let cancelled = cancelled.json();
    assert_eq!((&cancelled["status"], &cancelled["result"]), (&json!("cancelled"), &json!(null)), "{cancelled}");
    // As if a client had left (row 7): nothing had come, so the input is what was used.
    let record = world.record(made["request_id"].as_str().unwrap_or_default()).await?;
    assert_eq!((&record["outcome"], &record["rule"]), (&json!("client_closed"), &json!(7)), "{record}");
    assert_eq!(record["charge"], cancelled["cost"]);
    assert_eq!(format!("0.{:09}", before - world.balance().await?), cancelled["cost"].as_str().unwrap_or_default());
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_or_takes_too_long_costs_nothing() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("tasks").await?;
    let before = world.balance().await?;
    world
        .upstream
        .script(&json!([{ "match": { "path": "/v1/chat/completions", "nth": 1 }, "do": { "mode": "status", "code": 500 } }]))
        .await?;
    let failed = send(&world.client, &key, &chat("paid/echo"), &[("prefer", "wait=10")]).await?.json();
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("upstream_error")), "{failed}");
    let slow = json!({
        "model": "paid/stream", "timeout_s": 1, "messages": [{ "role": "user", "content": "hi" }],
        "sim": { "tokens": 5, "first_ms": 20_000 },
    });
    let late = send(&world.client, &key, &slow, &[("prefer", "wait=10")]).await?.json();
    assert_eq!((&late["status"], &late["error"]["code"]), (&json!("expired"), &json!("upstream_timeout")), "{late}");
    assert_eq!((world.balance().await?, world.held().await?), (before, 0));
    for (body, param) in [
        (json!({ "model": "paid/echo", "messages": [], "stream": true }), "stream"),
        (json!({ "model": "paid/echo", "messages": [], "callback_url": "https://a.example/" }), "callback_url"),
    ] {
        let refused = send(&world.client, &key, &body, &[]).await?;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(param)), "{}", refused.text());
    }
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_neither_asks_again_nor_keeps_what_its_tasks_held() -> Result<()> {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut world = Plan::default().on(engine).start().await?;
        let key = world.key("tasks").await?;
        let before = world.balance().await?;
        let slow = json!({
            "model": "paid/stream", "messages": [{ "role": "user", "content": "hi" }],
            "sim": { "tokens": 5, "first_ms": 30_000 },
        });
        let made = send(&world.client, &key, &slow, &[]).await?.json();
        eventually(10, "the upstream has it", async || Ok((world.upstream.count().await? == 1).then_some(()))).await?;
        world.kill().await?;
        world.restart().await?;
        let key = world.key("another").await?;
        let lost = ended(&world, &key, id_of(&made)).await?;
        assert_eq!((&lost["status"], &lost["cost"]), (&json!("failed"), &json!("0.000000000")), "{lost}");
        assert_eq!((world.balance().await?, world.held().await?), (before, 0));
        assert_eq!(world.upstream.count().await?, 1);
        let record = world.record(made["request_id"].as_str().unwrap_or_default()).await?;
        assert_eq!(record["outcome"], "node_lost", "{record}");
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_and_videos_are_tasks_too_and_a_named_task_runs_once() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("tasks").await?;
    let say = json!({ "model": "paid/say", "input": "hi", "voice": "alloy", "response_format": "wav" });
    let spoken = send(&world.client, &key, &say, &[("prefer", "wait=10")]).await?.json();
    assert_eq!((&spoken["type"], &spoken["status"]), (&json!("speech"), &json!("completed")), "{spoken}");
    let url = spoken["result"]["url"].as_str().unwrap_or_default();
    let file = world.client.send("GET", url.strip_prefix(&world.url).unwrap_or_default(), &[], b"").await?;
    assert_eq!((file.status, &file.text()[..4]), (200, "RIFF"));
    assert_eq!(spoken["result"]["bytes"], file.body.len());

    let film = json!({ "model": "paid/film", "prompt": "a cat", "duration": 4, "sim": { "first_ms": 0 } });
    let named = [("idempotency-key", "film 7")];
    let first = send(&world.client, &key, &film, &named).await?;
    let second = send(&world.client, &key, &film, &named).await?;
    assert_eq!((first.status, second.status, second.header("idempotent-replayed")), (202, 202, "true"));
    assert_eq!(first.text(), second.text());
    let done = ended(&world, &key, id_of(&first.json())).await?;
    assert_eq!((&done["type"], &done["result"]["object"]), (&json!("video"), &json!("video.job")), "{done}");
    assert_eq!(done["cost"], "0.400000000");
    let shown = world.client.get(&format!("/v1/videos/{}", id_of(&done)), &key).await?.json();
    assert_eq!(shown["status"], "completed", "one record, on either route: {shown}");
    let none = world.client.get(&format!("/v1/videos/{}", id_of(&spoken)), &key).await?;
    assert_eq!(none.refusal(), (404, "not_found".to_owned()));
    world.verify_ledger().await
}
