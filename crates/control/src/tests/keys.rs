//! The life of a key through the management endpoints.

use super::{KEYS, World, text};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_key_is_shown_once_and_only_by_create() {
    let (world, admin) = World::set_up().await;
    let body = json!({ "name": "生产 Ω", "source_tag": "etl", "expires_in_seconds": 3600 });
    let created = world.with(&admin, "POST", KEYS, &body).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let value = text(&created.body["value"]).to_owned();
    let id = text(&created.body["id"]);
    assert!(value.contains(id.trim_start_matches("key_")));
    assert_eq!(text(&created.body["name"]), "生产 Ω");
    assert_eq!(text(&created.body["object"]), "organization.project.api_key");
    assert_eq!(created.body["expires_at"].as_i64(), created.body["created_at"].as_i64().map(|at| at + 3600));
    assert_eq!(text(&created.body["redacted_value"]), format!("clv_…{}", &value[62..]));

    let got = world.with(&admin, "GET", &format!("{KEYS}/{id}"), &Value::Null).await;
    assert_eq!(text(&got.body["source_tag"]), "etl");
    assert!(got.body.get("value").is_none());
    assert!(!String::from_utf8_lossy(&got.bytes).contains(&value[17..60]));
}

#[tokio::test]
async fn create_says_which_field_is_wrong() {
    let (world, admin) = World::set_up().await;
    for (body, code, param) in [
        (json!({}), "missing_required_parameter", "name"),
        (json!({ "name": "" }), "invalid_name", "name"),
        (json!({ "name": "x".repeat(101) }), "invalid_name", "name"),
        (json!({ "name": 1 }), "invalid_value", "name"),
        (json!({ "name": "a", "nmae": "b" }), "unknown_field", "nmae"),
        (json!({ "name": "a", "state": "active" }), "read_only_field", "state"),
        (json!({ "name": "a", "source_tag": "x".repeat(65) }), "invalid_tag", "source_tag"),
        (json!({ "name": "a", "expires_in_seconds": 59 }), "invalid_value", "expires_in_seconds"),
        (json!({ "name": "a", "expires_in_seconds": 1.5 }), "invalid_value", "expires_in_seconds"),
        (json!({ "name": "a", "expires_at": 1 }), "invalid_value", "expires_at"),
        (json!({ "name": "a", "class": "root" }), "invalid_value", "class"),
        (json!({ "name": "a", "role": "viewer" }), "invalid_value", "role"),
        (json!({ "name": "a", "class": "admin", "test": true }), "invalid_value", "test"),
    ] {
        let answer = world.with(&admin, "POST", KEYS, &body).await;
        assert_eq!((answer.refusal(), text(&answer.body["error"]["param"])), ((400, code), param), "{body}");
    }
    let answer = world.with(&admin, "POST", KEYS, &json!(["name"])).await;
    assert_eq!(answer.refusal(), (400, "body_not_object"));
    let answer = world.with(&admin, "POST", &format!("{KEYS}?dry_run=1"), &json!({ "name": "a" })).await;
    assert_eq!(answer.refusal(), (400, "unknown_field"));
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_leaves_the_default_list() {
    let (world, admin) = World::set_up().await;
    let key = world.key("leaked").await;
    let path = format!("{KEYS}/{}", text(&key["id"]));
    let deleted = world.with(&admin, "DELETE", &path, &Value::Null).await;
    assert_eq!(text(&deleted.body["object"]), "organization.project.api_key.deleted");
    assert_eq!((&deleted.body["deleted"], deleted.body["confirmation"]["epoch"].is_i64()), (&json!(true), true));

    assert_eq!(
        world.with(&admin, "POST", &format!("{path}/enable"), &Value::Null).await.refusal(),
        (400, "key_is_revoked")
    );
    assert_eq!(
        world.with(&admin, "POST", &format!("{path}/disable"), &json!({})).await.refusal(),
        (400, "key_is_revoked")
    );
    let again = world.with(&admin, "POST", &format!("{path}/revoke"), &json!({ "reason": "compromised" })).await;
    assert_eq!((again.status, text(&again.body["state_changed"]["reason"])), (200, "compromised"));
    let wrong = world.with(&admin, "POST", &format!("{path}/revoke"), &json!({ "reason": "bored" })).await;
    assert_eq!(wrong.refusal(), (400, "invalid_value"));

    let names = async |query: &str| -> Vec<String> {
        let list = world.with(&admin, "GET", &format!("{KEYS}{query}"), &Value::Null).await;
        list.body["data"].as_array().into_iter().flatten().map(|key| text(&key["name"]).to_owned()).collect()
    };
    assert_eq!(names("").await, ["setup"]);
    assert_eq!(names("?state=revoked").await, ["leaked"]);
}

#[tokio::test]
async fn disable_can_be_undone() {
    let (world, admin) = World::set_up().await;
    let key = world.key("nightly").await;
    let path = format!("{KEYS}/{}", text(&key["id"]));
    let state = async |act: &str| -> String {
        let answer = world.with(&admin, "POST", &format!("{path}/{act}"), &json!({})).await;
        assert!(answer.body["confirmation"]["epoch"].is_i64(), "{}", answer.body);
        text(&answer.body["state"]).to_owned()
    };
    assert_eq!((state("disable").await.as_str(), state("enable").await.as_str()), ("disabled", "active"));
}

#[tokio::test]
async fn lists_page_without_gap_or_overlap() {
    let (world, admin) = World::set_up().await;
    for number in 0..7 {
        world.clock.step(Duration::from_secs(1));
        world.key(&format!("key {number}")).await;
    }
    let mut seen = Vec::new();
    let mut query = "?limit=3&order=asc".to_owned();
    loop {
        let page = world.with(&admin, "GET", &format!("{KEYS}{query}"), &Value::Null).await;
        seen.extend(page.body["data"].as_array().into_iter().flatten().map(|key| text(&key["name"]).to_owned()));
        if page.body["has_more"] != json!(true) {
            break;
        }
        query = format!("?limit=3&order=asc&after={}", text(&page.body["last_id"]));
    }
    let expected: Vec<String> =
        std::iter::once("setup".to_owned()).chain((0..7).map(|number| format!("key {number}"))).collect();
    assert_eq!(seen, expected);
    for (query, code) in
        [("?after=key_zzzzzzzzzzzz", "invalid_cursor"), ("?limit=0", "invalid_value"), ("?limt=1", "unknown_field")]
    {
        assert_eq!(
            world.with(&admin, "GET", &format!("{KEYS}{query}"), &Value::Null).await.refusal(),
            (400, code),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_organization_has_no_more_keys_than_it_may() {
    let (world, admin) = World::set_up().await;
    for number in 1..100 {
        world.key(&format!("key {number}")).await;
    }
    let over = world.with(&admin, "POST", KEYS, &json!({ "name": "one more" })).await;
    assert_eq!(over.refusal(), (400, "key_limit_reached"));
    assert!(
        text(&over.body["error"]["message"])
            .starts_with("This organization has 100 of 100 API keys; 0 were not used for 90 days. ")
    );
}

#[tokio::test]
async fn an_admin_key_is_no_stronger_than_its_maker() {
    let (world, owner) = World::set_up().await;
    let admin_body = |role: &str| json!({ "name": role, "class": "admin", "role": role });
    let made = world.with(&owner, "POST", KEYS, &admin_body("admin")).await;
    let admin = text(&made.body["value"]).to_owned();
    assert_eq!(made.status, 200, "{}", made.body);
    // Under the default policy only owners create keys at all.
    assert_eq!(world.with(&admin, "POST", KEYS, &json!({ "name": "a" })).await.refusal(), (403, "permission_denied"));

    let viewer = world.with(&owner, "POST", KEYS, &admin_body("viewer")).await;
    let viewer_key = text(&viewer.body["value"]);
    assert_eq!(world.with(viewer_key, "GET", KEYS, &Value::Null).await.status, 200);
    let path = format!("{KEYS}/{}", text(&made.body["id"]));
    assert_eq!(world.with(viewer_key, "DELETE", &path, &Value::Null).await.refusal(), (403, "permission_denied"));
}

#[tokio::test]
async fn the_proof_of_a_revocation_stands_in_the_audit_log_behind_it() {
    let (world, admin) = World::set_up().await;
    let log = "/v1/organization/audit_logs?limit=2";
    let key = world.key("leaked").await;
    let path = format!("{KEYS}/{}/revoke", text(&key["id"]));
    let revoked = world.with(&admin, "POST", &path, &json!({ "reason": "compromised" })).await;
    assert_eq!(revoked.body["confirmation"]["cut"], json!(true), "{}", revoked.body);
    let logged = world.with(&admin, "GET", log, &Value::Null).await;
    let (proof, act) = (&logged.body["data"][0], &logged.body["data"][1]);
    assert_eq!((text(&proof["type"]), text(&act["type"])), ("rights.confirmed", "api_key.deleted"));
    assert_eq!(proof["request_id"], act["request_id"]);
    assert_eq!(proof["rights.confirmed"]["id"], key["id"]);
    assert_eq!(proof["rights.confirmed"]["confirmation"], revoked.body["confirmation"]);
    // Asked for again, the same change has one record.
    let again = world.with(&admin, "POST", &path, &json!({ "reason": "compromised" })).await;
    assert_eq!(again.status, 200);
    let later = world.with(&admin, "GET", log, &Value::Null).await;
    assert_eq!(later.body["data"], logged.body["data"]);
    let key = world.key("k").await;
    let disabled = world.with(&admin, "POST", &format!("{KEYS}/{}/disable", text(&key["id"])), &json!({})).await;
    assert_eq!(disabled.body["confirmation"]["cut"], json!(false));
}
