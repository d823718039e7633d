//! Seed checks about taking a key away and putting another in its place: the four steps of rotation under load, both
//! texts of one key, the question before the end. The ids in the names are those of the seed checks.
#![expect(clippy::disallowed_methods, reason = "a test that sends at its own pace owns its tasks")]

use claviger_e2e::{Engine, Plan, Ran, Result, World, binary, chat, eventually, now, text};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::watch;

const KEYS: &str = "/v1/organization/api_keys";

async fn act(world: &World, key: &Value, rest: &str, body: &Value) -> Result<Value> {
    let answer = world.client.post(&format!("{KEYS}/{}{rest}", text(&key["id"])), &world.admin_key, body).await?;
    anyhow::ensure!(answer.status == 200, "{rest}: {}", answer.text());
    Ok(answer.json())
}

/// 200 requests a second with whichever key is current, until it is dropped.
struct Load {
    current: watch::Sender<String>,
    is_over: Arc<AtomicBool>,
    sender: tokio::task::JoinHandle<Result<Vec<u16>>>,
}

impl Load {
    fn start(world: &World, key: &str) -> Self {
        let (current, seen) = watch::channel(key.to_owned());
        let is_over = Arc::new(AtomicBool::new(false));
        let (client, ended) = (world.client.clone(), Arc::clone(&is_over));
        let sender = tokio::spawn(async move {
            let begun = now();
            let mut running = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                while running.len() < usize::try_from(begun.elapsed().as_millis() / 5)? {
                    let (client, key) = (client.clone(), seen.borrow().clone());
                    running.push(tokio::spawn(async move {
                        client.post("/v1/chat/completions", &key, &chat("paid/echo")).await
                    }));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut statuses = Vec::new();
            for request in running {
                statuses.push(request.await??.status);
            }
            Ok(statuses)
        });
        Self { current, is_over, sender }
    }

    /// Applications take the key up.
    fn update(&self, key: &str) {
        self.current.send_replace(key.to_owned());
    }

    async fn end(self) -> Result<Vec<u16>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.sender.await?
    }
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_12_s3_14_four_steps_of_rotation_at_200_requests_a_second_fail_none() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).credit("1000").start().await?;
        let old = world.create_key(&json!({ "name": "Production Server" })).await?;
        let load = Load::start(&world, &text(&old["value"]));
        a_while().await;
        // 1. Create a new key. 2. Update the applications. 3. Verify. 4. Delete the old one.
        let new = world.create_key(&json!({ "name": "Production Server" })).await?;
        a_while().await;
        load.update(&text(&new["value"]));
        a_while().await;
        assert_eq!(world.client.get("/v1/models", &text(&new["value"])).await?.status, 200);
        // Requests with the old key that were under way are over: nothing runs with it any more.
        let is_quiet = async |of: &Value| {
            let path = format!("/v1/organization/requests?api_key_id={}&limit=1", text(&of["id"]));
            let answer = world.client.get(&path, &world.admin_key).await?.json();
            Ok::<_, anyhow::Error>(text(&answer["data"][0]["id"]))
        };
        let last = is_quiet(&old).await?;
        a_while().await;
        assert_eq!(is_quiet(&old).await?, last, "nothing uses the old key any more");
        world.revoke(&text(&old["id"])).await?;
        a_while().await;

        // The same within one key: its new text, and the end of the older one.
        let rotated = act(&world, &new, "/rotate", &json!({})).await?;
        a_while().await;
        load.update(&text(&rotated["value"]));
        a_while().await;
        let older = text(&rotated["secrets"][1]["id"]);
        act(&world, &new, &format!("/secrets/{older}/end"), &json!({})).await?;
        a_while().await;
        let statuses = load.end().await?;
        let failed = statuses.iter().filter(|status| **status != 200).count();
        assert_eq!(failed, 0, "{failed} of {} requests failed: {statuses:?}", statuses.len());
        assert!(statuses.len() > 500, "{} requests are no load", statuses.len());
        for gone in [&old["value"], &new["value"]] {
            assert_eq!(world.client.get("/v1/models", &text(gone)).await?.refusal(), (401, "key_revoked".to_owned()));
        }
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_texts_of_a_key_share_one_limit_one_wallet_and_one_record() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "shared", "limits": { "rpm": 12 } })).await?;
    let rotated = act(&world, &key, "/rotate", &json!({})).await?;
    let (old, new) = (text(&key["value"]), text(&rotated["value"]));
    let before = world.balance().await?;
    let mut charged = 0;
    let mut secrets = Vec::new();
    for value in [&old, &new] {
        let answer = world.client.post("/v1/chat/completions", value, &chat("paid/echo")).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let record = world.record(answer.header("x-request-id")).await?;
        assert_eq!(record["api_key_id"], key["id"]);
        secrets.push(text(&record["secret_id"]));
        charged += 10_000;
    }
    assert_ne!(secrets[0], secrets[1], "the record says which text was used");
    for value in [&old, &new] {
        let answer = world.client.post("/v1/chat/completions", value, &chat("paid/echo")).await?;
        assert_eq!((answer.status, answer.header("x-claviger-limit")), (429, "key.rpm"), "two texts, one rate");
    }
    assert_eq!(before - world.balance().await?, charged);
    let used = eventually(20, "both last uses are shown", async || {
        let shown = world.client.get(&format!("{KEYS}/{}", text(&key["id"])), &world.admin_key).await?.json();
        let secrets = shown["secrets"].as_array().cloned().unwrap_or_default();
        Ok(secrets.iter().all(|secret| secret["last_used_at"].is_i64()).then_some(secrets))
    });
    assert_eq!(used.await?.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_retried_with_its_idempotency_key_yields_one_text() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        let key = world.create_key(&json!({ "name": "once" })).await?;
        let path = format!("{KEYS}/{}/rotate", text(&key["id"]));
        let bearer = format!("Bearer {}", world.admin_key);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", "rotate-2026-11-21"),
        ];
        // All at once, and again when it is over: whoever lost the answer asks once more.
        let body = b"{\"overlap_seconds\":3600}";
        let answers = join_all((0..10).map(|_| world.client.send("POST", &path, &headers, body))).await;
        let mut answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
        answers.push(world.client.send("POST", &path, &headers, body).await?);
        let shown: Vec<String> =
            answers.iter().filter_map(|answer| answer.json()["value"].as_str().map(str::to_owned)).collect();
        assert_eq!(shown.len(), 1, "one answer shows the text");
        for answer in &answers {
            let is_replay = answer.status == 200
                && (answer.json()["value"].is_string() || answer.header("idempotent-replayed") == "true");
            assert!(is_replay || answer.status == 409, "{} {}", answer.status, answer.text());
        }
        let after = world.client.get(&format!("{KEYS}/{}", text(&key["id"])), &world.admin_key).await?.json();
        assert_eq!(after["secrets"].as_array().map(Vec::len), Some(2), "one rotation: {after}");
        // The text was lost with its answer: it is issued again, and the lost one opens nothing.
        let again = act(&world, &key, "/reissue", &json!({})).await?;
        assert_eq!(again["secrets"].as_array().map(Vec::len), Some(3), "the lost one is behind them");
        assert_eq!(world.client.get("/v1/models", &shown[0]).await?.status, 401);
        assert_eq!(world.client.get("/v1/models", &text(&again["value"])).await?.status, 200);
        assert_eq!(world.client.get("/v1/models", &text(&key["value"])).await?.status, 200, "the overlap goes on");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_2_a_compromised_key_is_replaced_and_the_new_one_works_at_once() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        let bad = world.create_key(&json!({ "name": "leaked" })).await?;
        act(&world, &bad, "/revoke", &json!({ "reason": "compromised" })).await?;
        let good = world.create_key(&json!({ "name": "leaked" })).await?;
        // Not within a second: with the answer.
        assert_eq!(world.client.get("/v1/models", &text(&good["value"])).await?.status, 200);
        assert_eq!(world.client.get("/v1/models", &text(&bad["value"])).await?.status, 401);
        let shown = world.client.get(&format!("{KEYS}/{}", text(&bad["id"])), &world.admin_key).await?.json();
        assert_eq!((&shown["state"], &shown["state_changed"]["reason"]), (&json!("revoked"), &json!("compromised")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_12_what_was_revoked_stays_revoked_whatever_is_asked() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "ended" })).await?;
    world.revoke(&text(&key["id"])).await?;
    for (rest, body) in [
        ("", json!({ "name": "again" })),
        ("", json!({ "expires_in_seconds": 3600 })),
        ("/enable", json!({})),
        ("/disable", json!({})),
        ("/rotate", json!({})),
        ("/reissue", json!({})),
    ] {
        let path = format!("{KEYS}/{}{rest}", text(&key["id"]));
        let answer = world.client.post(&path, &world.admin_key, &body).await?;
        assert_eq!(answer.refusal(), (400, "key_is_revoked".to_owned()), "{rest} {body}");
    }
    let (path, body) = (format!("{KEYS}/{}", text(&key["id"])), json!({ "state": "active" }));
    let state = world.client.post(&path, &world.admin_key, &body).await?;
    assert_eq!(state.refusal(), (400, "read_only_field".to_owned()), "there is no way to say it");
    assert_eq!(world.client.get("/v1/models", &text(&key["value"])).await?.status, 401);
    Ok(())
}

