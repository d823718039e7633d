//! The walls between organizations and between ranks, on the real program: each promise beside the build with a seeded
//! bug that breaks it, so that the check is known to be able to fail.

use claviger_e2e::{Plan, Result, World};
use serde_json::{Value, json};

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
