//! Leaked keys: found in files, reported by a scanner, presented as bait, seen in URLs; and keys that moved in.

use claviger_e2e::{Engine, Plan, Result, World, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use tokio::process::Command;

/// V8: the sample of an imported key (`keys.md` §1.2).
const V8: &str = "sk-x1VDTAFB7Ra1hldATbncOa_dddVttDvRHQibTA-Oi7ucU";
const V8_SHA256: &str = "dd6a2b38e688c264bac530c1468cc55b2175f0288e10e541a103f30666e5b460";

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(program).args(arguments).current_dir(folder).output().await?)
}

async fn must(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = run(folder, program, arguments).await?;
    anyhow::ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn events(world: &World, kind: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/organization/audit_logs?event_types[]={kind}");
    let page = world.client.get(&path, &world.admin_key).await?.json();
    Ok(page["data"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_16_keys_are_found_in_files_and_in_what_is_staged_and_never_printed() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("leaky").await?;
    let folder = world.folder.path().join("repository");
    std::fs::create_dir(&folder)?;
    must(&folder, "git", &["init", "-q"]).await?;
    std::fs::write(folder.join("config.py"), format!("# settings\nKEY = \"{key}\"\n"))?;
    std::fs::write(folder.join("clean.py"), "KEY = os.environ[\"KEY\"]\n")?;
    std::fs::write(folder.join("binary.bin"), format!("\0\0{key}"))?;
    let binary = claviger_e2e::binary("claviger")?;
    let scan = async |arguments: &[&str]| run(&folder, &binary.to_string_lossy(), arguments).await;
    let found = scan(&["keys", "scan", "."]).await?;
    let printed = String::from_utf8_lossy(&found.stdout).into_owned() + &String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{printed}");
    assert!(printed.contains("config.py:2:8") && printed.contains("live"), "{printed}");
    let secret = &key[key.len() - 49..key.len() - 6];
    assert!(!printed.contains(secret) && !printed.contains(&secret[..12]), "{printed}");
    assert_eq!(scan(&["keys", "scan", "clean.py"]).await?.status.code(), Some(0));
    assert_eq!(scan(&["keys", "scan", "--staged"]).await?.status.code(), Some(0), "nothing is staged");
    must(&folder, "git", &["add", "config.py"]).await?;
    // The index counts, not the file: the key is gone from the file, not from the commit.
    std::fs::write(folder.join("config.py"), "")?;
    let staged = scan(&["keys", "scan", "--staged", "--json"]).await?;
    assert_eq!(staged.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&staged.stdout)?;
    assert_eq!((&line["path"], &line["line"], &line["kind"]), (&json!("config.py"), &json!(2), &json!("live")));
    let pattern = must(&folder, &binary.to_string_lossy(), &["keys", "pattern"]).await?;
    assert!(pattern.contains("(clv_)(test_)?[0-9A-Za-z]{12}_[0-9A-Za-z]{49}"), "{pattern}");
    std::fs::write(folder.join("config.py"), &key)?;
    let file = folder.join("config.py");
    let revoked = world.claviger(&["keys", "scan", &file.to_string_lossy(), "--revoke"]).await;
    assert!(revoked.is_err(), "a find is exit 1, revoked or not");
    assert_eq!(world.client.get("/v1/models", &key).await?.refusal(), (401, "key_revoked".to_owned()));
    Ok(())
}

/// A list of GitHub's shape with one key that we hold.
async fn reporter(folder: &Path) -> Result<String> {
    must(folder, "openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "reporter.pem"]).await?;
    let public = must(folder, "openssl", &["ec", "-in", "reporter.pem", "-pubout"]).await?;
    let list = json!({ "public_keys": [{ "key_identifier": "k1", "key": public, "is_current": true }] });
    let path = folder.join("github-keys.json");
    std::fs::write(&path, list.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

async fn report(world: &World, folder: &Path, body: &str, signed: &str) -> Result<claviger_e2e::Answer> {
    std::fs::write(folder.join("body"), signed)?;
    must(folder, "openssl", &["dgst", "-sha256", "-sign", "reporter.pem", "-out", "signature", "body"]).await?;
    let signature = must(folder, "openssl", &["base64", "-A", "-in", "signature"]).await?;
    let headers = [
        ("content-type", "application/json"),
        ("github-public-key-identifier", "k1"),
        ("github-public-key-signature", signature.trim()),
    ];
    world.client.send("POST", "/api/github/secret_scanning", &headers, body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_16_a_signed_report_ends_the_key_and_an_unsigned_one_does_nothing() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let list = reporter(folder.path()).await?;
    let world = Plan::default().more(&format!("github_keys_file = \"{list}\"\n")).start().await?;
    let key = world.key("leaked").await?;
    let url = format!("https://example.org/?k={key}");
    let body = json!([
        { "token": key, "type": "claviger_api_key", "url": url, "source": "commit" },
        { "token": "clv_nonsense", "type": "claviger_api_key", "url": "", "source": "commit" },
    ])
    .to_string();
    let forged = report(&world, folder.path(), &body, "something else").await?;
    assert_eq!(forged.refusal(), (401, "invalid_signature".to_owned()));
    assert_eq!(world.client.get("/v1/models", &key).await?.status, 200, "a forged report does nothing");
    let answer = report(&world, folder.path(), &body, &body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let labels: Vec<Value> = answer.json().as_array().into_iter().flatten().map(|row| row["label"].clone()).collect();
    assert_eq!(labels, ["true_positive", "false_positive"]);
    let refusal = eventually(5, "the key is refused", async || {
        let answer = world.client.get("/v1/models", &key).await?;
        Ok((answer.status == 401).then(|| answer.refusal()))
    });
    assert_eq!(refusal.await?, (401, "key_revoked".to_owned()));
    let told = events(&world, "leak.reported").await?;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!told[0].to_string().contains(&key[key.len() - 40..]), "the URL is masked: {told:?}");
    let plain = World::usual().await?;
    let answer = plain.client.send("POST", "/api/github/secret_scanning", &[], b"[]").await?;
    assert_eq!(answer.refusal(), (404, "unknown_url".to_owned()), "without a list of keys there is no such endpoint");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_13_ended_keys_in_use_and_keys_in_urls_are_told_to_their_owners() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "seen" })).await?;
    let (id, value) = (key["id"].as_str().unwrap_or_default(), key["value"].as_str().unwrap_or_default());
    let answer = world.client.get(&format!("/v1/models?key={value}"), value).await?;
    assert_eq!(answer.refusal(), (400, "credential_in_url".to_owned()));
    let exposed = eventually(5, "the key is flagged", async || {
        let found = events(&world, "api_key.exposed").await?;
        Ok((!found.is_empty()).then_some(found))
    });
    assert_eq!(exposed.await?[0]["api_key.exposed"]["id"], id);
    world.revoke(id).await?;
    assert_eq!(world.client.get("/v1/models", value).await?.status, 401);
    eventually(5, "the owners are told", async || {
        let kinds =
            Command::new("sqlite3").arg(world.data().join("claviger.db")).arg("SELECT kind FROM notice").output();
        let kinds = String::from_utf8_lossy(&kinds.await?.stdout).into_owned();
        Ok(kinds.contains("key.ended_key_used").then_some(()))
    })
    .await?;
    let ended = events(&world, "api_key.used_after_end").await?;
    assert_eq!((ended.len(), ended[0]["api_key.used_after_end"]["id"].as_str()), (1, Some(id)), "{ended:?}");
    assert!(world.claviger(&["audit", "verify"]).await?.starts_with("audit verify ok"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_16_bait_answers_like_an_unknown_key_and_tells_who_took_it() -> Result<()> {
    let world = Plan::default().keys("canary_disables = true\n").start().await?;
    let made = async |body: Value| -> Result<(String, String)> {
        let key = world.create_key(&body).await?;
        Ok((key["id"].as_str().unwrap_or_default().to_owned(), key["value"].as_str().unwrap_or_default().to_owned()))
    };
    let (bait, text) = made(json!({ "name": "bait", "canary": true, "stored_in": "ci vault" })).await?;
    let (beside, beside_text) = made(json!({ "name": "beside", "stored_in": "ci vault" })).await?;
    let (_, elsewhere) = made(json!({ "name": "elsewhere", "stored_in": "laptop" })).await?;
    assert_eq!(world.client.get("/v1/models", &beside_text).await?.status, 200);
    // As anybody's key that is no key of this server; one whose last four characters are shown the same.
    let unknown = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
    let masked = |text: &str| format!("clv_****{}", &text[text.len() - 4..]);
    for path in ["/v1/models", "/v1/key", "/v1/organization/api_keys"] {
        let taken = world.client.get(path, &text).await?;
        let nobodys = world.client.get(path, unknown).await?;
        assert_eq!((taken.status, nobodys.status), (401, 401), "{path}");
        let same = taken.text().replace(&masked(&text), &masked(unknown));
        assert_eq!(same, nobodys.text(), "{path}: byte for byte but for what was presented");
        assert_eq!(taken.header("www-authenticate"), nobodys.header("www-authenticate"));
    }
    let ended = world.client.post("/v1/key/revoke", &text, &json!({ "reason": "found" })).await?;
    let unknown = world.client.post("/v1/key/revoke", unknown, &json!({ "reason": "found" })).await?;
    assert_eq!(ended.status, unknown.status, "nobody ends bait with it: {}", ended.text());
    let hits = eventually(5, "its owners can read who took it", async || {
        let found = events(&world, "canary.hit").await?;
        Ok((!found.is_empty()).then_some(found))
    });
    let hits = hits.await?;
    assert_eq!(hits[0]["canary.hit"]["id"], bait.as_str(), "{}", hits[0]);
    assert!(hits[0].to_string().contains("127.0.0.1"), "from where: {}", hits[0]);
    eventually(5, "what lay beside it is disabled", async || {
        Ok((world.client.get("/v1/models", &beside_text).await?.refusal().1 == "key_disabled").then_some(()))
    })
    .await?;
    assert_eq!(world.client.get("/v1/models", &elsewhere).await?.status, 200, "and nothing else");
    let read = world.client.get(&format!("/v1/organization/api_keys/{beside}"), &world.admin_key).await?.json();
    assert_eq!(read["state"], "disabled", "{read}");
    Ok(())
}

/// The tables as the other systems make them, with what the importer reads of them.
const LITELLM: &str = r#"CREATE TABLE "LiteLLM_VerificationToken" (token TEXT PRIMARY KEY, key_name TEXT, key_alias TEXT,
    spend DOUBLE PRECISION DEFAULT 0, expires TIMESTAMP, models TEXT, blocked BOOLEAN, rpm_limit BIGINT,
    tpm_limit BIGINT, max_parallel_requests INTEGER, max_budget DOUBLE PRECISION, budget_duration TEXT, metadata TEXT)"#;
const NEW_API: &str = "CREATE TABLE tokens (id INTEGER PRIMARY KEY, user_id INTEGER, key CHAR(48), status INTEGER, \
    name TEXT, expired_time BIGINT, remain_quota BIGINT, unlimited_quota BOOLEAN, model_limits_enabled BOOLEAN, \
    model_limits TEXT, allow_ips TEXT, used_quota BIGINT, deleted_at TEXT)";

#[tokio::test(flavor = "multi_thread")]
async fn s1_10_clients_of_other_systems_keep_their_keys() -> Result<()> {
    let world = World::usual().await?;
    let folder = world.folder.path();
    let column = "A1b2C3d4".repeat(6);
    must(folder, "sqlite3", &["litellm.db", LITELLM]).await?;
    let row = format!(
        "INSERT INTO LiteLLM_VerificationToken (token, key_name, key_alias, models, rpm_limit, blocked, metadata) VALUES \
         ('{V8_SHA256}', 'sk-...7ucU', 'moved in', '[]', 600, 0, '{{\"tags\":[\"checkout\"]}}'), \
         ('{}', 'sk-...0000', 'switched off', '[]', NULL, 1, '{{}}')",
        "ab".repeat(32)
    );
    must(folder, "sqlite3", &["litellm.db", &row]).await?;
    must(folder, "sqlite3", &["newapi.db", NEW_API]).await?;
    let row = format!(
        "INSERT INTO tokens (key, status, name, expired_time, unlimited_quota) VALUES ('{column}', 1, 'from new-api', -1, 1)"
    );
    must(folder, "sqlite3", &["newapi.db", &row]).await?;

    assert_eq!(world.client.get("/v1/models", V8).await?.status, 401, "not yet here");
    let dry = world.claviger(&["import", "litellm", "litellm.db", "--dry-run"]).await?;
    assert!(dry.contains("moved in") && dry.contains("imported"), "{dry}");
    assert_eq!(world.client.get("/v1/models", V8).await?.status, 401, "a dry run imports nothing");
    let done = world.claviger(&["import", "litellm", "litellm.db"]).await?;
    assert_eq!(done.matches("imported  key_").count(), 2, "{done}");
    let again = world.claviger(&["import", "litellm", "litellm.db", "--resume"]).await?;
    assert_eq!(again.matches("existing  key_").count(), 2, "{again}");
    world.claviger(&["import", "new-api", "newapi.db"]).await?;

    for key in [V8.to_owned(), format!("sk-{column}")] {
        let answer = world.client.get("/v1/models", &key).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let listed = world
        .client
        .get(&format!("{}?state[]=active&state[]=disabled", "/v1/organization/api_keys"), &world.admin_key)
        .await?
        .text();
    assert!(listed.contains("moved in") && listed.contains("checkout") && listed.contains("switched off"), "{listed}");
    assert!(!listed.contains(&column[..12]) && !listed.contains(&V8[3..15]), "{listed}");
    let database = std::fs::read(world.data().join("claviger.db"))?;
    let found = database.windows(12).any(|window| window == &column.as_bytes()[..12]);
    assert!(!found, "a plain key of another system is stored nowhere");
    assert_eq!(events(&world, "api_key.imported").await?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_10_a_postgres_database_of_another_system_is_read_where_it_lies() -> Result<()> {
    let world = Plan::default().on(Engine::Postgres).start().await?;
    let base = claviger_e2e::postgres_url()?;
    let name = format!("litellm_{}", std::process::id());
    let folder = world.folder.path();
    let admin = format!("{base}/postgres");
    must(folder, "psql", &["-Xqc", &format!("CREATE DATABASE {name}"), &admin]).await?;
    let url = format!("{base}/{name}");
    must(folder, "psql", &["-Xqc", LITELLM, &url]).await?;
    let row = format!(
        "INSERT INTO \"LiteLLM_VerificationToken\" (token, key_name, key_alias, expires, models, blocked) \
         VALUES ('{V8_SHA256}', 'sk-...7ucU', 'moved in', '2036-01-01', '[]', false)"
    );
    must(folder, "psql", &["-Xqc", &row, &url]).await?;
    let done = world.claviger(&["import", "litellm", &url]).await?;
    must(folder, "psql", &["-Xqc", &format!("DROP DATABASE {name} WITH (FORCE)"), &admin]).await?;
    assert_eq!(done.matches("imported  key_").count(), 1, "{done}");
    assert_eq!(world.client.get("/v1/models", V8).await?.status, 200);
    Ok(())
}
