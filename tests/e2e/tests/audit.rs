//! P9 on the real binary: no change without its record, and every tampering found; and that a checker of this kind meets
//! the seeded bug.
#![expect(clippy::disallowed_methods, reason = "a place that receives owns the task that does")]

use anyhow::Context as _;
use base64::Engine as _;
use claviger_e2e::{Client, Engine, Plan, Program, Result, World, binary, eventually};
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

const KEYS: &str = "/v1/organization/api_keys";

/// Runs SQL on the server's database from outside, as somebody with the file does.
async fn sql(world: &World, statement: &str) -> Result<String> {
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(world.data().join("claviger.db"))
        .arg(statement)
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn turn(world: &World, id: &str, act: &str) -> Result<(u16, String)> {
    let answer = world.client.post(&format!("{KEYS}/{id}/{act}"), &world.admin_key, &json!({})).await?;
    Ok(answer.refusal())
}

async fn state(world: &World, id: &str) -> Result<String> {
    let key = world.client.get(&format!("{KEYS}/{id}"), &world.admin_key).await?.json();
    Ok(key["state"].as_str().unwrap_or_default().to_owned())
}

/// Makes the audit table unusable and tries every kind of change; says what is wrong with what happened.
async fn faults_without_audit(world: &World) -> Result<Vec<String>> {
    let key = world.create_key(&json!({ "name": "audited" })).await?;
    let id = key["id"].as_str().unwrap_or_default().to_owned();
    let mut faults = Vec::new();
    sql(world, "ALTER TABLE audit RENAME TO audit_away").await?;
    for act in ["disable", "revoke"] {
        let answer = turn(world, &id, act).await?;
        if answer != (503, "audit_unavailable".to_owned()) {
            faults.push(format!("{act} answered {answer:?} although it could not be recorded"));
        }
    }
    let made = world.client.post(KEYS, &world.admin_key, &json!({ "name": "unrecorded" })).await?;
    if made.refusal() != (503, "audit_unavailable".to_owned()) {
        faults.push(format!("create answered {:?} although it could not be recorded", made.refusal()));
    }
    sql(world, "ALTER TABLE audit_away RENAME TO audit").await?;
    let state = state(world, &id).await?;
    if state != "active" {
        faults.push(format!("the key is {state} although no record says so"));
    }
    let listed = world.client.get(KEYS, &world.admin_key).await?.text();
    if listed.contains("unrecorded") {
        faults.push("a key exists that no record tells of".to_owned());
    }
    Ok(faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_change_that_cannot_be_recorded_is_refused_and_not_made() -> Result<()> {
    let world = World::usual().await?;
    assert_eq!(faults_without_audit(&world).await?, Vec::<String>::new());
    let proof = world.claviger(&["audit", "verify"]).await?;
    assert!(proof.starts_with("audit verify ok"), "{proof}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_catches_audit_after_commit() -> Result<()> {
    let world = Plan::default().with_bug("audit_after_commit").start().await?;
    let faults = faults_without_audit(&world).await?;
    assert!(faults.iter().any(|fault| fault.contains("although")), "audit_after_commit went unnoticed: {faults:?}");
    Ok(())
}

/// A limit on the size of files stands for a disk that is full: every write beyond it fails, whoever runs the test.
#[tokio::test(flavor = "multi_thread")]
async fn p9_when_the_disk_is_full_no_change_is_made_and_the_answer_is_503() -> Result<()> {
    let mut world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "full" })).await?;
    let id = key["id"].as_str().unwrap_or_default().to_owned();
    world.server.stop().await?;
    let (listen, private) = (world.address().to_owned(), world.private_url.trim_start_matches("http://").to_owned());
    let mut command = Command::new("sh");
    // 512-byte blocks; the signal of the limit is ignored, so that writes fail as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(binary("claviger")?).current_dir(world.folder.path());
    command.args(["serve", "--data", "data", "--config", "claviger.toml", "--listen", &listen]);
    command.args(["--private-listen", &private]);
    world.server = Program::start(command, &world.folder.path().join("full.log"))?;
    let probe = Client::new(&world.private_url);
    eventually(30, "the server is ready", async || {
        let answer = probe.send("GET", "/readyz", &[], b"").await;
        Ok(answer.ok().filter(|answer| answer.status == 200))
    })
    .await?;
    let (mut last, mut refused) = ("active", 0);
    for round in 0..2000 {
        let (act, becomes) = if round % 2 == 0 { ("disable", "disabled") } else { ("enable", "active") };
        match turn(&world, &id, act).await? {
            (200, _) if refused == 0 => last = becomes,
            (503, code) => {
                assert!(["audit_unavailable", "revocation_pending"].contains(&code.as_str()), "{code}");
                refused += 1;
            }
            (200, _) => {}
            other => panic!("{act} answered {other:?}"),
        }
        if refused >= 5 {
            break;
        }
    }
    assert!(refused >= 5, "the limit was never reached");
    world.kill().await?;
    world.restart().await?;
    let found = state(&world, &id).await?;
    assert_eq!(found, last, "what was refused was not made");
    let proof = world.claviger(&["audit", "verify"]).await?;
    assert!(proof.starts_with("audit verify ok"), "{proof}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_proved_offline_and_a_changed_one_is_not() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        for number in 0..5 {
            world.key(&format!("k{number}")).await?;
        }
        let file = world.folder.path().join("export.jsonl");
        let path = file.to_string_lossy().into_owned();
        world.claviger(&["audit", "export", "--to", &path]).await?;
        let listed: Value = serde_json::from_str(world.claviger(&["audit", "checkpoints", "--json"]).await?.trim())?;
        let key = listed["public_key"].as_str().unwrap_or_default().to_owned();
        let verify = async || world.claviger(&["audit", "verify", "--export", &path, "--public-key", &key]).await;
        assert!(verify().await?.starts_with("audit verify ok"));
        let honest = std::fs::read_to_string(&file)?;
        let lines: Vec<&str> = honest.lines().collect();
        let mut without: Vec<&str> = lines.clone();
        without.remove(3);
        let cut: Vec<&str> = lines.iter().take(4).copied().collect();
        for (bad, named) in [
            (without.join("\n"), "record 4"),
            (cut.join("\n"), "record 5"),
            (honest.replacen("\"succeeded\"", "\"denied\"", 1), "record 1"),
        ] {
            std::fs::write(&file, bad)?;
            let said = verify().await.expect_err("a changed export passed").to_string();
            assert!(said.contains(named), "{said}");
        }
        let sink = std::fs::read_to_string(world.data().join("audit-checkpoints.jsonl")).unwrap_or_default();
        assert!(eventually_signed(&world, &sink).await?, "checkpoints leave the database");
    }
    Ok(())
}

