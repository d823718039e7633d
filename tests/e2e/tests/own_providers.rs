//! Model servers that an organization brings along: its models are its own alone, its credential goes to its host alone,
//! and nothing that it names is reached beyond what the operator allows.

use claviger_e2e::{Answer, Plan, Program, Result, World, binary, eventually, token_cost};
use serde_json::{Value, json};
use std::path::Path;

const PROVIDERS: &str = "/v1/organization/providers";

/// An instance whose operator lets organizations reach this machine, a registry, and the upstream's credential.
async fn world() -> Result<(World, String, String)> {
    let world = Plan::default().more("[providers]\nallow_private = [\"127.0.0.0/8\"]\n").start().await?;
    let body = json!({ "name": "Own", "slug": "own" });
    let made = world.client.post("/v1/organization/registries", &world.admin_key, &body).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let registry = made.json()["id"].as_str().unwrap_or_default().to_owned();
    let credential = std::fs::read_to_string(world.folder.path().join("provider-key"))?.trim().to_owned();
    Ok((world, registry, credential))
}

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

async fn ask(world: &World, key: &str, model: &str) -> Result<Answer> {
    world.client.post("/v1/chat/completions", key, &chat(model)).await
}

async fn models(world: &World, key: &str) -> Result<Vec<String>> {
    let list = world.client.get("/v1/models", key).await?.json();
    Ok(list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|model| model["id"].as_str().unwrap_or_default().to_owned())
        .collect())
}

/// Whether any file below a directory holds these bytes.
fn is_in_files(folder: &Path, needle: &str, but: &str) -> Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_found = if path.is_dir() {
            is_in_files(&path, needle, but)?
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            !path.ends_with(but) && bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        };
        if is_found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// To another organization they are not listed, and as unknown as a model that nobody has.
