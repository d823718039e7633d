//! What a stranger may learn. Who may come at all is `authorization.rs`.

use super::{KEYS, World, text};
use claviger_domain::tenancy::OrganizationState;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn foreign_unknown_and_malformed_ids_are_the_same_bytes() {
    let (mut world, admin) = World::set_up().await;
    world.organization("other", OrganizationState::Active).await;
    let foreign = world.operator_in("other", "POST", KEYS, &json!({ "name": "theirs" })).await;
    let foreign = text(&foreign.body["id"]).to_owned();
    for (method, tail) in [("GET", ""), ("DELETE", ""), ("POST", "/revoke"), ("POST", "/disable"), ("POST", "/enable")]
    {
        let mut answers = Vec::new();
        for id in [foreign.as_str(), "key_000000000000", "key_1", "nonsense"] {
            answers.push(world.with(&admin, method, &format!("{KEYS}/{id}{tail}"), &Value::Null).await);
        }
        assert_eq!(answers[0].refusal(), (404, "not_found"));
        for answer in &answers {
            assert_eq!((answer.status, &answer.headers, &answer.bytes), (404, &answers[0].headers, &answers[0].bytes));
        }
    }
    let theirs = world.operator_in("other", "GET", &format!("{KEYS}/{foreign}"), &Value::Null).await;
    assert_eq!((theirs.status, text(&theirs.body["state"])), (200, "active"));
}

#[tokio::test]
async fn both_headers_carry_a_key_and_x_api_key_decides_alone() {
    let (world, admin) = World::set_up().await;
    let bearer = format!("Bearer {admin}");
    for (headers, expected) in [
        (vec![("x-api-key", admin.as_str())], 200),
        (vec![("authorization", bearer.as_str())], 200),
        (vec![("x-api-key", admin.as_str()), ("authorization", "Bearer bad")], 200),
        (vec![("x-api-key", "bad"), ("authorization", bearer.as_str())], 401),
        (vec![("x-api-key", ""), ("authorization", bearer.as_str())], 401),
        (vec![("authorization", "Basic abc")], 401),
        (vec![("authorization", bearer.as_str()), ("authorization", bearer.as_str())], 400),
    ] {
        assert_eq!(world.network("GET", KEYS, &headers, &Value::Null).await.status, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_dead_admin_key_is_told_why_and_a_wrong_one_is_not() {
    let (world, owner) = World::set_up().await;
    let made =
        world.with(&owner, "POST", KEYS, &json!({ "name": "ci", "class": "admin", "expires_in_seconds": 3600 })).await;
    let (value, id) = (text(&made.body["value"]).to_owned(), text(&made.body["id"]).to_owned());
    assert_eq!(world.with(&value, "GET", KEYS, &Value::Null).await.status, 200);
    world.clock.step(Duration::from_secs(3600));
    let expired = world.with(&value, "GET", KEYS, &Value::Null).await;
    assert_eq!(expired.refusal(), (401, "key_expired"));
    let message = text(&expired.body["error"]["message"]);
    assert_eq!(
        message,
        format!("Incorrect API key provided: clv_****{}. This key expired at 2026-11-21T11:00:00Z.", &value[62..])
    );
    world.with(&owner, "DELETE", &format!("{KEYS}/{id}"), &Value::Null).await;
    assert_eq!(world.with(&value, "GET", KEYS, &Value::Null).await.refusal(), (401, "key_revoked"));

    // The same shape with another secret: well-formed, so only the digest can tell.
    let stranger = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
    let unknown = world.with(stranger, "GET", KEYS, &Value::Null).await;
    assert_eq!(unknown.refusal(), (401, "invalid_api_key"));
    assert!(text(&unknown.body["error"]["message"]).ends_with("No key of this server matches it."));
}

#[tokio::test]
async fn the_operator_names_the_organization_when_there_are_several() {
    let (mut world, admin) = World::set_up().await;
    assert_eq!(world.operator("GET", KEYS, &Value::Null).await.status, 200);
    world.organization("other", OrganizationState::Active).await;
    assert_eq!(world.operator("GET", KEYS, &Value::Null).await.refusal(), (400, "organization_required"));
    assert_eq!(world.operator_in("acme", "GET", KEYS, &Value::Null).await.status, 200);
    assert_eq!(world.operator_in("nobody", "GET", KEYS, &Value::Null).await.refusal(), (404, "not_found"));
    let bearer = format!("Bearer {admin}");
    let foreign = [("authorization", bearer.as_str()), ("x-claviger-organization", "other")];
    assert_eq!(world.network("GET", KEYS, &foreign, &Value::Null).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn environments_are_projects_and_fix_the_place_of_a_key() {
    let (world, admin) = World::set_up().await;
    let list = world.with(&admin, "GET", "/v1/organization/projects", &Value::Null).await;
    let project = &list.body["data"][0];
    assert_eq!((text(&project["object"]), text(&project["name"])), ("organization.project", "production"));
    let path = format!("/v1/organization/projects/{}/api_keys", text(&project["id"]));
    let created = world.with(&admin, "POST", &path, &json!({ "name": "a" })).await;
    assert_eq!(created.body["environment_id"], project["id"]);
    let id = text(&created.body["id"]);
    assert_eq!(world.with(&admin, "GET", &format!("{path}/{id}"), &Value::Null).await.status, 200);
    let elsewhere = format!("/v1/organization/projects/env_0000000000000000000000/api_keys/{id}");
    assert_eq!(world.with(&admin, "GET", &elsewhere, &Value::Null).await.refusal(), (404, "not_found"));
}