/// Reads what each connection sends, answers `reply` once `is_whole`, and hands over the text.
fn receiver(
    listener: tokio::net::TcpListener,
    reply: &'static str,
    is_whole: fn(&str) -> bool,
) -> tokio::sync::mpsc::Receiver<String> {
    let (sender, received) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            while !is_whole(&text) {
                match stream.read(&mut piece).await {
                    Ok(read) if read > 0 => text.push_str(&String::from_utf8_lossy(&piece[..read])),
                    _ => break,
                }
            }
            let _ = stream.write_all(reply.as_bytes()).await;
            drop(stream);
            if sender.send(text).await.is_err() {
                break;
            }
        }
    });
    received
}

fn is_whole_post(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()) == Some(body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_the_real_server_reach_a_syslog_and_a_signed_webhook() -> Result<()> {
    let place = async || tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let (syslog, webhook) = (place().await?, place().await?);
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("hook-secret");
    write_private(&secret, "the receiver knows it too")?;
    let lines = format!(
        "[storage]\naudit_sinks = [\"syslog+tcp://{}\", \"http://{}/in?token=t\"]\naudit_webhook_secret_file = \"{}\"\n",
        syslog.local_addr()?,
        webhook.local_addr()?,
        secret.display()
    );
    // A connection of this way to a syslog ends when its batch has been sent.
    let mut syslog = receiver(syslog, "", |_| false);
    let mut webhook = receiver(webhook, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", is_whole_post);
    let world = Plan::default().more(&lines).start().await?;
    world.create_key(&json!({ "name": "audited" })).await?;
    let patience = std::time::Duration::from_secs(20);
    let posted = tokio::time::timeout(patience, webhook.recv()).await?.context("no webhook came")?;
    let logged = tokio::time::timeout(patience, syslog.recv()).await?.context("no syslog message came")?;

    let (head, body) = posted.split_once("\r\n\r\n").context("no head")?;
    let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    assert!(head.starts_with("POST /in?token=t HTTP/1.1"), "{head}");
    let signed = format!("{}.{}.{body}", line("webhook-id: "), line("webhook-timestamp: "));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"the receiver knows it too");
    let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(signature.as_ref());
    assert_eq!(line("webhook-signature: "), format!("v1,{signature}"));
    let first = std::fs::read_to_string(world.data().join("audit-checkpoints.jsonl"))?;
    let first = first.lines().next().context("no checkpoint in the file")?.to_owned();
    assert_eq!(serde_json::from_str::<Value>(body)?, serde_json::from_str::<Value>(&first)?, "what the file has too");

    let (count, message) = logged.split_once(' ').context("no octet count")?;
    let message = message.get(..count.parse()?).context("shorter than it says")?;
    assert!(message.starts_with("<109>1 ") && message.contains(" claviger "), "{message}");
    assert!(message.contains(" checkpoint-1 ") && message.ends_with(&first), "{message}");
    Ok(())
}

async fn eventually_signed(world: &World, before: &str) -> Result<bool> {
    let path = world.data().join("audit-checkpoints.jsonl");
    eventually(10, "a checkpoint in the file", async || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Ok((text.len() > before.len() || text.lines().count() > 0).then_some(true))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_audit_key_is_said_and_never_made_anew() -> Result<()> {
    for engine in Engine::ALL {
        let mut world = Plan::default().on(engine).start().await?;
        world.server.stop().await?;
        let file = world.data().join("audit-key");
        let key = std::fs::read(&file)?;
        std::fs::remove_file(&file)?;
        let said = world.claviger(&["audit", "verify"]).await.expect_err("it went on without its key").to_string();
        assert!(said.contains("audit key") && said.contains("missing"), "{said}");
        assert!(!file.exists(), "no new key was made");
        write_private(&file, &"0".repeat(64))?;
        let said = world.claviger(&["audit", "verify"]).await.expect_err("another key passed").to_string();
        assert!(said.contains("is not the one"), "{said}");
        std::fs::remove_file(&file)?;
        write_private(&file, &String::from_utf8_lossy(&key))?;
        assert!(world.claviger(&["audit", "verify"]).await?.starts_with("audit verify ok"));
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// P9's shape on the log that people see: who, what, whence, in OpenAI's words, and its filters.
#[tokio::test(flavor = "multi_thread")]
async fn s4_11_the_audit_log_says_who_did_what_from_where() -> Result<()> {
    let world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "logged" })).await?;
    let id = key["id"].as_str().unwrap_or_default();
    world.revoke(id).await?;
    let path = format!("/v1/organization/audit_logs?resource_ids[]={id}&order=asc");
    let page = world.client.get(&path, &world.admin_key).await?.json();
    let rows = page["data"].as_array().cloned().unwrap_or_default();
    let types: Vec<&str> = rows.iter().map(|row| row["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(types, ["api_key.created", "api_key.deleted", "rights.confirmed"], "{page}");
    assert!(rows[2]["rights.confirmed"]["confirmation"]["epoch"].is_u64(), "{page}");
    assert_eq!(rows[0]["actor"]["type"], "api_key", "{page}");
    assert_eq!(rows[0]["actor"]["ip_address"], "127.0.0.1", "{page}");
    assert_eq!(rows[0]["api_key.created"]["id"], id, "{page}");
    assert_eq!(rows[0]["api_key.created"]["changes_requested"]["name"]["to"], "logged", "{page}");
    assert!(rows[0]["hash"].as_str().is_some_and(|hash| hash.len() == 64), "{page}");
    let none = world.client.get("/v1/organization/audit_logs?event_types[]=invite.sent", &world.admin_key).await?;
    assert_eq!(none.json()["data"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_data_plane_denies_is_counted_beside_the_chains() -> Result<()> {
    let mut world = World::usual().await?;
    let before = sql(&world, "SELECT COUNT(*) FROM audit").await?;
    let body = json!({ "model": "free/echo", "messages": [{ "role": "user", "content": "hi" }] });
    let key = world.create_key(&json!({ "name": "narrow", "policy": { "models": ["paid/echo"] } })).await?;
    let narrow = key["value"].as_str().unwrap_or_default().to_owned();
    for _ in 0..5 {
        assert_eq!(world.client.post("/v1/chat/completions", "clv_wrong", &body).await?.status, 401);
    }
    assert_eq!(world.client.post("/v1/chat/completions", &narrow, &body).await?.status, 403);
    world.server.stop().await?;
    let counted =
        "SELECT code, SUM(attempts), MAX(networks), MIN(sample) FROM security_minute GROUP BY code ORDER BY code";
    let counted = sql(&world, counted).await?;
    assert_eq!(counted, "invalid_api_key|5|1|chat.completions\nmodel_not_allowed|1|1|chat.completions");
    let records = sql(&world, "SELECT COUNT(*) FROM audit").await?;
    assert_eq!(records.parse::<i64>()?, before.parse::<i64>()? + 1, "only the key's making is recorded");
    Ok(())
}