/// The command on a terminal of its own, on which `answer` is typed.
async fn on_a_terminal(world: &World, line: &str, answer: &str) -> Result<Ran> {
    let mut command = Command::new("script");
    let line = format!("{} {line} --data data --config claviger.toml", binary("claviger")?.display());
    command.args(["-qec", &line, "/dev/null"]).current_dir(world.folder.path());
    Ran::of(command, answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_14_s1_7_s4_10_the_end_of_a_key_is_asked_for_by_its_name_and_can_be_declined() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "web shop" })).await?;
    let value = text(&key["value"]);
    for answer in ["n\n", "\n", "perhaps\n"] {
        let ran = on_a_terminal(&world, "keys revoke 'web shop'", answer).await?;
        assert!(ran.out.contains("(web shop) for ever? [y/N]"), "the question names the key: {}", ran.out);
        assert!(ran.code == 1 && ran.out.contains("nothing was done"), "{}: {}", ran.code, ran.out);
    }
    let ran = world.run(&["keys", "revoke", "web shop"], "y\n").await?;
    assert_eq!((ran.code, ran.err.contains("add -y")), (2, true), "nobody is there to ask: {}", ran.err);
    assert_eq!(world.client.get("/v1/models", &value).await?.status, 200, "nothing was done");
    let ran = on_a_terminal(&world, "keys revoke 'web shop'", "y\n").await?;
    assert!(ran.code == 0 && ran.out.contains("Confirmed by 1 of 1 nodes"), "{}: {}", ran.code, ran.out);
    assert_eq!(world.client.get("/v1/models", &value).await?.refusal(), (401, "key_revoked".to_owned()));
    let other = world.create_key(&json!({ "name": "api" })).await?;
    let deleted = world.client.delete(&format!("{KEYS}/{}", text(&other["id"])), &world.admin_key).await?.json();
    assert_eq!((&deleted["deleted"], &deleted["id"]), (&json!(true), &other["id"]));
    Ok(())
}
