//! Keyless machines on the real program: an identity provider in another process signs tokens, the command line says whom
//! an agent trusts, and a job turns its token into a key that lives for minutes. The provider changes its keys meanwhile.

use claviger_e2e::{Answer, Issuer, Plan, Result, World, refused, text};
use serde_json::{Value, json};

async fn world(provider: &Issuer) -> Result<World> {
    let lines = format!("[[oidc]]\nname = \"ci\"\nissuer = \"{}\"\nfor = [\"agents\"]\n", provider.url);
    Plan::default().more(&lines).start().await
}

/// What a job of the main branch says of itself; `number` tells one run from another.
fn job(number: u64) -> Value {
    json!({
        "aud": "https://keys.acme.example", "sub": "repo:acme/shop:ref:refs/heads/main", "ref": "refs/heads/main",
        "jti": number.to_string(),
    })
}

async fn exchange(world: &World, token: &str) -> Result<Answer> {
    let body = json!({ "token": token }).to_string();
    let headers = [("content-type", "application/json")];
    world.client.send("POST", "/v1/agents/exchange", &headers, body.as_bytes()).await
}

/// Makes an agent that trusts jobs of the main branch; its id, and the trust's.
async fn trusting(world: &World, provider: &Issuer) -> Result<(String, String)> {
    let agent = world.claviger(&["agents", "create", "deploys", "-q"]).await?;
    let agent = agent.trim();
    let mut line = vec!["agents", "trust", "create", agent, "--issuer", &provider.url];
    line.extend(["--audience", "https://keys.acme.example", "--subject", "repo:acme/shop:*"]);
    line.extend(["--claim", "ref=refs/heads/main", "--ttl", "10m", "--tag", "ci", "--model", "free/*", "--rpm", "600"]);
    line.push("-q");
    Ok((agent.to_owned(), world.claviger(&line).await?.trim().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_turns_its_token_into_a_key_of_its_agent_while_the_issuer_changes_its_keys() -> Result<()> {
    let provider = Issuer::start().await?;
    let world = world(&provider).await?;
    let (agent, trust) = trusting(&world, &provider).await?;
    let token = provider.token(&job(1)).await;
    let made = exchange(&world, &token).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let key = made.json();
    assert_eq!((text(&key["service_account_id"]), made.header("cache-control")), (agent.clone(), "no-store"));
    let value = text(&key["value"]);
    assert_eq!(world.ask(&value, "free/echo").await?.status, 200);
    assert_eq!(world.ask(&value, "paid/echo").await?.refusal(), refused(403, "model_not_allowed"));
    let own = world.client.get("/v1/key", &value).await?.json();
    assert_eq!(own["data"]["source_tag"], "ci", "{own}");
    assert!(own["data"]["expires_at"].is_string() || own["data"]["expires_at"].is_i64(), "{own}");
    assert_eq!(exchange(&world, &token).await?.refusal(), refused(401, "invalid_token"), "once");

    // The issuer shows another key: it is looked for at the first token that names it.
    provider.rotate().await?;
    let rotated = exchange(&world, &provider.token(&job(2)).await).await?;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    // What the former key signed is worth nothing once the issuer shows it no more.
    assert_eq!(
        exchange(&world, &provider.token_by_former(&job(3)).await).await?.refusal(),
        refused(401, "invalid_token")
    );

    for (what, claims) in [
        ("another branch", json!({ "ref": "refs/heads/evil" })),
        ("another repository", json!({ "sub": "repo:evil/shop:ref:refs/heads/main" })),
        ("another audience", json!({ "aud": "https://elsewhere.example" })),
        ("another issuer", json!({ "iss": "http://127.0.0.1:1" })),
        ("over", json!({ "exp": 1_000_000_000 })),
    ] {
        let mut body = job(10);
        body.as_object_mut().into_iter().for_each(|body| body.extend(claims.as_object().cloned().unwrap_or_default()));
        let answer = exchange(&world, &provider.token(&body).await).await?;
        assert_eq!(answer.refusal(), refused(401, "invalid_token"), "{what}");
    }
    let log = world.client.get("/v1/organization/audit_logs?event_types[]=trust.refused", &world.admin_key).await?;
    assert!(log.text().contains("claim") && log.text().contains(&trust), "told to the organization: {}", log.text());

    // The trust ends, and with it what came from it.
    world.claviger(&["agents", "trust", "delete", &agent, &trust, "-y"]).await?;
    for value in [&value, &text(&rotated.json()["value"])] {
        assert_eq!(world.ask(value, "free/echo").await?.refusal(), refused(401, "key_revoked"));
    }
    assert_eq!(exchange(&world, &provider.token(&job(20)).await).await?.refusal(), refused(401, "invalid_token"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_kept_by_the_command_line() -> Result<()> {
    let world = World::usual().await?;
    let claviger = async |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = world.run(&words, "").await?;
        Ok::<_, anyhow::Error>((ran.code, ran.out.trim().to_owned(), ran.err))
    };
    let json = async |line: &str| Ok::<Value, anyhow::Error>(serde_json::from_str(&claviger(line).await?.1)?);
    let names =
        |rows: &Value| -> Vec<String> { rows.as_array().into_iter().flatten().map(|row| text(&row["name"])).collect() };

    assert_eq!(claviger("organizations create Second --slug second --max-keys 3").await?.0, 0);
    let mut organizations = names(&json("organizations list --json").await?);
    organizations.sort();
    assert_eq!(organizations, ["Acme", "Second"]);
    let edited = json("organizations edit --organization acme --name Acme-2 --time-zone Asia/Shanghai --json").await?;
    assert_eq!(
        (text(&edited["name"]), text(&edited["reporting_zone"])),
        ("Acme-2".to_owned(), "Asia/Shanghai".to_owned())
    );
    let got = json("organizations get --organization second --json").await?;
    assert_eq!(text(&got["slug"]), "second", "{got}");

    let (code, staging, _) = claviger("environments create staging --organization acme -q").await?;
    assert!(code == 0 && staging.starts_with("env_"), "{staging}");
    assert_eq!(names(&json("environments list --organization second --json").await?), ["production"]);
    let agent = claviger("agents create robot --environment staging --role reader --organization acme -q").await?.1;
    assert!(agent.starts_with("agt_"), "{agent}");
    let shown = json(&format!("agents get {agent} --environment staging --organization acme --json")).await?;
    assert_eq!((text(&shown["name"]), text(&shown["role"])), ("robot".to_owned(), "reader".to_owned()), "{shown}");
    assert_eq!(claviger(&format!("agents get {agent} --organization acme")).await?.0, 3, "it lives elsewhere");
    let key = format!("keys create by-robot --agent {agent} --environment staging --organization acme");
    let (code, value, told) = claviger(&key).await?;
    assert_eq!((code, world.ask(&value, "free/echo").await?.status), (0, 200), "{told}");
    let (code, _, told) = claviger("environments archive staging --organization acme -y").await?;
    assert!(code != 0 && told.contains("environment_in_use"), "{code}: {told}");
    assert_eq!(claviger(&format!("agents end {agent} --environment staging --organization acme -y")).await?.0, 0);
    assert_eq!(world.ask(&value, "free/echo").await?.refusal(), refused(401, "key_revoked"), "its keys end with it");
    assert_eq!(claviger("environments archive staging --organization acme -y").await?.0, 0);
    assert_eq!(names(&json("environments list --organization acme --json").await?), ["production"]);
    assert_eq!(json("environments list --organization acme --all --json").await?.as_array().map(Vec::len), Some(2));
    Ok(())
}
