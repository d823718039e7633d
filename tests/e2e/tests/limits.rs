//! Limits on the real program: the organization's addresses, models of environments, rates, places.
//!
//! Rows are those of the table of bad inputs; P16 at the size of every run: ten times the limit, and every window of
//! sixty seconds that the run has.
#![expect(clippy::disallowed_methods, reason = "a test that sends at its own pace owns its tasks")]

use claviger_e2e::{Answer, Plan, Result, World, chat, now, refused};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn row_62_a_refused_rate_says_whose_limit_and_when() -> Result<()> {
    let world = Plan::default().more("[limits]\nrpm = 6\n").start().await?;
    let slow = world.key("slow").await?;
    let first = world.ask(&slow, "paid/echo").await?;
    assert_eq!((first.status, first.header("x-ratelimit-limit-requests")), (200, "6"));
    assert_eq!((first.header("x-ratelimit-remaining-requests"), first.header("x-ratelimit-limit-tokens")), ("0", ""));
    let balance = world.balance().await?;
    let second = world.ask(&slow, "paid/echo").await?;
    assert_eq!(second.refusal(), refused(429, "rate_limit_exceeded"));
    let error = &second.json()["error"];
    let message = error["message"].as_str().unwrap_or_default();
    assert_eq!(error["type"], "requests");
    assert!(
        message.starts_with("Rate limit reached for requests per minute: limit 6, used 6. Please try again in 9."),
        "{message}"
    );
    assert_eq!(second.header("x-claviger-limit"), "key.rpm");
    let milliseconds: u64 = second.header("retry-after-ms").parse()?;
    assert!((8_000..=10_000).contains(&milliseconds), "{milliseconds}");
    assert_eq!(second.header("retry-after"), milliseconds.div_ceil(1000).to_string());
    assert_eq!((second.header("x-ratelimit-remaining-requests"), second.header("x-should-retry")), ("0", ""));
    assert!(message.ends_with(&format!("{}.", second.header("x-ratelimit-reset-requests"))), "{message}");
    assert_eq!((world.balance().await?, world.held().await?), (balance, 0), "a refusal costs no credit");

    let world = Plan::default().more("[limits]\ntpm = 60\n").start().await?;
    let words = world.key("words").await?;
    let long = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "x".repeat(4_000) }] });
    let first = world.client.post("/v1/chat/completions", &words, &long).await?;
    assert_eq!(first.status, 200, "a prompt above the burst is slow, not impossible: {}", first.text());
    let second = world.ask(&words, "paid/echo").await?;
    assert_eq!(second.refusal(), refused(429, "rate_limit_exceeded"));
    assert_eq!(
        (second.json()["error"]["type"].as_str(), second.header("x-claviger-limit")),
        (Some("tokens"), "key.tpm")
    );
    assert_eq!(
        (second.header("x-should-retry"), second.header("retry-after-ms")),
        ("false", ""),
        "that debt takes longer than a minute"
    );

    let id = second.header("x-request-id").to_owned();
    let record = world.record(&id).await?;
    assert_eq!((&record["charge"], &record["outcome"]), (&json!("0.000000000"), &json!("refused")), "{record}");
    assert_eq!(record["refused_by"], json!({ "rule": "key.tpm", "value": "60" }));
    let told = world.claviger(&["explain", &id]).await?;
    assert!(told.contains("rule key.tpm = 60"), "{told}");
    assert!(told.contains("set by"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_environment_and_the_organization_are_shared_by_their_keys() -> Result<()> {
    let world = World::usual().await?;
    let (one, two) = (world.key("one").await?, world.key("two").await?);
    let set = async |path: &str, body: Value| -> Result<()> {
        let answer = world.client.post(path, &world.admin_key, &body).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Ok(())
    };
    let project = world.environment_path().await?;
    set(&format!("{project}/rate_limits/*"), json!({ "max_requests_per_1_minute": 12 })).await?;
    assert_eq!(world.ask(&one, "free/echo").await?.header("x-ratelimit-remaining-requests"), "1");
    assert_eq!(world.ask(&two, "free/echo").await?.status, 200);
    let third = world.ask(&one, "free/echo").await?;
    assert_eq!((third.status, third.header("x-claviger-limit")), (429, "environment.rpm"));
    assert!(third.text().contains("requests per minute of this key's environment: limit 12"), "{}", third.text());

    // Raising the limit gives nothing at once; lifting it does.
    set(&format!("{project}/rate_limits/*"), json!({ "max_requests_per_1_minute": 60_000 })).await?;
    set(&format!("{project}/rate_limits/*"), json!({ "max_requests_per_1_minute": null })).await?;
    assert_eq!(world.ask(&one, "free/echo").await?.status, 200);

    set(&format!("{project}/rate_limits/paid%2Fecho"), json!({ "max_requests_per_1_minute": 1 })).await?;
    assert_eq!(world.ask(&one, "paid/echo").await?.status, 200);
    let again = world.ask(&two, "paid/echo").await?;
    assert_eq!((again.status, again.header("x-claviger-limit")), (429, "environment.rpm"));
    assert!(again.text().contains("for the model `paid/echo`"), "{}", again.text());
    assert_eq!(world.ask(&two, "paid/stream").await?.status, 200);

    set("/v1/organization/rate_limits/*", json!({ "max_requests_per_1_minute": 1 })).await?;
    assert_eq!(world.ask(&one, "free/echo").await?.status, 200);
    assert_eq!(world.ask(&two, "free/echo").await?.header("x-claviger-limit"), "organization.rpm");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_asks_about_itself_at_its_own_rate_and_a_restart_fills_nothing() -> Result<()> {
    let mut world = Plan::default().more("[limits]\nrpm = 6\nself_service_rpm = 12\n").start().await?;
    let key = world.key("restarted").await?;
    for _ in 0..2 {
        assert_eq!(world.client.get("/v1/models", &key).await?.status, 200);
    }
    let third = world.client.get("/v1/key", &key).await?;
    assert_eq!(
        (third.refusal(), third.header("x-claviger-limit")),
        (refused(429, "rate_limit_exceeded"), "key.self_service")
    );
    assert_eq!(world.ask(&key, "free/echo").await?.status, 200, "inference is counted elsewhere");
    assert_eq!(world.ask(&key, "free/echo").await?.status, 429);
    world.server.stop().await?;
    world.restart().await?;
    assert_eq!(world.ask(&key, "free/echo").await?.status, 429, "what was used before is not known: nothing is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_exact_under_a_thousand_parallel_requests() -> Result<()> {
    let world = Plan::default().more("[limits]\nconcurrency = 8\n").start().await?;
    let key = world.key("crowd").await?;
    // Long enough that all thousand have asked before the first is over.
    let mut body = chat("free/stream");
    body["stream"] = json!(true);
    body["sim"] = json!({ "tokens": 1, "first_ms": 6_000, "gap_ms": 0 });
    let answers = join_all((0..1_000).map(|_| world.client.post("/v1/chat/completions", &key, &body))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    let refusals: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert_eq!(passed, 8);
    for refusal in &refusals {
        assert_eq!(
            (refusal.code().as_str(), refusal.header("x-claviger-limit")),
            ("rate_limit_exceeded", "key.concurrency")
        );
    }
    let message = refusals[0].text();
    assert!(message.contains("requests at once: limit 8, running 8. Please try again in 1s."), "{message}");
    assert_eq!(refusals[0].header("retry-after"), "1");
    // Every place is free again.
    let again = join_all((0..8).map(|_| world.client.post("/v1/chat/completions", &key, &body))).await;
    assert!(again.into_iter().all(|answer| answer.is_ok_and(|answer| answer.status == 200)));
    Ok(())
}

/// P16: ten times the limit for seventy seconds, which has ten windows of sixty that begin a second apart.
#[tokio::test(flavor = "multi_thread")]
async fn p16_no_window_passes_more_than_the_bound_and_nearly_all_of_it_is_usable() -> Result<()> {
    const LIMIT: usize = 240;
    let world = Plan::default().more(&format!("[limits]\nrpm = {LIMIT}\n")).start().await?;
    let key = world.key("ten times").await?;
    let before = world.balance().await?;
    let begun = now();
    let mut asked = 0_u32;
    let mut running = Vec::new();
    while begun.elapsed() < Duration::from_secs(70) {
        let due = begun.elapsed().as_millis() * (LIMIT as u128) * 10 / 60_000;
        while u128::from(asked) < due {
            asked += 1;
            let (client, key) = (world.client.clone(), key.clone());
            running.push(tokio::spawn(async move {
                let answer = client.post("/v1/chat/completions", &key, &chat("paid/request")).await?;
                Ok::<_, anyhow::Error>((begun.elapsed(), answer.status))
            }));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut passed = Vec::new();
    for ask in running {
        let (at, status) = ask.await??;
        assert!(status == 200 || status == 429, "{status}");
        if status == 200 {
            passed.push(at);
        }
    }
    passed.sort();
    // An answer is seen a little after it was let through, so a window is looked at that is a little shorter.
    let window = Duration::from_millis(59_900);
    let bound = LIMIT * 7 / 6;
    for second in 0..10 {
        let begin = Duration::from_secs(second);
        let count = passed.iter().filter(|at| **at >= begin && **at < begin + window).count();
        assert!(count <= bound, "window {second}: {count} of {bound}");
        assert!(count * 100 >= LIMIT * 95, "window {second}: {count} of {LIMIT} usable");
    }
    assert!(usize::try_from(asked)? >= passed.len() * 7, "{asked} asked, {} passed", passed.len());
    let charged = before - world.balance().await?;
    assert_eq!(charged, i64::try_from(passed.len())? * 100, "denials cost no credit");
    assert_eq!(world.held().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_34_and_35_an_organization_allows_addresses_and_only_trusted_proxies_name_them() -> Result<()> {
    let allow = json!({ "allowed_ips": ["203.0.113.0/24"] });
    let world = Plan::default().server("trusted_proxies = [\"127.0.0.1\"]").start().await?;
    let key = world.key("listed").await?;
    let set = world.client.post("/v1/organization/policy", &world.admin_key, &allow).await?;
    assert_eq!(set.status, 200, "{}", set.text());
    for (forwarded, status, code) in [
        ("203.0.113.9", 200, ""),
        ("198.51.100.1, 203.0.113.9", 200, ""),
        ("203.0.113.9, 198.51.100.1", 403, "ip_not_allowed"),
        ("203.0.113.9, garbage", 403, "client_ip_unknown"),
    ] {
        let answer = world.ask_from(&key, &[("x-forwarded-for", forwarded)]).await?;
        assert_eq!(answer.refusal(), refused(status, code), "{forwarded}");
    }
    // The management plane is held to the same list, by the same client.
    let bearer = format!("Bearer {}", world.admin_key);
    for (forwarded, status) in [("203.0.113.9", 200), ("198.51.100.1", 403)] {
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", forwarded)];
        let answer = world.client.send("GET", "/v1/organization/api_keys", &headers, b"").await?;
        assert_eq!(answer.status, status, "{forwarded}: {}", answer.text());
    }

    let world = World::usual().await?;
    let key = world.key("listed").await?;
    assert_eq!(world.client.post("/v1/organization/policy", &world.admin_key, &allow).await?.status, 200);
    let spoofed = world.ask_from(&key, &[("x-forwarded-for", "203.0.113.9")]).await?;
    assert_eq!(spoofed.refusal(), refused(403, "ip_not_allowed"));
    let text = spoofed.text();
    assert!(text.contains("Requests from 127.0.0.1 are not allowed for this organization."), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_48_an_environments_rule_hides_models_from_every_key_in_it() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("free").await?;
    let path = format!("{}/model_permissions", world.environment_path().await?);
    let rule = json!({ "mode": "deny_list", "model_ids": ["paid/*"] });
    assert_eq!(world.client.post(&path, &world.admin_key, &rule).await?.status, 200);
    let refusal = world.ask(&key, "paid/echo").await?;
    assert_eq!(refusal.refusal(), refused(403, "model_not_allowed"));
    assert_eq!(refusal.json()["error"]["param"], "model");
    assert_eq!(world.ask(&key, "nobody/echo").await?.refusal(), refused(404, "model_not_found"));
    assert!(!world.client.get("/v1/models", &key).await?.text().contains("paid/"));
    assert_eq!(world.client.get("/v1/models/paid/echo", &key).await?.refusal(), refused(404, "model_not_found"));
    assert_eq!(world.client.delete(&path, &world.admin_key).await?.status, 200);
    assert_eq!(world.ask(&key, "paid/echo").await?.status, 200);
    Ok(())
}
