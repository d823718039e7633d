//! P8: canary secrets go through everything at TRACE level, and afterwards are nowhere: not in any output, answer, database
//! file, WAL, dump, export or metric; not plain, base64, hexadecimal or URL-encoded, nor any slice of twelve characters.
//!
//! What may hold a secret is named: the files that the operator gave or must keep (pepper, audit key, password, credential
//! of the upstream), and the one answer that shows a new key.

use claviger_canary::Needles;
use claviger_e2e::{Client, Plan, Result, World, eventually};
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The credential of the upstream in every world.
const PROVIDER: &str = "sk-upstream-7f3a9c51e0b24d68a1";
const PASSWORD: &str = "correct horse battery staple";

/// The secret characters of a key of ours.
fn secret_of(key: &str) -> &str {
    &key[key.len() - 49..key.len() - 6]
}

/// Every canary that stands in these bytes.
fn hits(canaries: &Needles, place: &str, bytes: &[u8]) -> Vec<String> {
    canaries.hits(bytes).into_iter().map(|name| format!("{name} in {place}")).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                Ok(kind) if kind.is_file() => all.push(entry.path()),
                _ => {}
            }
        }
    }
    all
}

/// What was answered or printed, by its place.
type Answers = Vec<(String, Vec<u8>)>;

/// Twelve secrets through the whole program; every place where one was found.
async fn scanned(plan: Plan) -> Result<Vec<String>> {
    // TRACE from the first moment, set-up included.
    let mut world = plan.more("[telemetry]\nlevel = \"trace\"\n").start().await?;
    let live = world.key("live").await?;
    let value = |key: &serde_json::Value| key["value"].as_str().unwrap_or_default().to_owned();
    let test = value(&world.create_key(&json!({ "name": "test", "test": true })).await?);
    let admin = value(&world.create_key(&json!({ "name": "admin", "class": "admin" })).await?);
    let revoked = world.create_key(&json!({ "name": "revoked" })).await?;
    world.revoke(revoked["id"].as_str().unwrap_or_default()).await?;
    let gone = value(&revoked);
    let mistyped = format!("{}x{}", &live[..30], &live[31..]);
    let foreign = format!("sk-{}", "Zq7Wm2Xk9".repeat(5));
    let column = "Hj3Kp8Vt".repeat(6);
    let pepper = std::fs::read_to_string(world.data().join("pepper"))?;
    let audit_key = std::fs::read_to_string(world.data().join("audit-key"))?;
    let secrets = [
        ("live key", secret_of(&live)),
        ("test key", secret_of(&test)),
        ("revoked key", secret_of(&gone)),
        ("admin key", secret_of(&admin)),
        ("set-up admin key", secret_of(&world.admin_key)),
        ("mistyped key", &secret_of(&mistyped)[14..]),
        ("foreign key", &foreign[3..]),
        ("imported key", &column),
        ("provider credential", &PROVIDER[3..]),
        ("password", PASSWORD),
        ("pepper", pepper.trim().rsplit(' ').next().unwrap_or_default()),
        ("audit key", audit_key.trim()),
    ];
    let mut canaries = Needles::default();
    for (name, secret) in secrets {
        canaries.add(name, secret);
    }
    let mut answers = Answers::new();
    for key in [&live, &test, &gone, &admin, &mistyped, &foreign] {
        present(&world, key, &live, *key == foreign, &mut answers).await?;
    }
    import(&world, &column, &mut answers).await?;
    read_back(&world, &mut answers).await?;
    let mut found: Vec<String> = answers.iter().flat_map(|(place, bytes)| hits(&canaries, place, bytes)).collect();
    // Files while the server runs, WAL included, and once more when it has ended.
    found.extend(written(&world, &canaries, "running")?);
    world.server.stop().await?;
    found.extend(written(&world, &canaries, "stopped")?);
    found.sort();
    found.dedup();
    Ok(found)
}

