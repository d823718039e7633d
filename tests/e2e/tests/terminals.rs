//! Programs that people talk to at a terminal: Codex, Claude Code and `llm`, each a process of its own with a home of its
//! own. What they print, what arrives upstream of what they send, what it costs, and how often they ask when refused.

use anyhow::Context as _;
use claviger_e2e::{Plan, Ran, Result, Script, Seen, Tap, World, node_program, text, venv_program};
use serde_json::{Value, json};

const CLAUDE: &str = "@anthropic-ai/claude-code-linux-x64/claude";

async fn revoked(world: &World) -> Result<String> {
    let key = world.create_key(&json!({ "name": "old" })).await?;
    world.revoke(&text(&key["id"])).await?;
    Ok(text(&key["value"]))
}

fn codex(base: &str, key: &str) -> Result<Script> {
    let settings = format!(
        "model = \"paid/gpt\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\n\
         base_url = \"{base}/v1\"\nenv_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n"
    );
    let script = node_program("@openai/codex/bin/codex.js")?.file(".codex/config.toml", &settings)?;
    Ok(script.env("OPENAI_API_KEY", key).arg("exec").arg("--skip-git-repo-check").arg("Say hello"))
}

fn claude(base: &str, variable: &str, key: &str) -> Result<Script> {
    let script = node_program(CLAUDE)?.env("ANTHROPIC_BASE_URL", base).env(variable, key);
    Ok(script.env("ANTHROPIC_MODEL", "paid/claude").arg("-p").arg("hi"))
}

/// Its one record is complete and charged exactly what the wallet lost; nothing is held.
async fn is_charged(world: &World, before: i64, endpoint: &str) -> Result<Value> {
    let [record] = <[Value; 1]>::try_from(world.records(5).await?).map_err(|all| anyhow::anyhow!("{all:#?}"))?;
    let told = (&record["endpoint"], &record["outcome"], &record["usage_source"]);
    assert_eq!(told, (&json!(endpoint), &json!("complete"), &json!("upstream_final")), "{record}");
    let charge: f64 = text(&record["charge"]).parse()?;
    let lost = before - world.balance().await?;
    assert!(lost > 0 && (charge * 1e9).round() == lost as f64, "{lost} of {record}");
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await?;
    Ok(record)
}

