//! The administration clients of the official SDKs against the real program, unchanged (`keys.md` §10).
//!
//! What the scripts check themselves is in the scripts; here stand the refusals, which are promises of codes, and what
//! the keys that were made that way are good for.

use claviger_e2e::{Result, Script, World, node, python};
use serde_json::{Value, json};

const MODEL: &str = "paid/echo";

async fn drive(world: &World, script: Script) -> Result<Value> {
    let key = world.key("caller").await?;
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Say hello" }] });
    let before = world.client.get("/v1/organization/api_keys", &world.admin_key).await?.json();
    let since = before["data"][0]["created_at"].as_i64().unwrap_or_default().to_string();
    assert_eq!(world.client.post("/v1/chat/completions", &key, &body).await?.status, 200);
    let base = format!("{}/v1", world.url);
    let script = script.arg(MODEL).arg(&since).env("OPENAI_ADMIN_KEY", &world.admin_key);
    let seen = script.env("OPENAI_BASE_URL", &base).json().await?;
    for (what, refusal) in [
        ("unknown_project", json!(["NotFoundError", 404, "not_found"])),
        ("unknown_admin_key", json!(["NotFoundError", 404, "not_found"])),
        ("foreign_cursor", json!(["BadRequestError", 400, "invalid_cursor"])),
        ("uncounted_limit", json!(["BadRequestError", 400, "unsupported_parameter"])),
        ("last_owner", json!(["BadRequestError", 400, "last_owner"])),
        ("not_served", json!(["NotFoundError", 404, "unknown_url"])),
    ] {
        assert_eq!(seen[what], refusal, "{what}: {seen}");
    }
    assert_eq!(seen["used"], json!([[MODEL, 1, 4]]), "{seen}");
    let robot = seen["robot_key"].as_str().unwrap_or_default();
    let answer = world.client.post("/v1/chat/completions", robot, &body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administration_client_of_the_python_sdk_works_unchanged() -> Result<()> {
    let world = World::usual().await?;
    drive(&world, python("openai-3", "admin.py")?).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administration_client_of_the_node_sdk_works_unchanged() -> Result<()> {
    let world = World::usual().await?;
    drive(&world, node("admin.mjs")?).await.map(drop)
}
