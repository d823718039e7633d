//! Organizations, environments and registries through the management endpoints.

use super::people::Browser;
use super::{KEYS, World, text};
use claviger_domain::tenancy::OrganizationState;
use serde_json::{Value, json};
use std::time::Duration;

const PROJECTS: &str = "/v1/organization/projects";
const POLICY: &str = "/v1/organization/policy";

#[tokio::test]
async fn an_environment_lives_and_is_archived_for_ever() {
    let (world, admin) = World::set_up().await;
    let made = world.with(&admin, "POST", PROJECTS, &json!({ "name": "staging" })).await;
    assert_eq!((made.status, text(&made.body["status"])), (200, "active"), "{}", made.body);
    let path = format!("{PROJECTS}/{}", text(&made.body["id"]));
    let taken = world.with(&admin, "POST", PROJECTS, &json!({ "name": "staging" })).await;
    assert_eq!((taken.refusal(), text(&taken.body["error"]["param"])), ((400, "name_taken"), "name"));
    let key = world.with(&admin, "POST", &format!("{path}/api_keys"), &json!({ "name": "k" })).await;
    let in_use = world.with(&admin, "POST", &format!("{path}/archive"), &Value::Null).await;
    assert_eq!(in_use.refusal(), (400, "environment_in_use"));
    let gone = world.with(&admin, "POST", &format!("{path}/archive"), &json!({ "revoke_keys": true })).await;
    assert_eq!((gone.status, text(&gone.body["status"])), (200, "archived"), "{}", gone.body);
    let key = world.with(&admin, "GET", &format!("{KEYS}/{}", text(&key.body["id"])), &Value::Null).await;
    assert_eq!(text(&key.body["state"]), "revoked");
    assert_eq!(
        world.with(&admin, "POST", &path, &json!({ "name": "back" })).await.refusal(),
        (400, "environment_archived")
    );
    let names = async |query: &str| -> Vec<String> {
        let list = world.with(&admin, "GET", &format!("{PROJECTS}{query}"), &Value::Null).await;
        list.body["data"].as_array().into_iter().flatten().map(|row| text(&row["name"]).to_owned()).collect()
    };
    assert_eq!(names("").await, ["production"]);
    assert_eq!(names("?include_archived=true").await, ["staging", "production"]);
    let default = world.with(&admin, "GET", "/v1/organization", &Value::Null).await;
    let path = format!("{PROJECTS}/{}/archive", text(&default.body["default_environment_id"]));
    assert_eq!(
        world.with(&admin, "POST", &path, &json!({ "revoke_keys": true })).await.refusal(),
        (400, "environment_in_use")
    );
}

#[tokio::test]
async fn s3_2_a_key_asks_for_the_lists_of_its_own_organization_only() {
    let (mut world, _) = World::set_up().await;
    world.organization("other", OrganizationState::Active).await;
    let key = world.operator_in("acme", "POST", KEYS, &json!({ "name": "ci" })).await;
    let key = text(&key.body["value"]).to_owned();
    for path in ["/api/environments/list", "/api/registries/list"] {
        let own = world.with(&key, "POST", path, &json!({ "orgSlug": "acme" })).await;
        assert_eq!((own.status, text(&own.body["object"])), (200, "list"), "{}", own.body);
        assert_eq!(world.with(&key, "POST", path, &Value::Null).await.status, 200);
        let foreign = world.with(&key, "POST", path, &json!({ "orgSlug": "other" })).await;
        let unknown = world.with(&key, "POST", path, &json!({ "orgSlug": "nobody" })).await;
        assert_eq!(foreign.refusal(), (404, "not_found"));
        assert_eq!((foreign.headers, foreign.bytes), (unknown.headers, unknown.bytes));
    }
}

