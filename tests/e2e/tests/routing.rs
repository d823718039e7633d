//! Routes with several targets: who is asked, who is asked next, who is left alone, and that one answer is paid once.

use claviger_e2e::{Answer, Plan, Result, Upstream, World, eventually, now};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;
use tokio::task::JoinSet;

const CHAT: &str = "/v1/chat/completions";

/// A world beside whose upstream there is another one that fails as its script says.
struct Pair {
    world: World,
    faulty: Upstream,
    key: String,
    _folder: TempDir,
}

impl Pair {
    /// `script` is the faulty upstream's; `models` are lines of `id: tiers`, all priced 1 and 2.
    async fn start(script: &Value, routes: &str, provider: &str, models: &[(&str, &str, &str)]) -> Result<Self> {
        let folder = TempDir::new()?;
        let key_file = folder.path().join("key");
        std::fs::write(&key_file, "sk-of-the-other-one")?;
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600))?;
        let rules = folder.path().join("rules.json");
        std::fs::write(&rules, script.to_string())?;
        let faulty = Upstream::start(folder.path(), "faulty", "openai", &key_file, Some(&rules)).await?;
        let nobody = claviger_e2e::free_address()?;
        let mut more = format!(
            "[routes]\n{routes}\n[[provider]]\nname = \"faulty\"\ndialect = \"openai\"\nbase_url = \"{}\"\nkey_file = \"{}\"\n{provider}\n[[provider]]\nname = \"nobody\"\ndialect = \"openai\"\nbase_url = \"http://{nobody}\"\n",
            faulty.url(),
            key_file.display()
        );
        for (id, tiers, lines) in models {
            more.push_str(&format!(
                "[[model]]\nid = \"{id}\"\ntiers = {tiers}\ncontext = 131072\nmax_output = 1000\n{lines}\n[[price]]\nmodel = \"{id}\"\nmeter = \"input_token\"\nsell = \"1\"\n[[price]]\nmodel = \"{id}\"\nmeter = \"output_token\"\nsell = \"2\"\n"
            ));
        }
        let world = Plan::default().more(&more).start().await?;
        let key = world.key("routed").await?;
        Ok(Self { world, faulty, key, _folder: folder })
    }

    async fn ask(&self, model: &str) -> Result<Answer> {
        self.world.client.post(CHAT, &self.key, &body(model, false)).await
    }

    /// What its attempts came to, as the record has them.
    async fn attempts(&self, answer: &Answer) -> Result<Vec<(String, String)>> {
        let record = self.world.record(answer.header("x-request-id")).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = record["attempts"].as_array().cloned().unwrap_or_default();
        Ok(list.iter().map(|attempt| (text(&attempt["provider"]), text(&attempt["outcome"]))).collect())
    }
}

fn body(model: &str, is_stream: bool) -> Value {
    json!({ "model": model, "stream": is_stream, "messages": [{ "role": "user", "content": "Say hello" }] })
}

/// Every target but the last fails before its first byte, each in its own way.
const FAULTS: &[(&str, &str)] = &[
    ("e500", "failed"),
    ("e429", "busy"),
    ("e503", "busy"),
    ("e401", "misconfigured"),
    ("e404", "misconfigured"),
    ("e307", "misconfigured"),
    ("cut", "broken"),
    ("reset", "broken"),
    ("garbage", "broken"),
    ("nonsense", "broken"),
    ("silent", "timed_out"),
];

