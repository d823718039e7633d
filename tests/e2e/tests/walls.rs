//! The walls between organizations and between ranks, on the real program: each promise beside the build with a seeded
//! bug that breaks it, so that the check is known to be able to fail.
#![expect(clippy::disallowed_methods, reason = "a test of what waits owns the tasks that wait")]

use anyhow::Context as _;
use claviger_e2e::{Plan, Result, World, text};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

const KEYS: &str = "/v1/organization/api_keys";

/// Whether a key of another organization is answered as one that nobody has.
async fn hides_foreign_keys(world: &World) -> Result<bool> {
    world.claviger(&["organizations", "create", "Second"]).await?;
    let key = ["keys", "create", "theirs", "--organization", "second", "--to-file", "theirs.txt", "-q"];
    let foreign = world.claviger(&key).await?;
    let mut answers = Vec::new();
    for id in [foreign.trim(), "key_000000000000"] {
        let answer = world.client.get(&format!("{KEYS}/{id}"), &world.admin_key).await?;
        answers.push((answer.status, answer.text()));
    }
    assert_eq!(answers[1].0, 404, "{answers:?}");
    Ok(answers[0] == answers[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_anothers_key_is_as_unknown_as_none_and_the_seeded_bug_is_caught() -> Result<()> {
    assert!(hides_foreign_keys(&World::usual().await?).await?);
    let world = Plan::default().with_bug("organization_filter_missing").start().await?;
    assert!(
        !hides_foreign_keys(&world).await?,
        "organization_filter_missing changes nothing: the check proves nothing"
    );
    Ok(())
}

/// Whether an editor with restrictions can lift them from a key it made.
async fn lifts_its_own_limits(world: &World) -> Result<bool> {
    let policy = json!({ "creators": "admins" });
    assert_eq!(world.client.post("/v1/organization/policy", &world.admin_key, &policy).await?.status, 200);
    let narrow = json!({ "models": ["free/echo"] });
    let editor = json!({ "name": "editor", "class": "admin", "role": "admin", "policy": narrow });
    let editor = world.create_key(&editor).await?;
    let editor = editor["value"].as_str().unwrap_or_default();
    let body = json!({ "name": "child", "policy": narrow });
    let child = world.client.post(KEYS, editor, &body).await?;
    assert_eq!(child.status, 200, "{}", child.text());
    let wide = json!({ "name": "wide" });
    assert_eq!(world.client.post(KEYS, editor, &wide).await?.refusal(), (403, "permission_denied".to_owned()));
    let path = format!("{KEYS}/{}", child.json()["id"].as_str().unwrap_or_default());
    let edited = world.client.post(&path, editor, &json!({ "policy": { "models": Value::Null } })).await?;
    Ok(edited.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_edit_makes_no_key_stronger_than_its_editor_and_the_seeded_bug_is_caught() -> Result<()> {
    assert!(!lifts_its_own_limits(&World::usual().await?).await?);
    let world = Plan::default().with_bug("update_lacks_check").start().await?;
    assert!(lifts_its_own_limits(&world).await?, "update_lacks_check changes nothing: the check proves nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_right_that_is_lost_while_a_change_waits_for_the_database_is_lost_for_the_change() -> Result<()> {
    let world = World::usual().await?;
    let actor = world.create_key(&json!({ "name": "actor", "class": "admin", "role": "owner" })).await?;
    let (id, value) = (text(&actor["id"]), text(&actor["value"]));
    let [victim, other, stopped] = [
        world.create_key(&json!({ "name": "victim" })).await?,
        world.create_key(&json!({ "name": "other", "class": "admin", "role": "viewer" })).await?,
        world.create_key(&json!({ "name": "stopped" })).await?,
    ]
    .map(|key| format!("{KEYS}/{}", text(&key["id"])));
    let disabled = world.client.post(&format!("{stopped}/disable"), &world.admin_key, &json!({})).await?;
    assert_eq!(disabled.status, 200, "{}", disabled.text());

    // Another writer takes the role away, and takes its time: who asks meanwhile has been let in by what it was.
    let mut sqlite = Command::new("sqlite3")
        .arg(world.data().join("claviger.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = sqlite.stdin.take().context("no input")?;
    let mut output = BufReader::new(sqlite.stdout.take().context("no output")?);
    let demote = format!("BEGIN IMMEDIATE;\nUPDATE api_key SET role = 'viewer' WHERE id = '{id}';\nSELECT 'held';\n");
    input.write_all(demote.as_bytes()).await?;
    let mut line = String::new();
    output.read_line(&mut line).await?;
    anyhow::ensure!(line.trim() == "held", "sqlite3 said {line:?}");
    let row = json!({ "sha256": "ab".repeat(32), "name": "moved" });
    let asked = [
        (KEYS.to_owned(), json!({ "name": "late" })),
        ("/v1/organization/admin_api_keys".to_owned(), json!({ "name": "late" })),
        (format!("{KEYS}/import"), json!({ "source": "csv", "rows": [row] })),
        (victim.clone(), json!({ "name": "renamed" })),
        (other.clone(), json!({ "role": "owner" })),
        (format!("{victim}/rotate"), json!({})),
        (format!("{victim}/reissue"), json!({})),
        (format!("{victim}/disable"), json!({})),
        (format!("{victim}/revoke"), json!({})),
        (format!("{stopped}/enable"), json!({})),
        ("/v1/organization/policy".to_owned(), json!({ "creators": "developers" })),
    ];
    let calls: Vec<_> = asked
        .iter()
        .map(|(path, body)| {
            let (client, path, value, body) = (world.client.clone(), path.clone(), value.clone(), body.clone());
            tokio::spawn(async move { client.post(&path, &value, &body).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(calls.iter().all(|call| !call.is_finished()), "each of them waits for the database");
    input.write_all(b"COMMIT;\n.quit\n").await?;
    sqlite.wait().await?;
    for ((path, body), call) in asked.iter().zip(join_all(calls).await) {
        let answer = call??;
        assert_eq!(answer.refusal(), (403, "permission_denied".to_owned()), "{path} {body}: {}", answer.text());
    }
    let keys =
        world.client.get(&format!("{KEYS}?state[]=active&state[]=disabled&state[]=revoked"), &world.admin_key).await?;
    let mut names: Vec<String> =
        keys.json()["data"].as_array().into_iter().flatten().map(|key| text(&key["name"])).collect();
    names.sort();
    assert!(!names.iter().any(|name| ["late", "moved", "renamed"].contains(&name.as_str())), "{names:?}");
    Ok(())
}