/// What it says of itself stays here, and so does its key.
fn is_discreet(seen: &Seen, key: &str) {
    let head = format!("{:?}", seen.headers());
    assert!(!head.contains(key), "{head}");
    for begin in ["x-codex", "x-claude-code", "x-stainless", "x-session", "session", "originator", "user-agent"] {
        assert!(seen.headers().iter().all(|(name, _)| !name.starts_with(begin)), "{begin}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_takes_a_turn_with_its_defaults_and_pays_for_it() -> Result<()> {
    let world = World::usual().await?;
    let (key, before) = (world.key("codex").await?, world.balance().await?);
    let tap = Tap::to(world.address()).await?;
    let ran = codex(tap.url(), &key)?.ran().await?;
    assert_eq!((ran.code, ran.out.trim()), (0, "Say hello"), "{}", ran.err);
    let sent = tap.sent();
    assert!(sent.contains(r#""type":"web_search""#), "its default tool that a server would run");
    assert!(sent.contains("x-codex-"), "what it says of itself");
    let [seen] = <[Seen; 1]>::try_from(world.upstream.seen().await?).map_err(|all| anyhow::anyhow!("{all:#?}"))?;
    assert_eq!(seen.path(), "/v1/responses");
    is_discreet(&seen, &key);
    let body = seen.json();
    let kinds: Vec<&str> =
        body["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["type"].as_str()).collect();
    assert!(kinds.len() > 2 && !kinds.contains(&"web_search"), "{kinds:?}");
    assert_eq!((&body["stream"], &body["store"]), (&json!(true), &json!(false)), "{body}");
    is_charged(&world, before, "responses").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_asks_once_without_credit_and_says_that_it_is_used_up() -> Result<()> {
    let world = Plan::default().credit("0.0000001").start().await?;
    let (key, revoked) = (world.key("codex").await?, revoked(&world).await?);
    let (poor, old) = (Tap::to(world.address()).await?, Tap::to(world.address()).await?);
    // It takes a 401 for a passing fault, whatever the server says, and waits some seconds between its tries.
    let (without, ended) = tokio::join!(codex(poor.url(), &key)?.ran(), codex(old.url(), &revoked)?.ran());
    let (without, ended) = (without?, ended?);
    assert!(without.code == 1 && without.err.contains("Quota exceeded"), "{without:?}");
    assert_eq!(poor.requests(), 1, "{without:?}");
    assert!(ended.code == 1 && ended.err.contains("This key was revoked"), "{ended:?}");
    assert_eq!(old.requests(), 6, "{ended:?}");
    assert_eq!(world.upstream.count().await?, 0, "nothing was asked for");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_takes_a_turn_by_either_credential_and_pays_for_it() -> Result<()> {
    for variable in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"] {
        let world = Plan::default().dialect("anthropic").start().await?;
        let (key, before) = (world.key("claude").await?, world.balance().await?);
        let ran = claude(&world.url, variable, &key)?.ran().await?;
        assert!(ran.code == 0 && ran.out.trim_end().ends_with("hi"), "{variable}: {ran:?}");
        let asked: Vec<Seen> = world.upstream.seen().await?;
        let [seen] = asked.as_slice() else { anyhow::bail!("{variable}: {asked:#?}") };
        assert_eq!(seen.path(), "/v1/messages?beta=true");
        assert!(seen.header("anthropic-beta").contains("claude-code"), "{variable}: {:?}", seen.headers());
        is_discreet(seen, &key);
        assert_eq!(seen.json()["model"], "claude", "the upstream's name");
        is_charged(&world, before, "messages").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_asks_once_when_its_key_or_its_credit_is_gone() -> Result<()> {
    let world = Plan::default().dialect("anthropic").credit("0.000001").start().await?;
    let (key, revoked) = (world.key("claude").await?, revoked(&world).await?);
    let cases = [
        ("ANTHROPIC_API_KEY", &key, "402 You exceeded your current quota"),
        ("ANTHROPIC_API_KEY", &revoked, "This key was revoked"),
        ("ANTHROPIC_AUTH_TOKEN", &revoked, "This key was revoked"),
    ];
    for (variable, key, said) in cases {
        let tap = Tap::to(world.address()).await?;
        let ran = claude(tap.url(), variable, key)?.ran().await?;
        assert!(ran.code == 1 && ran.out.contains(said), "{variable}: {ran:?}");
        assert_eq!(messages(&tap), 1, "{variable}: {ran:?}");
    }
    assert_eq!(world.upstream.count().await?, 0, "nothing was asked for");
    Ok(())
}

/// How many messages passed; it may look first whether anybody is there.
fn messages(tap: &Tap) -> usize {
    tap.sent().matches("POST /v1/messages").count()
}

async fn llm(base: &str, key: &str, more: &[&str], settings: &str) -> Result<Ran> {
    let mut script = venv_program("llm", "llm")?;
    if !settings.is_empty() {
        script = script.file("extra-openai-models.yaml", settings)?;
    }
    let home = script.home().to_str().context("a home")?.to_owned();
    let mut script = script.env("LLM_USER_PATH", &home).env("OPENAI_API_KEY", key).env("OPENAI_BASE_URL", base);
    for word in more {
        script = script.arg(word);
    }
    script.ran().await
}

#[tokio::test(flavor = "multi_thread")]
async fn llm_prints_the_answer_and_what_it_used_and_asks_once_without_credit() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("llm").await?;
    let base = format!("{}/v1", world.url);
    let listed = format!("- model_id: here\n  model_name: paid/echo\n  api_base: {base}\n  api_key_name: openai\n");
    let asks = [
        (base.as_str(), ["-m", "gpt-4", "hi", "-u"].as_slice(), ""),
        (&base, &["-m", "gpt-4", "hi", "-u", "--no-stream"], ""),
        ("http://127.0.0.1:9/v1", &["-m", "here", "hi", "-u"], listed.as_str()),
    ];
    for (base, words, settings) in asks {
        let ran = llm(base, &key, words, settings).await?;
        assert_eq!((ran.code, ran.out.trim()), (0, "hi"), "{words:?}: {}", ran.err);
        assert!(ran.err.contains("2 input, 1 output"), "{words:?}: {}", ran.err);
    }
    let asked: Vec<String> = world.records(5).await?.iter().map(|record| text(&record["model"])).collect();
    assert_eq!(asked, ["paid/echo", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"]);
    assert_eq!(world.upstream.count().await?, 3);
    world.verify_ledger().await?;

    let poor = Plan::default().credit("0.0000001").start().await?;
    let (key, tap) = (poor.key("llm").await?, Tap::to(poor.address()).await?);
    let ran = llm(&format!("{}/v1", tap.url()), &key, &["-m", "gpt-4", "hi"], "").await?;
    assert!(ran.code == 1 && ran.err.contains("You exceeded your current quota"), "{ran:?}");
    assert_eq!((tap.requests(), poor.upstream.count().await?), (1, 0));
    Ok(())
}
