//! Prepaid credit: never overspent, not by one unit, and scarce credit is used up to less than one call.

use claviger_e2e::{Engine, Plan, Result, World, is_long_run};
use serde_json::{Value, json};

/// Calls at once.
const CALLS: usize = 50;
/// What fits into the credit.
const FITTING: usize = 10;
/// The cost of one call, nano-units; the credit of a round is ten of them.
const CREDIT: &str = "0.000001";

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_calls_on_credit_for_ten_give_exactly_ten_on_sqlite() -> Result<()> {
    rounds(Engine::Sqlite, 200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_calls_on_credit_for_ten_give_exactly_ten_on_postgres() -> Result<()> {
    rounds(Engine::Postgres, 200).await
}

async fn rounds(engine: Engine, repetitions: usize) -> Result<()> {
    let world = Plan::default().on(engine).without_credit().start().await?;
    let key = world.key("scarce").await?;
    let repetitions = if is_long_run() { repetitions * 5 } else { repetitions };
    for round in 0..repetitions {
        world.grant(CREDIT).await?;
        world.upstream.forget().await?;
        let answers = at_once(&world, &key).await?;
        let served = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(served, FITTING, "round {round} on {engine:?}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let code = answer.code();
            assert_eq!(answer.status, 429, "round {round}: {}", answer.text());
            assert!(matches!(code.as_str(), "insufficient_quota" | "credit_on_hold"), "round {round}: {code}");
            if code == "insufficient_quota" {
                assert_eq!((answer.header("x-should-retry"), answer.header("x-claviger-limit")), ("false", "wallet"));
            } else {
                assert_eq!((answer.header("x-should-retry"), answer.header("retry-after-ms")), ("", "1000"));
            }
        }
        assert_eq!(world.balance().await?, 0, "round {round} on {engine:?}");
        assert_eq!(world.upstream.count().await?, FITTING, "no refused call reached the upstream");
    }
    let refused = call(&world, &key).await?;
    assert_eq!(refused.refusal(), (429, "insufficient_quota".to_owned()));
    assert!(refused.text().contains("You exceeded your current quota, please check your plan and billing details."));
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

async fn at_once(world: &World, key: &str) -> Result<Vec<claviger_e2e::Answer>> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let (client, key) = (world.client.clone(), key.to_owned());
        calls.spawn(async move { client.post("/v1/chat/completions", &key, &paid("paid/request")).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = calls.join_next().await {
        answers.push(answer??);
    }
    Ok(answers)
}

async fn call(world: &World, key: &str) -> Result<claviger_e2e::Answer> {
    world.client.post("/v1/chat/completions", key, &paid("paid/request")).await
}

fn paid(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello" }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn scarce_credit_clamps_max_tokens_and_is_used_up_on_sqlite() -> Result<()> {
    scarce(Engine::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn scarce_credit_clamps_max_tokens_and_is_used_up_on_postgres() -> Result<()> {
    scarce(Engine::Postgres).await
}

/// Calls until one is refused with nothing held: each is clamped to what the wallet pays, the wallet never falls below
/// zero, and what is left buys not even the smallest call.
async fn scarce(engine: Engine) -> Result<()> {
    let world = Plan::default().on(engine).credit("0.004").start().await?;
    let key = world.key("scarce").await?;
    let mut clamps: Vec<u64> = Vec::new();
    for _ in 0..1_000 {
        let mut body = paid("paid/stream");
        body["sim"] = json!({ "tokens": 10_000, "first_ms": 0, "gap_ms": 0 });
        let answer = world.client.post("/v1/chat/completions", &key, &body).await?;
        assert!(world.balance().await? >= 0);
        if answer.status == 429 {
            assert_eq!(answer.code(), "insufficient_quota", "{}", answer.text());
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        if let Ok(clamp) = answer.header("x-claviger-max-tokens").parse() {
            clamps.push(clamp);
            let seen = world.upstream.seen().await?.pop().map(|seen| seen.json()).unwrap_or_default();
            let limit = seen["max_completion_tokens"].as_u64().or(seen["max_tokens"].as_u64());
            assert_eq!(limit, Some(clamp), "the upstream is told: {seen}");
            assert!(answer.json()["usage"]["completion_tokens"].as_u64().unwrap_or(u64::MAX) <= clamp);
            assert_eq!(answer.json()["choices"][0]["finish_reason"], "length");
        }
    }
    assert!(!clamps.is_empty(), "the credit was scarce enough to clamp");
    let left = world.balance().await?;
    let body = paid("paid/stream").to_string().len();
    let smallest = claviger_e2e::token_cost(body as u64 + 60 + 1_024, 1_000_000_000, 16, 2_000_000_000);
    assert!((0..smallest).contains(&left), "{left} is left, the smallest call is bounded by {smallest}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_token_calls_on_scarce_credit_never_go_below_zero() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).credit("0.05").start().await?;
        let key = world.key("burst").await?;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..200_u64 {
            let (client, key) = (world.client.clone(), key.clone());
            calls.spawn(async move {
                let mut body = paid("paid/stream");
                body["sim"] = json!({ "tokens": 50 + number, "first_ms": 0, "gap_ms": 0 });
                body["max_tokens"] = json!(300);
                client.post("/v1/chat/completions", &key, &body).await
            });
        }
        while let Some(answer) = calls.join_next().await {
            let answer = answer??;
            assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
            assert!(world.balance().await? >= 0);
        }
        assert_eq!(world.held().await?, 0);
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_that_running_requests_hold_is_named_and_comes_back() -> Result<()> {
    let world = Plan::default().credit("0.0015").start().await?;
    let key = world.key("holder").await?;
    let mut slow = paid("paid/stream");
    slow["stream"] = json!(true);
    slow["sim"] = json!({ "tokens": 20, "first_ms": 0, "gap_ms": 50 });
    let mut events = world.client.stream("/v1/chat/completions", &key, &slow).await?;
    events.next().await?;
    let held = world.held().await?;
    assert!((1_400_000..=1_500_000).contains(&held), "the clamped bound is nearly everything: {held}");
    let refused = world.client.post("/v1/chat/completions", &key, &paid("paid/stream")).await?;
    assert_eq!(refused.refusal(), (429, "credit_on_hold".to_owned()));
    assert_eq!(refused.header("retry-after-ms"), "1000");
    events.rest().await?;
    assert_eq!(world.held().await?, 0);
    let served = world.client.post("/v1/chat/completions", &key, &paid("paid/echo")).await?;
    assert_eq!(served.status, 200, "{}", served.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_refused_unless_it_is_free() -> Result<()> {
    let world = Plan::default().without_credit().start().await?;
    let key = world.key("prices").await?;
    let refused = world.client.post("/v1/chat/completions", &key, &paid("unpriced/echo")).await?;
    assert_eq!(refused.refusal(), (400, "model_not_priced".to_owned()));
    assert_eq!(world.upstream.count().await?, 0);
    let free = world.client.post("/v1/chat/completions", &key, &paid("free/echo")).await?;
    assert_eq!(free.status, 200, "{}", free.text());
    assert_eq!(world.balance().await?, 0);
    Ok(())
}