/// Presents a key where it belongs, with wrong bodies, on the wrong plane, in a URL and in a path.
async fn present(world: &World, key: &str, live: &str, is_foreign: bool, answers: &mut Answers) -> Result<()> {
    let body = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "hello" }] });
    let broken = json!({ "model": "paid/echo" });
    for (path, body) in
        [("/v1/chat/completions", &body), ("/v1/chat/completions", &broken), ("/v1/organization/api_keys", &body)]
    {
        answers.push((format!("answer of {path}"), world.client.post(path, key, body).await?.body.to_vec()));
    }
    let mut urls = vec![("answer to a key in the URL", format!("/v1/models?key={key}"))];
    // What nobody could know to be a key comes back as the path it was sent as.
    if !is_foreign {
        urls.push(("answer to a key in the path", format!("/nowhere/{key}")));
    }
    for (place, url) in urls {
        answers.push((place.to_owned(), world.client.get(&url, live).await?.body.to_vec()));
    }
    Ok(())
}

/// Takes a key over from another system, whose table holds it in plain text.
async fn import(world: &World, column: &str, answers: &mut Answers) -> Result<()> {
    let table = world.folder.path().join("export.csv");
    std::fs::write(&table, format!("id,key,status,name,expired_time\n1,{column},1,moved,-1\n"))?;
    let printed = world.claviger(&["import", "new-api", "export.csv"]).await?;
    answers.push(("output of import".to_owned(), printed.into_bytes()));
    std::fs::remove_file(table)?;
    Ok(())
}

/// Everything that can be read about what happened: lists, exports, metrics, a dump of the database.
async fn read_back(world: &World, answers: &mut Answers) -> Result<()> {
    for list in ["api_keys", "audit_logs", "requests"] {
        let path = format!("/v1/organization/{list}?limit=100");
        let answer = world.client.get(&path, &world.admin_key).await?;
        answers.push((path, answer.body.to_vec()));
    }
    for command in [&["audit", "export"][..], &["audit", "export", "--instance"], &["keys", "list"], &["doctor"]] {
        let printed = world.claviger(command).await.unwrap_or_else(|error| error.to_string());
        answers.push((command.join(" "), printed.into_bytes()));
    }
    let metrics = Client::new(&world.private_url).send("GET", "/metrics", &[], b"").await?;
    answers.push(("metrics".to_owned(), metrics.body.to_vec()));
    let dump = Command::new("sqlite3").arg(world.data().join("claviger.db")).arg(".dump").output().await?;
    answers.push(("dump".to_owned(), dump.stdout));
    eventually(10, "the log is there", async || Ok((world.server.output().len() > 1000).then_some(()))).await
}

/// What stands in the files of the world, but for those that must hold a secret.
fn written(world: &World, canaries: &Needles, round: &str) -> Result<Vec<String>> {
    let kept = ["pepper", "audit-key", "password", "provider-key"];
    let mut found = Vec::new();
    for file in files_below(world.folder.path()) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !kept.contains(&name.as_str()) && !name.starts_with("upstream") {
            found.extend(hits(canaries, &format!("{name} ({round})"), &std::fs::read(&file)?));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_no_secret_is_written_anywhere_at_the_most_verbose_level() -> Result<()> {
    assert_eq!(scanned(Plan::default()).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scan_catches_a_secret_in_one_log_line() -> Result<()> {
    let found = scanned(Plan::default().with_bug("secret_in_one_log_line")).await?;
    assert!(found.iter().any(|hit| hit.contains("server.log")), "secret_in_one_log_line went unnoticed: {found:?}");
    Ok(())
}

/// Whether the server reads a body that says two things.
async fn takes_two_models(world: &World) -> Result<bool> {
    let key = world.key("twice").await?;
    let body = r#"{"model":"free/echo","messages":[{"role":"user","content":"hi"}],"model":"paid/echo"}"#;
    let headers = [("authorization", format!("Bearer {key}")), ("content-type", "application/json".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = world.client.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await?;
    Ok(answer.refusal() != (400, "duplicate_key".to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_occurs_twice_is_refused_and_the_seeded_bug_is_caught() -> Result<()> {
    assert!(!takes_two_models(&World::usual().await?).await?);
    let world = Plan::default().with_bug("duplicate_json_key_accepted").start().await?;
    assert!(takes_two_models(&world).await?, "duplicate_json_key_accepted changes nothing: the check proves nothing");
    Ok(())
}
