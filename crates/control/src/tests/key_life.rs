//! The life of a key over the API: with everything a body may say, edited, rotated, issued again, ended.

use super::{KEYS, World, text};
use claviger_domain::time::Clock as _;
use serde_json::{Value, json};
use std::time::Duration;

fn full() -> Value {
    json!({
        "name": "narrow", "source_tag": "checkout", "stored_in": "vault: prod/openai", "expires_in_seconds": 3600,
        "limits": { "rpm": 60, "tpm": 1000, "concurrency": 4, "burst": 10 },
        "policy": {
            "models": ["acme/*"], "endpoints": ["chat.completions"], "ips": ["10.0.0.0/8"],
            "ips_denied": ["10.1.0.0/16"], "reach": "environment", "permissions": ["keys.verify"]
        },
        "shadow": { "models": ["acme/chat"], "rpm": 5 }
    })
}

async fn made(world: &World, body: &Value) -> Value {
    let answer = world.operator("POST", KEYS, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn at(key: &Value, rest: &str) -> String {
    format!("{KEYS}/{}{rest}", text(&key["id"]))
}

#[tokio::test]
async fn a_key_says_everything_it_was_made_with() {
    let world = World::fresh().await;
    let made = made(&world, &full()).await;
    let read = world.operator("GET", &at(&made, ""), &Value::Null).await.body;
    let told = full();
    for member in ["name", "source_tag", "stored_in"] {
        assert_eq!(read[member], told[member]);
    }
    assert_eq!(read["limits"], json!({ "rpm": 60, "tpm": 1000, "concurrency": 4, "burst": 10, "budgets": [] }));
    assert_eq!(read["policy"], told["policy"]);
    assert_eq!(read["shadow"]["models"], json!(["acme/chat"]));
    assert_eq!(read["created_by"], "operator");
    assert!(read["value"].is_null() && made["value"].is_string(), "shown once");
}

#[tokio::test]
async fn a_body_that_cannot_be_is_refused_by_name() {
    let world = World::fresh().await;
    for (member, value) in [
        ("policy", json!({ "models": [] })),
        ("policy", json!({ "ips": ["fe80::1%eth0"] })),
        ("policy", json!({ "endpoints": ["account"] })),
        ("policy", json!({ "permissions": ["keys.create"] })),
        ("limits", json!({ "rpm": 0 })),
        ("shadow", json!("x")),
        ("owner", json!("usr_0000000000000000000007")),
        ("sha256", json!("abc")),
        ("expires_in_seconds", json!(59)),
    ] {
        let mut body = json!({ "name": "k" });
        body[member] = value.clone();
        assert_eq!(world.operator("POST", KEYS, &body).await.refusal(), (400, "invalid_value"), "{member} {value}");
    }
}

#[tokio::test]
async fn null_clears_absence_leaves_and_versions_count() {
    let world = World::fresh().await;
    let key = made(&world, &full()).await;
    let path = at(&key, "");
    let edit = json!({ "source_tag": null, "limits": { "rpm": null, "tpm": 5 }, "shadow": null });
    let edited = world.operator("POST", &path, &edit).await.body;
    assert_eq!((&edited["source_tag"], &edited["shadow"]), (&Value::Null, &Value::Null));
    assert_eq!(edited["limits"], json!({ "rpm": null, "tpm": 5, "concurrency": 4, "burst": 10, "budgets": [] }));
    assert_eq!((&edited["name"], &edited["version"]), (&json!("narrow"), &json!(2)));
    for (body, code) in [
        (json!({ "state": "disabled" }), "read_only_field"),
        (json!({ "class": "admin" }), "read_only_field"),
        (json!({ "colour": 1 }), "unknown_field"),
    ] {
        assert_eq!(world.operator("POST", &path, &body).await.refusal(), (400, code));
    }
    let stale = world.operator_with("POST", &path, &[("if-match", "1")], &json!({ "name": "x" })).await;
    assert_eq!(stale.refusal(), (412, "version_conflict"));
    let fresh = world.operator_with("POST", &path, &[("if-match", "\"2\"")], &json!({ "name": "x" })).await;
    assert_eq!(fresh.body["version"], 3);
}

#[tokio::test]
async fn an_expired_key_gets_a_later_expiry_and_a_revoked_one_nothing() {
    let world = World::fresh().await;
    let key = made(&world, &json!({ "name": "k", "expires_in_seconds": 60 })).await;
    world.clock.step(Duration::from_secs(61));
    assert_eq!(world.operator("GET", &at(&key, ""), &Value::Null).await.body["state"], "expired");
    let back = world.operator("POST", &at(&key, ""), &json!({ "expires_in_seconds": 3600 })).await.body;
    assert_eq!(back["state"], "active");
    world.operator("POST", &at(&key, "/revoke"), &json!({ "reason": "unused", "note": "spring clean" })).await;
    for (rest, body) in [("", json!({ "name": "x" })), ("/enable", json!({})), ("/rotate", json!({}))] {
        assert_eq!(world.operator("POST", &at(&key, rest), &body).await.refusal(), (400, "key_is_revoked"));
    }
}

#[tokio::test]
async fn a_rotation_keeps_the_key_and_both_secrets_work_until_the_overlap_is_over() {
    let (world, admin) = World::set_up().await;
    let key = world.with(&admin, "POST", KEYS, &json!({ "name": "a", "class": "admin" })).await.body;
    let old = text(&key["value"]).to_owned();
    let next = world.with(&admin, "POST", &at(&key, "/rotate"), &json!({ "overlap_seconds": 600 })).await.body;
    let new = text(&next["value"]).to_owned();
    assert_eq!((&next["id"], &next["name"]), (&key["id"], &key["name"]));
    assert!(next["flags"].as_array().unwrap().contains(&json!("rotating")), "{}", next["flags"]);
    for secret in [&old, &new] {
        assert_eq!(world.with(secret, "GET", KEYS, &Value::Null).await.status, 200);
    }
    world.clock.step(Duration::from_secs(600));
    let refused = world.with(&old, "GET", KEYS, &Value::Null).await;
    assert_eq!(refused.refusal(), (401, "key_revoked"));
    let message = text(&refused.body["error"]["message"]);
    assert!(
        message.contains("This secret was replaced on") && message.ends_with("use the key's current one."),
        "{message}"
    );
    assert_eq!(world.with(&new, "GET", KEYS, &Value::Null).await.status, 200);
    assert_eq!(world.operator("POST", "/api/operator/jobs/overlaps/run", &Value::Null).await.body["done"], 1);
}

#[tokio::test]
async fn a_rotation_retried_yields_one_secret_and_a_lost_value_is_issued_again() {
    let world = World::fresh().await;
    let key = made(&world, &json!({ "name": "k" })).await;
    let path = at(&key, "/rotate");
    let rotate = || world.operator_with("POST", &path, &[("idempotency-key", "r1")], &Value::Null);
    let first = rotate().await;
    let second = rotate().await;
    assert!(first.body["value"].is_string());
    assert!(second.body.get("value").is_none(), "no file gives a value a second time");
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(second.body["secrets"].as_array().unwrap().len(), 2);
    let until = second.body["reissue_until"].as_i64().unwrap();
    assert_eq!(until, world.clock.now().wall.seconds() + 600);
    let again = world.operator("POST", &at(&key, "/reissue"), &Value::Null).await;
    assert_ne!(again.body["value"], first.body["value"]);
    let secrets = again.body["secrets"].as_array().unwrap();
    assert_eq!((secrets.len(), &secrets[2]["number"], &secrets[2]["end_reason"]), (3, &json!(2), &json!("reissued")));
    world.clock.step(Duration::from_secs(600));
    let late = world.operator("POST", &at(&key, "/reissue"), &Value::Null).await;
    assert_eq!(late.refusal(), (400, "reissue_window_over"));
    let other = world
        .operator_with("POST", &at(&key, "/rotate"), &[("idempotency-key", "r1")], &json!({ "overlap_seconds": 5 }))
        .await;
    assert_eq!(other.refusal(), (400, "idempotency_key_reused"));
    let bad = world.operator_with("POST", KEYS, &[("idempotency-key", "")], &json!({ "name": "x" })).await;
    assert_eq!(bad.refusal(), (400, "invalid_idempotency_key"));
}

#[tokio::test]
async fn an_older_secret_is_ended_or_extended_and_the_newest_only_with_the_key() {
    let world = World::fresh().await;
    let key = made(&world, &json!({ "name": "k" })).await;
    let rotated = world.operator("POST", &at(&key, "/rotate"), &Value::Null).await.body;
    let (newest, old) = (text(&rotated["secrets"][0]["id"]), text(&rotated["secrets"][1]["id"]));
    let later = world.clock.now().wall.seconds() + 3 * 24 * 3600;
    let extended =
        world.operator("POST", &at(&key, &format!("/secrets/{old}/extend")), &json!({ "ends_at": later })).await.body;
    assert_eq!(extended["secrets"][1]["ends_at"], later);
    let refused = world.operator("POST", &at(&key, &format!("/secrets/{newest}/end")), &Value::Null).await;
    assert_eq!(refused.refusal(), (400, "revoke_the_key"));
    let ended = world.operator("POST", &at(&key, &format!("/secrets/{old}/end")), &Value::Null).await.body;
    assert_eq!(ended["secrets"][1]["end_reason"], "ended");
    assert!(ended["confirmation"]["epoch"].is_i64());
    let foreign = world.operator("POST", &at(&key, "/secrets/sec_0000000000000000000000/end"), &Value::Null).await;
    assert_eq!(foreign.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn nobody_makes_or_edits_a_key_stronger_than_their_own() {
    let (world, admin) = World::set_up().await;
    world.operator("POST", "/v1/organization/policy", &json!({ "creators": "admins" })).await;
    let weaker =
        world.with(&admin, "POST", KEYS, &json!({ "name": "b", "class": "admin", "role": "admin" })).await.body;
    let weak = text(&weaker["value"]).to_owned();
    let raised = world.with(&weak, "POST", KEYS, &json!({ "name": "c", "class": "admin", "role": "owner" })).await;
    assert_eq!(raised.refusal(), (403, "permission_denied"));
    let edited = world.with(&weak, "POST", &at(&weaker, ""), &json!({ "role": "owner" })).await;
    assert_eq!(edited.refusal(), (403, "permission_denied"));
    let owners = world.with(&admin, "POST", KEYS, &json!({ "name": "d", "class": "admin" })).await.body;
    let rotated = world.with(&weak, "POST", &at(&owners, "/rotate"), &json!({})).await;
    assert_eq!(rotated.refusal(), (403, "permission_denied"), "whoever rotates a key holds it");
}

#[tokio::test]
async fn lists_are_narrowed_by_use_age_expiry_and_owner() {
    let world = World::fresh().await;
    made(&world, &json!({ "name": "old", "source_tag": "Billing" })).await;
    world.clock.step(Duration::from_secs(100 * 24 * 3600));
    made(&world, &json!({ "name": "new", "expires_in_seconds": 3600, "test": true })).await;
    for (query, expected) in [
        ("?unused_days=90", vec!["old"]),
        ("?older_than_days=30", vec!["old"]),
        ("?expiring_days=14", vec!["new"]),
        ("?test=true", vec!["new"]),
        ("?test=false", vec!["old"]),
        ("?q=billing", vec!["old"]),
        ("?owner=usr_0000000000000000000007", vec![]),
        ("", vec!["new", "old"]),
    ] {
        let list = world.operator("GET", &format!("{KEYS}{query}"), &Value::Null).await.body;
        let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|key| text(&key["name"])).collect();
        assert_eq!(names, expected, "{query}");
    }
    let list = world.operator("GET", KEYS, &Value::Null).await.body;
    let shown = text(&list["data"][0]["redacted_value"]);
    let last: String = shown.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
    let found = world.operator("GET", &format!("{KEYS}?q={last}"), &Value::Null).await.body;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_uses_a_key_is_listed_by_secret_and_shown_as_a_flag() {
    let world = World::fresh().await;
    let key = made(&world, &json!({ "name": "ci" })).await;
    let read = world.operator("GET", &at(&key, ""), &Value::Null).await.body;
    let listed = world.operator("GET", &at(&key, "/callers"), &Value::Null).await;
    assert_eq!((listed.status, &listed.body["data"]), (200, &json!([])));
    world.clock.step(Duration::from_secs(24 * 3600));
    let now = world.clock.now().wall;
    let used = claviger_storage::CallerUse {
        key: text(&key["id"]).parse().unwrap(),
        secret: text(&read["secrets"][0]["id"]).parse().unwrap(),
        network: "192.0.2.0/24".to_owned(),
        client: "OpenAI/Python".to_owned(),
        requests: 7,
        at: now,
        last_model: Some("acme/chat".to_owned()),
        last_status: Some(200),
    };
    world.store.store.add_callers(vec![used]).await.unwrap();
    world.store.store.stamp_rate_limited(vec![text(&key["id"]).parse().unwrap()], now).await.unwrap();
    let callers = world.operator("GET", &at(&key, "/callers"), &Value::Null).await.body;
    let caller = &callers["data"][0];
    assert_eq!(caller["secret_id"], read["secrets"][0]["id"]);
    assert_eq!((&caller["network"], &caller["client"]), (&json!("192.0.2.0/24"), &json!("OpenAI/Python")));
    assert_eq!((&caller["requests"], &caller["last_status"]), (&json!(7), &json!(200)));
    let flags = async || world.operator("GET", &at(&key, ""), &Value::Null).await.body["flags"].to_string();
    let shown = flags().await;
    assert!(shown.contains("new_caller") && shown.contains("rate_limited"), "{shown}");
    world.clock.step(Duration::from_secs(8 * 24 * 3600));
    let shown = flags().await;
    assert!(!shown.contains("new_caller") && !shown.contains("rate_limited"), "{shown}");
    assert_eq!(world.operator("GET", &format!("{KEYS}/key_000000000000/callers"), &Value::Null).await.status, 404);
}

#[tokio::test]
async fn each_refusal_of_an_act_on_a_key_has_its_documented_code_and_message() {
    let (world, _) = World::set_up().await;
    let post = async |key: &Value, rest: &str, body: Value| world.operator("POST", &at(key, rest), &body).await;
    let told = |answer: super::Answer| {
        let message = text(&answer.body["error"]["message"]).to_owned();
        (answer.status, answer.code().to_owned(), message)
    };
    let refused = |code: &str, message: &str| (400, code.to_owned(), message.to_owned());
    let key = made(&world, &json!({ "name": "much rotated" })).await;
    for _ in 0..2 {
        assert_eq!(post(&key, "/rotate", json!({})).await.status, 200);
    }
    let fourth = told(post(&key, "/rotate", json!({})).await);
    assert_eq!((fourth.0, fourth.1.as_str()), (400, "too_many_secrets"));
    assert!(
        fourth.2.starts_with("This key has three live secrets, as many as it may. The next one ends at 20"),
        "{fourth:?}"
    );
    let secrets = world.operator("GET", &at(&key, ""), &Value::Null).await.body["secrets"].clone();
    let newest = format!("/secrets/{}/end", text(&secrets[0]["id"]));
    let message = "This is the key's newest secret: it ends with the key. Rotate first, or revoke the key.";
    assert_eq!(told(post(&key, &newest, json!({})).await), refused("revoke_the_key", message));
    assert_eq!(post(&key, "/disable", json!({})).await.status, 200);
    let message = "This key is disabled; only an active key gets a new secret.";
    assert_eq!(told(post(&key, "/rotate", json!({})).await), refused("key_not_active", message));
    assert_eq!(post(&key, "/revoke", json!({})).await.status, 200);
    let message = "This key is revoked, and that is final. Create a new one.";
    for act in ["/enable", "/disable", "/rotate", "/reissue", ""] {
        let body = if act.is_empty() { json!({ "name": "again" }) } else { json!({}) };
        let answer = told(post(&key, act, body).await);
        assert_eq!(answer, refused("key_is_revoked", message), "{act}");
    }

    let lost = made(&world, &json!({ "name": "lost" })).await;
    world.clock.step(Duration::from_secs(601));
    let message = "A secret is issued again within ten minutes of its making. Rotate the key instead.";
    assert_eq!(told(post(&lost, "/reissue", json!({})).await), refused("reissue_window_over", message));

    let policy = json!({ "require_source_tag": true });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    let message = "This organization asks every key for a source tag.";
    let untagged = world.operator("POST", KEYS, &json!({ "name": "untagged" })).await;
    assert_eq!(text(&untagged.body["error"]["param"]), "source_tag");
    assert_eq!(told(untagged), refused("source_tag_required", message));

    let id = text(&world.operator("GET", "/v1/organization", &Value::Null).await.body["id"]).to_owned();
    let one = json!({ "max_keys": 1 });
    assert_eq!(world.operator("POST", &format!("/api/operator/organizations/{id}"), &one).await.status, 200);
    let message =
        "This organization has 1 of 1 API keys; 0 were not used for 90 days. Revoke one or ask the operator for more.";
    let another = world.operator("POST", KEYS, &json!({ "name": "another", "source_tag": "x" })).await;
    assert_eq!(told(another), refused("key_limit_reached", message));
}
