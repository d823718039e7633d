//! What a text of a key is enough for: reading itself, ending itself, being recognised when it leaked.

use super::{KEYS, World, text};
use claviger_domain::secret::Pepper;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

const OWN: &str = "/v1/key";
const REVOKE: &str = "/v1/key/revoke";
const LOOKUP: &str = "/v1/organization/api_keys/lookup";

async fn made(world: &World, body: &Value) -> (Value, String) {
    let answer = world.operator("POST", KEYS, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let value = text(&answer.body["value"]).to_owned();
    (answer.body, value)
}

fn sha256(value: &str) -> String {
    Sha256::digest(value.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_key_reads_itself_in_the_shape_of_openrouter_and_ours() {
    let (world, admin) = World::set_up().await;
    let body = json!({
        "name": "checkout", "source_tag": "shop", "expires_in_seconds": 3600,
        "limits": { "rpm": 60 }, "policy": { "endpoints": ["chat.completions"] },
    });
    let (key, value) = made(&world, &body).await;
    for path in [OWN, "/api/v1/key"] {
        let own = world.with(&value, "GET", path, &Value::Null).await;
        assert_eq!(own.status, 200, "{}", own.body);
        let data = &own.body["data"];
        assert_eq!(
            (&data["id"], &data["label"], &data["source_tag"]),
            (&key["id"], &json!("checkout"), &json!("shop"))
        );
        assert_eq!((&data["limits"], &data["policy"]), (&key["limits"], &key["policy"]));
        assert_eq!((&data["flags"], &data["redacted_value"]), (&key["flags"], &key["redacted_value"]));
        assert_eq!(data["rate_limit"]["requests"], 60);
        assert_eq!((&data["limit"], &data["usage"]), (&Value::Null, &json!(0.0)));
        assert_eq!(data["is_management_key"], false);
        assert!(String::from_utf8_lossy(&own.bytes).contains("\"usage\":0.000000000,"), "printed from the integer");
    }
    let own = world.with(&admin, "GET", OWN, &Value::Null).await.body;
    assert_eq!(own["data"]["is_management_key"], true);
    assert_eq!(world.operator("GET", OWN, &Value::Null).await.refusal(), (401, "missing_api_key"));
}

#[tokio::test]
async fn a_text_made_elsewhere_reads_and_ends_itself() {
    let (world, _) = World::set_up().await;
    let foreign = "sk-x1VDTAFB7Ra1hldATbncOa_dddVttDvRHQibTA-Oi7ucU";
    made(&world, &json!({ "name": "moved", "sha256": sha256(foreign) })).await;
    let own = world.with(foreign, "GET", OWN, &Value::Null).await;
    assert_eq!((own.status, &own.body["data"]["name"]), (200, &json!("moved")));
    assert_eq!(world.with(foreign, "POST", REVOKE, &Value::Null).await.status, 200);
    assert_eq!(world.with(foreign, "GET", OWN, &Value::Null).await.refusal(), (401, "key_revoked"));
}

#[tokio::test]
async fn whoever_holds_a_secret_ends_it_in_any_state_and_its_owners_are_told() {
    let (world, admin) = World::set_up().await;
    let (key, value) = made(&world, &json!({ "name": "leaked", "policy": { "ips": ["198.51.100.0/24"] } })).await;
    let path = format!("{KEYS}/{}", text(&key["id"]));
    world.operator("POST", &format!("{path}/disable"), &Value::Null).await;
    let done = world.with(&value, "POST", REVOKE, &json!({ "reason": "found in a gist" })).await;
    assert_eq!(done.status, 200, "from an address that is not allowed, disabled: {}", done.body);
    assert!(done.body["epoch"].is_i64() && done.body["nodes"].is_array(), "{}", done.body);
    let read = world.operator("GET", &path, &Value::Null).await.body;
    assert_eq!((&read["state"], &read["state_changed"]["reason"]), (&json!("revoked"), &json!("compromised")));
    let again = world.with(&value, "POST", REVOKE, &Value::Null).await;
    assert_eq!(again.status, 200, "repeating is safe");
    let log = world.with(&admin, "GET", "/v1/organization/audit_logs", &Value::Null).await.body;
    let records = log["data"].as_array().unwrap();
    let deleted: Vec<&Value> = records.iter().filter(|record| record["type"] == "api_key.deleted").collect();
    assert_eq!(deleted.len(), 1, "{log}");
    assert!(deleted[0].to_string().contains("found in a gist"), "{log}");
}

#[tokio::test]
async fn one_of_two_secrets_ends_alone_and_an_admin_key_ends_too() {
    let (world, admin) = World::set_up().await;
    let (key, first) = made(&world, &json!({ "name": "two" })).await;
    let path = format!("{KEYS}/{}", text(&key["id"]));
    let rotated = world.operator("POST", &format!("{path}/rotate"), &Value::Null).await.body;
    let second = text(&rotated["value"]).to_owned();
    assert_eq!(world.with(&first, "POST", REVOKE, &Value::Null).await.status, 200);
    assert_eq!(world.with(&first, "GET", OWN, &Value::Null).await.refusal(), (401, "key_revoked"));
    let own = world.with(&second, "GET", OWN, &Value::Null).await;
    assert_eq!((own.status, &own.body["data"]["state"]), (200, &json!("active")));
    let read = world.operator("GET", &path, &Value::Null).await.body;
    assert_eq!(read["secrets"][1]["end_reason"], "compromised");
    assert_eq!(world.with(&admin, "POST", REVOKE, &Value::Null).await.status, 200);
    assert_eq!(world.with(&admin, "GET", KEYS, &Value::Null).await.refusal(), (401, "key_revoked"));
}

#[tokio::test]
async fn nobody_ends_what_they_do_not_hold_and_bait_is_unknown() {
    let (world, _) = World::set_up().await;
    let (_, value) = made(&world, &json!({ "name": "mine" })).await;
    let (_, bait) = made(&world, &json!({ "name": "bait", "canary": true })).await;
    assert_eq!(world.network("POST", REVOKE, &[], &Value::Null).await.refusal(), (401, "missing_api_key"));
    let wrong = format!("{}x", &value[..value.len() - 1]);
    assert_eq!(world.with(&wrong, "POST", REVOKE, &Value::Null).await.refusal(), (401, "invalid_api_key"));
    let taken = world.with(&bait, "POST", REVOKE, &Value::Null).await;
    assert_eq!(taken.refusal(), (401, "invalid_api_key"));
    assert!(text(&taken.body["error"]["message"]).ends_with("No key of this server matches it."), "{}", taken.body);
    assert_eq!(world.with(&value, "GET", OWN, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_leaked_is_found_among_ones_own_keys_only() {
    let (mut world, _) = World::set_up().await;
    let (key, value) = made(&world, &json!({ "name": "mine" })).await;
    let other = world.organization("other", claviger_domain::tenancy::OrganizationState::Active).await;
    let theirs = world.operator_in("other", "POST", KEYS, &json!({ "name": "theirs" })).await.body;
    let ask = json!({
        "ids": [key["id"], theirs["id"], "key_000000000000", "nonsense"],
        "sha256": [sha256(&value), sha256(text(&theirs["value"])), "00".repeat(32)],
    });
    let found = world.operator_in("acme", "POST", LOOKUP, &ask).await;
    assert_eq!(found.status, 200, "{}", found.body);
    let data = found.body["data"].as_array().unwrap();
    let told: Vec<(&str, &Value)> = data.iter().map(|row| (text(&row["match"]), &row["key"]["id"])).collect();
    assert_eq!(told, [("id", &key["id"]), ("exact", &key["id"])]);
    assert_eq!((&data[1]["sha256"], &data[1]["secret_id"]), (&json!(sha256(&value)), &key["secrets"][0]["id"]));
    assert_eq!((&data[0]["is_live"], &data[0]["spend"]), (&json!(true), &json!("0.000000000")));
    for bad in [json!({}), json!({ "sha256": ["abc"] }), json!({ "ids": vec!["key_000000000000"; 101] })] {
        assert_eq!(world.operator_in("acme", "POST", LOOKUP, &bad).await.refusal(), (400, "invalid_value"), "{bad}");
    }
    let digest = Pepper::new(2, [2; 32]).digest(value.as_bytes());
    let trails = [claviger_storage::Trail::Digests(vec![digest])];
    let scope = claviger_domain::tenancy::TenantScope(other);
    assert!(world.store.store.look_up_keys(scope, &trails).await.unwrap()[0].is_none());
    world.clock.step(Duration::from_secs(1));
}