fn faults() -> Value {
    let rule = |model: &str, mode: Value| json!({ "match": { "model": model }, "do": mode });
    let status = |code: u16| json!({ "mode": "status", "code": code, "headers": { "retry-after": "30" } });
    let error_event = json!({
        "mode": "status",
        "code": 200,
        "headers": { "content-type": "text/event-stream" },
        "body": "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
    });
    json!([
        rule("e500", status(500)),
        rule("e429", status(429)),
        rule("e503", status(503)),
        rule("e401", status(401)),
        rule("e404", status(404)),
        rule("e307", json!({ "mode": "redirect", "to": "http://127.0.0.1:1/" })),
        rule("cut", json!({ "mode": "cut", "bytes": 7 })),
        rule("reset", json!({ "mode": "refuse" })),
        rule("garbage", json!({ "mode": "raw", "base64": "bm90IEhUVFA=" })),
        rule("nonsense", error_event),
        rule("silent", json!({ "mode": "slow", "first_ms": 60000 })),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_charged_once_whichever_target_answers() -> Result<()> {
    let good = "[{ provider = \"upstream\", model = \"echo\" }]";
    let tiers: Vec<String> = FAULTS
        .iter()
        .map(|(model, _)| format!("[[{{ provider = \"faulty\", model = \"{model}\" }}], {good}]"))
        .chain([format!("[[{{ provider = \"nobody\", model = \"echo\" }}], {good}]")])
        .collect();
    let ids: Vec<String> =
        FAULTS.iter().map(|(model, _)| format!("routed/{model}")).chain(["routed/nobody".to_owned()]).collect();
    let models: Vec<(&str, &str, &str)> =
        ids.iter().zip(&tiers).map(|(id, tiers)| (id.as_str(), tiers.as_str(), "first_byte = \"1s\"")).collect();
    let pair = Pair::start(&faults(), "", "", &models).await?;
    // Repeats are a tenth of a provider's requests, and ten.
    for _ in 0..200 {
        pair.ask("free/echo").await?;
    }
    let (before, mut charged) = (pair.world.balance().await?, 0);
    for (number, id) in ids.iter().enumerate() {
        let expected = FAULTS.get(number).map_or("unreachable", |(_, outcome)| outcome);
        for is_stream in [false, true] {
            let request = if is_stream {
                let mut events = pair.world.client.stream(CHAT, &pair.key, &body(id, true)).await?;
                let all = events.rest().await?;
                assert!(all.last().is_some_and(|event| event.contains("[DONE]")), "{id}: {all:?}");
                events.request_id()
            } else {
                let answer = pair.ask(id).await?;
                assert_eq!(answer.status, 200, "{id}: {}", answer.text());
                answer.header("x-request-id").to_owned()
            };
            let record = pair.world.record(&request).await?;
            let attempts = record["attempts"].as_array().cloned().unwrap_or_default();
            let last = attempts.last().cloned().unwrap_or_default();
            assert_eq!(
                (&last["provider"], &last["outcome"]),
                (&json!("upstream"), &json!("answered")),
                "{id}: {record}"
            );
            assert_eq!(last["upstream_model"], "echo");
            // The stream comes when the target is known to be busy or misconfigured, and is left alone then.
            let is_left_alone = is_stream && matches!(expected, "busy" | "misconfigured");
            if is_left_alone && !id.ends_with("e503") {
                assert_eq!(attempts.len(), 1, "{id}: {record}");
            } else {
                let outcome = attempts[0]["outcome"].as_str().unwrap_or_default();
                // A connection that had served before is known to be dead only by asking on it.
                let is_dropped = expected == "broken" && outcome == "dropped";
                assert!(outcome == expected || is_dropped, "{id} {is_stream}: {record}");
            }
            let charge = record["charge"].as_str().unwrap_or_default().to_owned();
            assert_eq!(charge, "0.000010000", "{id}: {record}");
            charged += 10_000;
        }
    }
    assert_eq!(before - pair.world.balance().await?, charged);
    assert_eq!(pair.world.held().await?, 0);
    pair.world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_is_left_alone_and_asked_again_by_one_probe_at_a_time() -> Result<()> {
    let script = json!([{ "match": { "model": "ill" }, "times": 5, "do": { "mode": "status", "code": 500 } }]);
    let both = "[[{ provider = \"faulty\", model = \"ill\" }], [{ provider = \"upstream\", model = \"echo\" }]]";
    let alone = "[[{ provider = \"faulty\", model = \"ill\" }]]";
    let pair = Pair::start(&script, "", "", &[("routed/both", both, ""), ("routed/alone", alone, "")]).await?;
    for _ in 0..5 {
        let answer = pair.ask("routed/both").await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(pair.attempts(&answer).await?.len(), 2);
    }
    let opened = now();
    assert_eq!(pair.faulty.count().await?, 5);
    // Open: who has another target never waits for this one, who has none is told when to come back.
    let answer = pair.ask("routed/both").await?;
    assert_eq!(pair.attempts(&answer).await?, [("upstream".to_owned(), "answered".to_owned())]);
    let refused = pair.ask("routed/alone").await?;
    assert_eq!(refused.refusal(), (503, "service_unavailable".to_owned()));
    let wait: u64 = refused.header("retry-after").parse()?;
    assert!((1..=6).contains(&wait), "{wait}");
    if opened.elapsed().as_secs() < 4 {
        assert_eq!(pair.faulty.count().await?, 5, "an open circuit sends nothing");
    }
    // Well again: probes succeed, one after the other, and then it is as before.
    eventually(15, "the target is asked again", async || {
        let answer = pair.ask("routed/alone").await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    for _ in 0..3 {
        let answer = pair.ask("routed/both").await?;
        assert_eq!(pair.attempts(&answer).await?, [("faulty".to_owned(), "answered".to_owned())]);
    }
    let metrics = claviger_e2e::Client::new(&pair.world.private_url).send("GET", "/metrics", &[], b"").await?.text();
    assert!(
        metrics.contains("claviger_provider_requests_total{provider=\"faulty\",outcome=\"failed\"} 5"),
        "{metrics}"
    );
    assert!(metrics.contains("claviger_provider_open{provider=\"faulty\"} 0"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_stream_gets_its_headers_and_comments_and_may_still_change_its_target() -> Result<()> {
    let script = json!([{ "match": {}, "do": { "mode": "slow", "first_ms": 60000 } }]);
    let slow = "{ provider = \"faulty\", model = \"slow\" }";
    let both = format!("[[{slow}], [{{ provider = \"upstream\", model = \"echo\" }}]]");
    let alone = format!("[[{slow}]]");
    let lines = "first_byte = \"3s\"";
    let models = [("routed/late", both.as_str(), lines), ("routed/lost", alone.as_str(), lines)];
    let pair = Pair::start(&script, "keepalive = \"1s\"\ncommit_headers = \"1s\"", "", &models).await?;
    let headers = [("authorization", format!("Bearer {}", pair.key)), ("content-type", "application/json".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let asked = body("routed/late", true).to_string();
    let answer = pair.world.client.send("POST", CHAT, &headers, asked.as_bytes()).await?;
    let text = answer.text();
    assert!(answer.status == 200 && text.starts_with(": keep-alive\n\n"), "{text}");
    assert!(text.contains("\"hell\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
    let record = pair.world.record(answer.header("x-request-id")).await?;
    assert_eq!(
        (&record["attempts"][0]["outcome"], &record["attempts"][1]["outcome"]),
        (&json!("timed_out"), &json!("answered"))
    );
    assert_eq!(record["charge"], "0.000010000", "{record}");
    // Nobody left: the status is out, so the failure is told in the stream, and nothing is charged.
    let begun = now();
    let mut events = pair.world.client.stream(CHAT, &pair.key, &body("routed/lost", true)).await?;
    assert!(begun.elapsed().as_millis() < 2900, "headers came after {:?}", begun.elapsed());
    let all = events.rest().await?;
    let last = all.last().cloned().unwrap_or_default();
    assert!(last.contains("\"code\":\"upstream_timeout\"") && !last.contains("[DONE]"), "{all:?}");
    let record = pair.world.record(&events.request_id()).await?;
    assert_eq!((&record["charge"], &record["status"]), (&json!("0.000000000"), &json!(200)), "{record}");
    assert_eq!(pair.world.held().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_provider_is_passed_over_and_a_prefix_stays_with_its_target() -> Result<()> {
    let script = json!([{ "match": { "model": "slow" }, "do": { "mode": "slow", "first_ms": 1500 } }]);
    let other = "{ provider = \"upstream\", model = \"echo\" }";
    let spill = format!("[[{{ provider = \"faulty\", model = \"slow\" }}], [{other}]]");
    let near = format!("[[{{ provider = \"faulty\", model = \"near\" }}, {other}]]");
    let alone = "[[{ provider = \"faulty\", model = \"slow\" }]]";
    let models = [
        ("routed/spill", spill.as_str(), ""),
        ("routed/alone", alone, ""),
        ("routed/near", near.as_str(), "affinity = \"key\""),
    ];
    let pair = Pair::start(&script, "", "max_concurrency = 1", &models).await?;
    let client = claviger_e2e::Client::new(&pair.world.url);
    let key = pair.key.clone();
    let mut first = JoinSet::new();
    first.spawn(async move { client.post(CHAT, &key, &body("routed/spill", false)).await });
    eventually(5, "the provider is busy", async || Ok((pair.faulty.count().await? == 1).then_some(()))).await?;
    let spilled = pair.ask("routed/spill").await?;
    assert_eq!(pair.attempts(&spilled).await?, [("upstream".to_owned(), "answered".to_owned())]);
    assert_eq!(pair.ask("routed/alone").await?.refusal(), (503, "overloaded".to_owned()));
    let first = first.join_all().await.pop().expect("it was asked")?;
    assert_eq!(pair.attempts(&first).await?, [("faulty".to_owned(), "answered".to_owned())]);

    let mut homes = Vec::new();
    for prefix in 0..8 {
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut request = body("routed/near", false);
            request["prompt_cache_key"] = json!(format!("prefix-{prefix}"));
            let answer = pair.world.client.post(CHAT, &pair.key, &request).await?;
            seen.push(pair.attempts(&answer).await?[0].0.clone());
        }
        assert!(seen.iter().all(|home| *home == seen[0]), "{seen:?}");
        homes.push(seen[0].clone());
    }
    homes.sort();
    homes.dedup();
    // By one key in 128 all eight prefixes have one home.
    assert!(!homes.is_empty());
    Ok(())
}
