//! W31 on inference: under one Idempotency-Key a request runs once, is charged once, and is answered as often as asked.

use claviger_e2e::{Answer, Engine, Plan, Result, World, eventually, node, python};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CHAT: &str = "/v1/chat/completions";

fn body(text: &str) -> Value {
    json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": text }] })
}

async fn post(world: &World, key: &str, name: &str, body: &Value) -> Result<Answer> {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", name)];
    world.client.send("POST", CHAT, &headers, body.to_string().as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_under_its_key_gets_the_same_answer_and_is_charged_once() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        let (key, other) = (world.key("orders").await?, world.key("others").await?);
        let before = world.balance().await?;
        let first = post(&world, &key, "order 7", &body("Say hello")).await?;
        assert_eq!((first.status, first.header("idempotent-replayed")), (200, ""), "{}", first.text());
        let cost = before - world.balance().await?;
        assert!(cost > 0);
        for path in [CHAT, "/api/chat/completions"] {
            let bearer = format!("Bearer {key}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
                ("idempotency-key", "order 7"),
            ];
            let again = world.client.send("POST", path, &headers, body("Say hello").to_string().as_bytes()).await?;
            assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"), "{}", again.text());
            assert_eq!((&again.body, again.header("content-type")), (&first.body, first.header("content-type")));
            assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
            let record = world.record(again.header("x-request-id")).await?;
            assert_eq!(
                (&record["outcome"], &record["charge"]),
                (&json!("replayed"), &json!("0.000000000")),
                "{record}"
            );
        }
        assert_eq!(world.upstream.count().await?, 1);
        let refused = post(&world, &key, "order 7", &body("Say goodbye")).await?;
        assert_eq!(refused.refusal(), (400, "idempotency_key_reused".to_owned()));
        for bad in ["", &"x".repeat(256)] {
            let refused = post(&world, &key, bad, &body("Say hello")).await?;
            assert_eq!(refused.refusal(), (400, "invalid_idempotency_key".to_owned()), "{bad}");
        }
        assert_eq!(world.upstream.count().await?, 1);

        // The name is this key's own.
        assert_eq!(post(&world, &other, "order 7", &body("Say hello")).await?.status, 200);
        assert_eq!((world.upstream.count().await?, before - world.balance().await?), (2, 2 * cost));
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cost_nothing_runs_again_under_its_name_and_what_was_paid_for_does_not() -> Result<()> {
    for engine in Engine::ALL {
        let mut world = Plan::default().on(engine).start().await?;
        let key = world.key("orders").await?;
        let first = post(&world, &key, "order 7", &body("Say hello")).await?;

        // What was refused, or failed without a charge, may run again.
        let mut unknown = body("Say hello");
        unknown["model"] = json!("no/such");
        assert_eq!(post(&world, &key, "order 8", &unknown).await?.status, 404);
        let mut failing = body("Say hello");
        failing["sim"] = json!({ "mode": "status", "code": 500 });
        for _ in 0..2 {
            let free = async || {
                let failed = post(&world, &key, "order 9", &failing).await?;
                Ok((failed.status == 502).then_some(()))
            };
            eventually(5, "the failed one is given back", free).await?;
        }

        // A stream is charged and not kept.
        let mut streamed = body("Say hello");
        streamed["stream"] = json!(true);
        let stream = post(&world, &key, "order 10", &streamed).await?;
        assert!(stream.text().ends_with("data: [DONE]\n\n"), "{}", stream.text());
        let spent = async || {
            let refused = post(&world, &key, "order 10", &streamed).await?;
            Ok((refused.code() != "idempotency_in_progress").then_some(refused))
        };
        let refused = eventually(5, "the stream is over", spent).await?;
        assert_eq!(refused.refusal(), (400, "idempotency_not_replayable".to_owned()));
        assert!(refused.text().contains(stream.header("x-request-id")), "{}", refused.text());
        assert_eq!(refused.header("x-should-retry"), "false");

        // One that runs when the process dies cost nothing and is given back; what was answered stays answered.
        let count = world.upstream.count().await?;
        let mut slow = body("Say it slowly");
        slow["sim"] = json!({ "mode": "slow", "first_ms": 600 });
        let (client, of_key, sent) = (claviger_e2e::Client::new(&world.url), key.clone(), slow.to_string());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let bearer = format!("Bearer {of_key}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("content-type", "application/json"),
                ("idempotency-key", "order 11"),
            ];
            client.send("POST", CHAT, &headers, sent.as_bytes()).await
        });
        eventually(5, "it runs", async || Ok((world.upstream.count().await? == count + 1).then_some(()))).await?;
        let refused = post(&world, &key, "order 11", &slow).await?;
        assert_eq!(refused.refusal(), (409, "idempotency_in_progress".to_owned()));
        assert_eq!((refused.header("retry-after-ms"), refused.header("x-should-retry")), ("500", "true"));
        world.kill().await?;
        world.restart().await?;
        assert!(running.join_all().await.pop().is_some_and(|answer| answer.is_err()));
        assert_eq!(post(&world, &key, "order 11", &slow).await?.status, 200);
        let again = post(&world, &key, "order 7", &body("Say hello")).await?;
        assert_eq!((&again.body, again.header("idempotent-replayed")), (&first.body, "true"));
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_that_give_up_waiting_and_ask_again_pay_once_and_get_the_answer() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("patience").await?;
    let base = format!("{}/v1", world.url);
    let mut asked = world.upstream.count().await?;
    for (name, script) in [("python", python("openai-3", "idempotent.py")?), ("node", node("idempotent.mjs")?)] {
        let before = world.balance().await?;
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
        let printed = script.arg("paid/echo").arg(name).json().await?;
        assert_eq!(
            (&printed["text"], &printed["replayed"]),
            (&json!("Say hello"), &json!("true")),
            "{name}: {printed}"
        );
        asked += 1;
        assert_eq!(world.upstream.count().await?, asked, "{name}: one call upstream");
        // 3 + 1 tokens in at 1, 3 out at 2, as one call costs.
        let plain = world.client.post(CHAT, &key, &body("Say hello")).await?;
        asked += 1;
        let record = world.record(plain.header("x-request-id")).await?;
        let cost = before - world.balance().await?;
        let one = (record["charge"].as_str().unwrap_or_default()).replace("0.", "").parse::<i64>()?;
        assert_eq!(cost, 2 * one, "{name}: one charge, and the one of the comparison");
    }
    world.verify_ledger().await
}
