//! Admin keys as OpenAI's Administration API has them.

use super::{KEYS, World, text};
use serde_json::{Value, json};

const ADMIN: &str = "/v1/organization/admin_api_keys";

#[tokio::test]
async fn an_admin_key_is_made_listed_read_and_ended() {
    let (world, admin) = World::set_up().await;
    let ask = json!({ "name": "ci", "expires_in_seconds": 3600, "role": "viewer" });
    let made = world.with(&admin, "POST", ADMIN, &ask).await;
    assert_eq!((made.status, &made.body["object"]), (200, &json!("organization.admin_api_key")), "{}", made.body);
    let value = text(&made.body["value"]).to_owned();
    let path = format!("{ADMIN}/{}", text(&made.body["id"]));
    let read = world.with(&admin, "GET", &path, &Value::Null).await.body;
    assert!(read.get("value").is_none(), "shown once");
    assert_eq!((&read["role"], &read["expires_at"]), (&json!("viewer"), &made.body["expires_at"]));
    let list = world.with(&admin, "GET", ADMIN, &Value::Null).await.body;
    let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|key| text(&key["name"])).collect();
    assert_eq!(names.len(), 2, "the key of the set-up, too: {names:?}");
    assert_eq!(world.with(&value, "GET", KEYS, &Value::Null).await.status, 200);
    assert_eq!(world.with(&value, "POST", ADMIN, &ask).await.refusal(), (403, "permission_denied"));
    let ended = world.with(&admin, "DELETE", &path, &Value::Null).await;
    assert_eq!(ended.body["object"], "organization.admin_api_key.deleted");
    assert_eq!(world.with(&value, "GET", KEYS, &Value::Null).await.refusal(), (401, "key_revoked"));
}

#[tokio::test]
async fn an_inference_key_is_none_and_nobody_makes_a_stronger_one() {
    let (world, admin) = World::set_up().await;
    let key = world.key("inference").await;
    let path = format!("{ADMIN}/{}", text(&key["id"]));
    for method in ["GET", "DELETE"] {
        assert_eq!(world.with(&admin, method, &path, &Value::Null).await.refusal(), (404, "not_found"));
    }
    let weak = world.with(&admin, "POST", ADMIN, &json!({ "name": "weak", "role": "admin" })).await;
    let weak = text(&weak.body["value"]).to_owned();
    let raised = world.with(&weak, "POST", ADMIN, &json!({ "name": "strong", "role": "owner" })).await;
    assert_eq!(raised.refusal(), (403, "permission_denied"));
    let own = world.with(&weak, "POST", ADMIN, &json!({ "name": "equal" })).await;
    assert_eq!((own.status, &own.body["role"]), (200, &json!("admin")), "the maker's role when none is named");
    let long = json!({ "name": "long", "expires_in_seconds": 31_536_001 });
    assert_eq!(world.with(&admin, "POST", ADMIN, &long).await.refusal(), (400, "invalid_value"));
    let list = world.with(&admin, "GET", ADMIN, &Value::Null).await.body;
    assert!(!list.to_string().contains(text(&key["id"])));
}