async fn own_models_are_unknown_to_others(world: &World, key: &str) -> Result<()> {
    world.claviger(&["organizations", "create", "Second"]).await?;
    world.claviger(&["keys", "create", "theirs", "--organization", "second", "--to-file", "theirs.txt", "-q"]).await?;
    let theirs = std::fs::read_to_string(world.folder.path().join("theirs.txt"))?.trim().to_owned();
    assert!(!models(world, &theirs).await?.iter().any(|id| id.starts_with("own/")));
    let foreign = ask(world, &theirs, "own/echo").await?;
    let unknown = ask(world, &theirs, "own/nope").await?;
    assert_eq!(foreign.refusal(), (404, "model_not_found".to_owned()));
    assert_eq!(foreign.text().replace("own/echo", "own/nope"), unknown.text());
    for path in ["/v1/models/own/", "/v1/models/own%2F"] {
        let one = world.client.get(&format!("{path}echo"), &theirs).await?;
        let none = world.client.get(&format!("{path}nope"), &theirs).await?;
        assert_eq!(one.refusal(), (404, "model_not_found".to_owned()), "{path}");
        assert_eq!(one.text().replace("own/echo", "own/nope"), none.text(), "{path}");
        let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&one), names(&none), "{path}");
    }
    // With the same slug it gets its own, never the neighbour's.
    let namesake = ["providers", "add", "gpu", "--organization", "second", "--registry", "own", "--dialect", "openai"];
    let base_url = world.upstream.url();
    let rest = ["--base-url", base_url, "--model", "other=echo", "--credential-file", "provider-key", "--no-test"];
    world.claviger(&[&namesake[..], &rest].concat()).await?;
    assert_eq!(ask(world, &theirs, "own/echo").await?.refusal(), (404, "model_not_found".to_owned()));
    assert_eq!(ask(world, key, "own/other").await?.refusal(), (404, "model_not_found".to_owned()));
    let listed = models(world, &theirs).await?;
    assert_eq!(listed.iter().filter(|id| id.starts_with("own/")).collect::<Vec<_>>(), ["own/other"]);
    assert_eq!(world.upstream.count().await?, 1, "nobody else's request arrived");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_12_models_that_an_organization_brings_along_are_seen_by_it_alone() -> Result<()> {
    let (world, registry, credential) = world().await?;
    let body = json!({
        "name": "gpu", "registry_id": registry, "dialect": "openai", "base_url": format!("{}/v1", world.upstream.url()),
        "credential": credential, "models": [{ "name": "echo", "upstream_model": "sim-echo" }],
    });
    let made = world.client.post(PROVIDERS, &world.admin_key, &body).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    assert!(!made.text().contains(&credential));
    let path = format!("{PROVIDERS}/{}", made.json()["id"].as_str().unwrap_or_default());
    let tested = world.client.post(&format!("{path}/test"), &world.admin_key, &json!({})).await?;
    assert_eq!(tested.json()["ok"], true, "{}", tested.text());

    let key = world.key("own").await?;
    let before = world.balance().await?;
    world.upstream.forget().await?;
    let answer = ask(&world, &key, "own/echo").await?;
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("own/echo")), "{}", answer.text());
    let seen = world.upstream.seen().await?;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), format!("Bearer {credential}"));
    assert_eq!(seen[0].json()["model"], "sim-echo");
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!(record["model"], "own/echo", "{record}");
    assert_eq!(world.balance().await?, before, "one's own models cost nothing");
    assert!(models(&world, &key).await?.contains(&"own/echo".to_owned()));
    assert_eq!(world.client.get("/v1/models/own/echo", &key).await?.status, 200);

    own_models_are_unknown_to_others(&world, &key).await?;

    // A change is in force with its answer.
    let edit = async |body: Value| world.client.post(&path, &world.admin_key, &body).await;
    assert_eq!(edit(json!({ "enabled": false })).await?.status, 200);
    assert_eq!(ask(&world, &key, "own/echo").await?.refusal(), (404, "model_not_found".to_owned()));
    assert_eq!(edit(json!({ "enabled": true, "credential": "sk-wrong-credential-0000" })).await?.status, 200);
    assert_eq!(ask(&world, &key, "own/echo").await?.refusal(), (502, "upstream_auth_error".to_owned()));
    assert_eq!(edit(json!({ "credential": credential })).await?.status, 200);
    assert_eq!(ask(&world, &key, "own/echo").await?.status, 200, "a replaced credential starts anew");
    let moved = edit(json!({ "base_url": "https://elsewhere.example" })).await?;
    assert_eq!(moved.refusal(), (400, "credential_needed".to_owned()));

    assert!(
        !is_in_files(world.folder.path(), &credential, "provider-key")?,
        "the credential lies nowhere in the clear"
    );
    assert_eq!(world.client.delete(&path, &world.admin_key).await?.status, 200);
    assert_eq!(ask(&world, &key, "own/echo").await?.refusal(), (404, "model_not_found".to_owned()));
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organization_names_is_not_reached_inside_the_operators_network() -> Result<()> {
    let world = World::usual().await?;
    let body = json!({ "name": "Own", "slug": "own" });
    let made = world.client.post("/v1/organization/registries", &world.admin_key, &body).await?;
    let registry = made.json()["id"].as_str().unwrap_or_default().to_owned();
    let key = world.key("own").await?;
    let port = world.upstream.url().rsplit(':').next().unwrap_or_default().to_owned();
    world.upstream.forget().await?;
    let name = std::cell::Cell::new(0);
    let create = async |base_url: &str| {
        name.set(name.get() + 1);
        let body = json!({
            "name": format!("p{}", name.get()), "registry_id": registry, "dialect": "openai", "base_url": base_url,
            "credential": "sk-anything-0123456789", "models": [format!("m{}", name.get())],
        });
        world.client.post(PROVIDERS, &world.admin_key, &body).await
    };
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "10.0.0.1"]
    {
        for scheme in ["http", "https"] {
            let refused = create(&format!("{scheme}://{host}:{port}/v1")).await?;
            assert_eq!(refused.refusal(), (400, "invalid_value".to_owned()), "{scheme}://{host}");
        }
    }
    // A name may be stored: what it resolves to is judged whenever it is dialled.
    let made = create(&format!("https://localhost:{port}")).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let path = format!("{PROVIDERS}/{}/test", made.json()["id"].as_str().unwrap_or_default());
    let tested = world.client.post(&path, &world.admin_key, &json!({})).await?.json();
    assert_eq!((&tested["ok"], &tested["status"]), (&json!(false), &Value::Null), "{tested}");
    assert!(tested["message"].as_str().unwrap_or_default().contains("private or special"), "{tested}");
    let model = format!("own/m{}", name.get());
    assert_eq!(ask(&world, &key, &model).await?.refusal(), (503, "service_unavailable".to_owned()));
    assert_eq!(world.upstream.count().await?, 0, "nothing arrived");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_its_provider_is_ended_is_answered_whole() -> Result<()> {
    let (world, registry, credential) = world().await?;
    let body = json!({
        "name": "gpu", "registry_id": registry, "dialect": "openai", "base_url": world.upstream.url(),
        "credential": credential, "models": [{ "name": "stream", "upstream_model": "sim-stream" }],
    });
    let made = world.client.post(PROVIDERS, &world.admin_key, &body).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let key = world.key("own").await?;
    let mut body = chat("own/stream");
    body["stream"] = json!(true);
    body["sim"] = json!({ "tokens": 8, "first_ms": 0, "gap_ms": 100 });
    let mut events = world.client.stream("/v1/chat/completions", &key, &body).await?;
    assert!(events.next().await?.is_some(), "it runs");
    let path = format!("{PROVIDERS}/{}", made.json()["id"].as_str().unwrap_or_default());
    assert_eq!(world.client.delete(&path, &world.admin_key).await?.status, 200);
    assert_eq!(ask(&world, &key, "own/stream").await?.refusal(), (404, "model_not_found".to_owned()));
    let mut last = String::new();
    while let Some(event) = events.next().await? {
        assert!(!event.contains("\"error\""), "{event}");
        last = event;
    }
    assert_eq!(last, "[DONE]");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn own_models_are_free_until_the_operator_prices_them() -> Result<()> {
    let price = |model: &str| {
        format!(
            "[[price]]\nmodel = \"own/{model}\"\nmeter = \"input_token\"\nsell = \"1\"\n\n[[price]]\nmodel = \"own/{model}\"\nmeter = \"output_token\"\nsell = \"2\"\n"
        )
    };
    let providers = "[providers]\nallow_private = [\"127.0.0.0/8\"]\n";
    let mut world = Plan::default().more(&format!("{providers}{}", price("paid"))).start().await?;
    let registry = json!({ "name": "Own", "slug": "own" });
    let registry = world.client.post("/v1/organization/registries", &world.admin_key, &registry).await?.json();
    let credential = std::fs::read_to_string(world.folder.path().join("provider-key"))?.trim().to_owned();
    let model = |name: &str| json!({ "name": name, "upstream_model": "echo", "max_output": 1000, "context": 8192 });
    let body = json!({
        "name": "gpu", "registry_id": registry["id"], "dialect": "openai", "base_url": world.upstream.url(),
        "credential": credential, "models": [model("echo"), model("paid")],
    });
    assert_eq!(world.client.post(PROVIDERS, &world.admin_key, &body).await?.status, 200);
    let key = world.key("own").await?;
    let charged = async |world: &World, model: &str| -> Result<(i64, i64)> {
        let before = world.balance().await?;
        let answer = ask(world, &key, model).await?;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        world.record(answer.header("x-request-id")).await?;
        let tokens = |name: &str| answer.json()["usage"][name].as_u64().unwrap_or_default();
        let cost = token_cost(tokens("prompt_tokens"), 1_000_000_000, tokens("completion_tokens"), 2_000_000_000);
        Ok((before - world.balance().await?, cost))
    };
    assert_eq!(charged(&world, "own/echo").await?.0, 0);
    let (paid, cost) = charged(&world, "own/paid").await?;
    assert!(paid == cost && cost > 0, "{paid} instead of {cost}");

    // The price book in force decides, not the one of the model's making.
    let file = world.folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, format!("{text}\n{}", price("echo")))?;
    let told = world.claviger(&["reload"]).await?;
    assert!(told.contains("own/echo"), "{told}");
    let (paid, cost) = charged(&world, "own/echo").await?;
    assert!(paid == cost && cost > 0, "{paid} instead of {cost}");

    // Where the operator wants a price for everything, what has none is refused and hidden.
    std::fs::write(&file, text.replace(providers, &format!("{providers}own_models = \"priced\"\n")))?;
    world.kill().await?;
    world.restart().await?;
    assert_eq!(ask(&world, &key, "own/echo").await?.refusal(), (400, "model_not_priced".to_owned()));
    let listed = models(&world, &key).await?;
    assert!(!listed.contains(&"own/echo".to_owned()) && listed.contains(&"own/paid".to_owned()), "{listed:?}");
    let (paid, cost) = charged(&world, "own/paid").await?;
    assert!(paid == cost && cost > 0, "{paid} instead of {cost}");
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_model_ids_of_the_platform_begin_with_is_refused() -> Result<()> {
    let world = World::usual().await?;
    let create = async |slug: &str| {
        let body = json!({ "name": "Own", "slug": slug });
        world.client.post("/v1/organization/registries", &world.admin_key, &body).await
    };
    // The first segment of an id, an id of one segment, an alias.
    for taken in ["meta-llama", "u-8105f7322477", "paid", "gpt-4", "sim-echo"] {
        let refused = create(taken).await?;
        assert_eq!(refused.refusal(), (400, "name_taken".to_owned()), "{taken}: {}", refused.text());
        assert_eq!(refused.json()["error"]["param"], "slug", "{taken}");
    }
    for free in ["meta", "meta-llama-2", "pai"] {
        assert_eq!(create(free).await?.status, 200, "{free}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_the_platform_adds_later_takes_no_own_models_place() -> Result<()> {
    let (world, registry, credential) = world().await?;
    let body = json!({
        "name": "gpu", "registry_id": registry, "dialect": "openai", "base_url": world.upstream.url(),
        "credential": credential, "models": [{ "name": "echo", "upstream_model": "echo" }],
    });
    assert_eq!(world.client.post(PROVIDERS, &world.admin_key, &body).await?.status, 200);
    let key = world.key("own").await?;
    let file = world.folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&file)?;
    let added = |id: &str| {
        format!(
            "[[model]]\nid = \"own/{id}\"\nfree = true\ntiers = [[{{ provider = \"upstream\", model = \"glm-4.7\" }}]]\n"
        )
    };
    std::fs::write(&file, format!("{text}\n{}{}", added("echo"), added("later")))?;
    world.claviger(&["reload"]).await?;
    world.upstream.forget().await?;
    for (model, upstream) in [("own/echo", "echo"), ("own/later", "glm-4.7")] {
        assert_eq!(ask(&world, &key, model).await?.status, 200, "{model}");
        let seen = world.upstream.seen().await?;
        assert_eq!(seen.last().map(|seen| seen.json()["model"].clone()), Some(json!(upstream)), "{model}");
    }
    let log = std::fs::read_to_string(world.folder.path().join("server.log"))?;
    assert!(log.contains("begin with a slug that an organization has"), "the operator is told: {log}");
    Ok(())
}

/// A port of the list that no other test and hardly any machine uses.
const KNOWN_PORT: &str = "127.0.0.1:9997";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_this_machine_is_found_and_used_only_when_somebody_says_so() -> Result<()> {
    let (mut world, _, _) = world().await?;
    let mut command = tokio::process::Command::new(binary("claviger")?);
    command.args(["simulate", "--listen", KNOWN_PORT]).current_dir(world.folder.path());
    let mut server = Program::start(command, &world.folder.path().join("found.log"))?;
    let json = async |arguments: &[&str]| -> Result<Value> {
        Ok(serde_json::from_str(world.claviger(&[arguments, &["--json"]].concat()).await?.trim())?)
    };
    let is_found = |found: &Value| found.as_array().into_iter().flatten().any(|found| found["name"] == "xinference");
    let found = eventually(10, "the server is found", async || {
        server.ensure_running()?;
        Ok(Some(json(&["providers", "detect"]).await?).filter(is_found))
    })
    .await?;
    assert!(found.to_string().contains(KNOWN_PORT), "{found}");
    assert_eq!(json(&["providers", "list"]).await?, json!([]), "it was only found");

    let key = world.key("own").await?;
    assert_eq!(ask(&world, &key, "acme/sim-echo").await?.refusal(), (404, "model_not_found".to_owned()));
    let added = world.claviger(&["providers", "add", "xinference", "--found"]).await?;
    assert!(added.contains("is in use with"), "{added}");
    assert_eq!(ask(&world, &key, "acme/sim-echo").await?.status, 200);
    let listed = json(&["providers", "list"]).await?;
    assert_eq!((&listed[0]["name"], &listed[0]["credential"]), (&json!("xinference"), &Value::Null), "{listed}");
    assert!(world.claviger(&["providers", "test", "xinference"]).await?.contains("sim-echo"));
    world.claviger(&["providers", "disable", "xinference"]).await?;
    assert_eq!(ask(&world, &key, "acme/sim-echo").await?.refusal(), (404, "model_not_found".to_owned()));
    world.claviger(&["providers", "enable", "xinference"]).await?;
    assert_eq!(ask(&world, &key, "acme/sim-echo").await?.status, 200);
    world.claviger(&["providers", "remove", "xinference", "-y"]).await?;
    assert_eq!(json(&["providers", "list"]).await?, json!([]));

    let routes = json(&["routes", "list"]).await?;
    let route = routes.as_array().into_iter().flatten().find(|route| route["id"] == "gpt-4");
    let route = route.cloned().unwrap_or_default();
    assert_eq!(route["model"], "meta-llama/Llama-3.1-8B-Instruct", "{route}");
    assert_eq!(route["tiers"][0][0]["provider"], "upstream", "{route}");
    // The operator may say once for all that what is found is used. Ids that the file declares stay what they are.
    let key = world.key("anybody").await?;
    assert_eq!(ask(&world, &key, "xinference/sim-echo").await?.refusal(), (404, "model_not_found".to_owned()));
    let file = world.folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("[providers]\n", "[providers]\nautodetect = \"enable\"\n"))?;
    let told = world.claviger(&["reload"]).await?;
    assert!(told.contains("xinference/"), "{told}");
    assert_eq!(ask(&world, &key, "xinference/sim-echo").await?.status, 200);
    assert!(models(&world, &key).await?.contains(&"xinference/sim-echo".to_owned()));
    world.kill().await?;
    world.restart().await?;
    assert_eq!(ask(&world, &key, "xinference/sim-echo").await?.status, 200);
    let log = std::fs::read_to_string(world.folder.path().join("server.log"))?;
    assert!(log.contains("Xinference on 127.0.0.1:9997") && log.contains("in use, since"), "{log}");
    server.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_works_on_videos_is_asked_with_its_own_credential_and_stays_until_they_end() -> Result<()> {
    let (world, registry, credential) = world().await?;
    let body = json!({
        "name": "gpu", "registry_id": registry, "dialect": "openai", "base_url": format!("{}/v1", world.upstream.url()),
        "credential": credential, "models": [{ "name": "film", "upstream_model": "sim-video", "endpoints": ["video"] }],
    });
    let made = world.client.post(PROVIDERS, &world.admin_key, &body).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let path = format!("{PROVIDERS}/{}", made.json()["id"].as_str().unwrap_or_default());
    let key = world.key("own").await?;
    world.upstream.forget().await?;
    let film = json!({ "model": "own/film", "prompt": "a cat", "duration": 4, "sim": { "first_ms": 3_000 } });
    let made = world.client.post("/v1/video/generations", &key, &film).await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap_or_default().to_owned();
    let refused = world.client.delete(&path, &world.admin_key).await?;
    assert_eq!(refused.refusal(), (400, "provider_in_use".to_owned()));
    // It takes nothing new, and what it has it finishes.
    let disabled = world.client.post(&path, &world.admin_key, &json!({ "enabled": false })).await?;
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    assert_eq!(world.client.post("/v1/video/generations", &key, &film).await?.status, 404);
    eventually(20, "the video is done", async || {
        let shown = world.client.get(&format!("/v1/video/generations/{id}"), &key).await?.json();
        Ok((shown["status"] == "completed").then_some(()))
    })
    .await?;
    let polls = world.upstream.seen().await?;
    assert!(polls.len() > 2);
    assert!(polls.iter().all(|seen| seen.header("authorization") == format!("Bearer {credential}")));
    assert_eq!(world.client.delete(&path, &world.admin_key).await?.status, 200);
    Ok(())
}