#[tokio::test]
async fn what_reaches_one_environment_sees_nothing_of_the_others() {
    let (world, admin) = World::set_up().await;
    assert_eq!(world.with(&admin, "POST", POLICY, &json!({ "creators": "admins" })).await.status, 200);
    let here = world.with(&admin, "GET", "/v1/organization", &Value::Null).await;
    let here = text(&here.body["default_environment_id"]).to_owned();
    let there = world.with(&admin, "POST", PROJECTS, &json!({ "name": "staging" })).await;
    let there = text(&there.body["id"]).to_owned();
    let key = async |environment: &str, name: &str| {
        let (path, body) = (format!("{PROJECTS}/{environment}/api_keys"), json!({ "name": name }));
        let made = world.with(&admin, "POST", &path, &body).await;
        text(&made.body["id"]).to_owned()
    };
    let (own, foreign) = (key(&here, "own").await, key(&there, "foreign").await);
    let body = json!({ "name": "near", "class": "admin", "role": "admin", "policy": { "reach": "environment" } });
    let near = world.with(&admin, "POST", KEYS, &body).await;
    assert_eq!(near.status, 200, "{}", near.body);
    let near = text(&near.body["value"]).to_owned();
    let ids = async |path: &str| -> Vec<String> {
        let list = world.with(&near, "GET", path, &Value::Null).await;
        assert_eq!(list.status, 200, "{path}: {}", list.body);
        list.body["data"].as_array().into_iter().flatten().map(|row| text(&row["id"]).to_owned()).collect()
    };
    let keys = ids(KEYS).await;
    assert!(keys.contains(&own) && !keys.contains(&foreign), "{keys:?}");
    assert_eq!(ids(PROJECTS).await, std::slice::from_ref(&here));
    assert_eq!(ids(&format!("{PROJECTS}?include_archived=true")).await, std::slice::from_ref(&here));
    let asked = world.with(&near, "POST", "/api/environments/list", &json!({ "orgSlug": "acme" })).await;
    assert_eq!(asked.body["data"].as_array().map(Vec::len), Some(1), "{}", asked.body);
    let nowhere = "env_0000000000000000000000";
    for (method, tail) in [
        ("GET", ""),
        ("POST", ""),
        ("POST", "/archive"),
        ("GET", "/api_keys"),
        ("GET", "/service_accounts"),
        ("GET", "/rate_limits"),
        ("GET", "/model_permissions"),
    ] {
        let act = async |id: &str| {
            let body = if tail.is_empty() { json!({ "name": "x" }) } else { Value::Null };
            world.with(&near, method, &format!("{PROJECTS}/{id}{tail}"), &body).await
        };
        let (hidden, unknown) = (act(&there).await, act(nowhere).await);
        assert_eq!(hidden.refusal(), (404, "not_found"), "{method} {tail}");
        assert_eq!(hidden.bytes, unknown.bytes, "{method} {tail}");
    }
    for path in [format!("{KEYS}/{foreign}"), format!("{KEYS}?environment_id={there}")] {
        assert_eq!(world.with(&near, "GET", &path, &Value::Null).await.refusal(), (404, "not_found"), "{path}");
    }
    assert_eq!(world.with(&near, "POST", &format!("{KEYS}/{foreign}/rotate"), &json!({})).await.status, 404);
    assert_eq!(world.with(&near, "GET", &format!("{KEYS}/{own}"), &Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_policy_says_first_what_it_will_stop() {
    let (world, admin) = World::set_up().await;
    let key = world.key("old").await;
    let ask = json!({ "max_lifetime_days": 30, "dry_run": true, "allowed_ips": ["10.0.0.0/8"] });
    let dry = world.with(&admin, "POST", POLICY, &ask).await;
    assert_eq!(dry.status, 200, "{}", dry.body);
    let stops: Vec<&str> = dry.body["stops"].as_array().into_iter().flatten().map(|stop| text(&stop["name"])).collect();
    assert_eq!(stops, ["setup", "old"]);
    let made = key["created_at"].as_i64().unwrap_or_default();
    assert_eq!(dry.body["stops"][1]["stops_at"].as_i64(), Some(made + 30 * 86_400));
    assert_eq!((&dry.body["excludes_your_address"], &dry.body["confirmation"]), (&json!(true), &Value::Null));
    let unchanged = world.with(&admin, "GET", POLICY, &Value::Null).await;
    assert_eq!((&unchanged.body["max_lifetime_days"], text(&unchanged.body["creators"])), (&Value::Null, "owners"));

    // Older secrets are spared for 14 days, whatever their age.
    world.clock.step(Duration::from_secs(29 * 86_400));
    let body = json!({ "max_lifetime_days": 30, "creators": "developers" });
    let set = world.with(&admin, "POST", POLICY, &body).await;
    assert_eq!(set.body["stops"][1]["stops_at"].as_i64(), Some(made + (29 + 14) * 86_400));
    assert!(set.body["confirmation"]["epoch"].is_i64());
    let cleared = world.with(&admin, "POST", POLICY, &json!({ "max_lifetime_days": null })).await;
    assert_eq!((&cleared.body["max_lifetime_days"], text(&cleared.body["creators"])), (&Value::Null, "developers"));
    for (body, param) in [
        (json!({ "creators": "everybody" }), "creators"),
        (json!({ "max_lifetime_days": 0 }), "max_lifetime_days"),
        (json!({ "allowed_ips": [] }), "allowed_ips"),
        (json!({ "allowed_ips": ["10.0.0.0/33"] }), "allowed_ips"),
        (json!({ "finish_when_quiet_hours": 721 }), "finish_when_quiet_hours"),
    ] {
        let answer = world.with(&admin, "POST", POLICY, &body).await;
        assert_eq!((answer.refusal(), text(&answer.body["error"]["param"])), ((400, "invalid_value"), param));
    }
}

#[tokio::test]
async fn closing_the_organization_asks_for_a_fresh_sign_in() {
    let (world, admin) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    world.clock.step(Duration::from_secs(301));
    let path = "/v1/organization/close";
    let stale = owner.post(&world, path, json!({ "slug": "acme" })).await;
    assert_eq!(stale.refusal(), (403, "reauthentication_required"));
    assert_eq!(world.with(&admin, "GET", "/v1/organization", &Value::Null).await.body["state"], json!("active"));
    let fresh = owner.post(&world, "/api/auth/reauthenticate", json!({ "password": "correct horse battery" })).await;
    assert_eq!(fresh.status, 200, "{}", fresh.body);
    assert_eq!(owner.post(&world, path, json!({ "slug": "acne" })).await.refusal(), (400, "invalid_value"));
    let closed = owner.post(&world, path, json!({ "slug": "acme" })).await;
    assert_eq!((closed.status, text(&closed.body["state"])), (200, "closed"), "{}", closed.body);
    assert_eq!(world.with(&admin, "GET", KEYS, &Value::Null).await.refusal(), (403, "organization_suspended"));
}

#[tokio::test]
async fn row_74_and_75_mass_assignment_and_a_stale_version_change_nothing() {
    let (world, admin) = World::set_up().await;
    let path = "/v1/organization";
    for (body, code, param) in [
        (json!({ "name": "x", "balance": 9 }), "unknown_field", "balance"),
        (json!({ "name": "x", "state": "closed" }), "read_only_field", "state"),
        (json!({ "name": "x", "max_keys": 1_000_000 }), "read_only_field", "max_keys"),
        (json!({ "name": "x", "id": "org_0" }), "read_only_field", "id"),
    ] {
        let answer = world.with(&admin, "POST", path, &body).await;
        assert_eq!((answer.refusal(), text(&answer.body["error"]["param"])), ((400, code), param));
    }
    let before = world.with(&admin, "GET", path, &Value::Null).await;
    assert_eq!((text(&before.body["name"]), &before.body["version"]), ("Acme", &json!(1)));
    let bearer = format!("Bearer {admin}");
    let edit = async |version: &str, name: &str| {
        let headers = [("authorization", bearer.as_str()), ("if-match", version)];
        world.network("POST", path, &headers, &json!({ "name": name })).await
    };
    assert_eq!(edit("\"1\"", "First editor").await.status, 200);
    assert_eq!(edit("\"1\"", "Second editor").await.refusal(), (412, "version_conflict"));
    assert_eq!(edit("one", "x").await.refusal(), (400, "invalid_value"));
    let after = world.with(&admin, "GET", path, &Value::Null).await;
    assert_eq!((text(&after.body["name"]), &after.body["version"]), ("First editor", &json!(2)));
}

#[tokio::test]
async fn the_operator_suspends_and_every_act_stands_in_the_organizations_own_log() {
    let (world, admin) = World::set_up().await;
    let id = world.with(&admin, "GET", "/v1/organization", &Value::Null).await;
    let path = format!("/api/operator/organizations/{}", text(&id.body["id"]));
    let key = world.key("theirs").await;
    for (act, reason) in [("suspend", json!({})), ("suspend", json!({ "reason": " " }))] {
        assert_eq!(world.operator("POST", &format!("{path}/{act}"), &reason).await.status, 400);
    }
    let key_path = format!("{path}/keys/{}", text(&key["id"]));
    let disabled = world.operator("POST", &format!("{key_path}/disable"), &json!({ "reason": "abuse" })).await;
    assert_eq!((disabled.status, text(&disabled.body["state"])), (200, "disabled"), "{}", disabled.body);
    let suspended = world.operator("POST", &format!("{path}/suspend"), &json!({ "reason": "unpaid" })).await;
    assert_eq!((suspended.status, text(&suspended.body["state"])), (200, "suspended"), "{}", suspended.body);
    let refused = world.with(&admin, "GET", KEYS, &Value::Null).await;
    assert_eq!(refused.refusal(), (403, "organization_suspended"));
    let told = "This organization is suspended: unpaid. Ask the operator.";
    assert_eq!(text(&refused.body["error"]["message"]), told, "the operator's public reason");
    assert_eq!(world.operator("POST", &format!("{path}/resume"), &json!({ "reason": "paid" })).await.status, 200);
    assert_eq!(world.with(&admin, "GET", KEYS, &Value::Null).await.status, 200);
    assert_eq!(world.operator("POST", &path, &json!({ "max_keys": 3 })).await.body["max_keys"], json!(3));
    let closed = world.operator("POST", &format!("{path}/close"), &json!({ "reason": "asked for" })).await;
    assert_eq!(text(&closed.body["state"]), "closed");
    assert_eq!(
        world.operator("POST", &format!("{path}/resume"), &json!({ "reason": "x" })).await.refusal(),
        (400, "organization_closed")
    );
}
