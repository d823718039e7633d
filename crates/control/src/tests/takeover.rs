//! Ways into what is somebody else's: through the operator's browser, through an address that is not one's own, through
//! a browser that was left open.

use super::people::{Browser, PASSWORD};
use super::{World, text};
use serde_json::{Value, json};
use std::time::Duration;

async fn id_of(world: &World, email: &str) -> String {
    let found = world.operator("GET", &format!("/api/operator/users?email={email}"), &Value::Null).await;
    text(&found.body["data"][0]["id"]).to_owned()
}

async fn recorded(world: &World, path: &str, action: &str) -> Vec<Value> {
    let found = world.operator("GET", &format!("{path}?event_types[]={action}"), &Value::Null).await;
    assert_eq!(found.status, 200, "{}", found.body);
    found.body["data"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn an_operators_browser_takes_over_nobody_and_what_the_machine_does_is_recorded() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    owner.join(&world, "mo@acme.io", "viewer").await;
    let mo = id_of(&world, "mo@acme.io").await;
    let acts = [
        (format!("/api/operator/users/{mo}/reset_password"), json!({})),
        (format!("/api/operator/users/{mo}/make_owner"), json!({ "organization": "acme" })),
        ("/api/operator/setup_link".to_owned(), json!({ "force": true })),
    ];
    for (path, body) in &acts {
        let refused = owner.post(&world, path, body.clone()).await;
        assert_eq!(refused.refusal(), (403, "permission_denied"), "{path}");
        assert!(text(&refused.body["error"]["message"]).contains("`claviger "), "{}", refused.body);
    }
    assert!(recorded(&world, "/v1/organization/audit_logs", "password.link_created").await.is_empty());
    for (path, body) in &acts {
        let done = world.operator("POST", path, body).await;
        assert_eq!(done.status, 200, "{path}: {}", done.body);
    }
    let links = recorded(&world, "/v1/organization/audit_logs", "password.link_created").await;
    assert_eq!(links.len(), 1, "{links:?}");
    let links = recorded(&world, "/api/operator/audit_logs", "setup.link_created").await;
    assert_eq!(links.len(), 1, "{links:?}");
}

#[tokio::test]
async fn why_the_operator_stops_a_key_stands_in_its_organizations_record() {
    let (world, _) = World::set_up().await;
    let key = text(&world.key("leaky").await["id"]).to_owned();
    let organization = text(&world.operator("GET", "/v1/organization", &Value::Null).await.body["id"]).to_owned();
    for (act, action) in [("disable", "api_key.disabled"), ("revoke", "api_key.deleted")] {
        let path = format!("/api/operator/organizations/{organization}/keys/{key}/{act}");
        let body = json!({ "reason": format!("abuse report 17: {act}") });
        let done = world.operator("POST", &path, &body).await;
        assert_eq!(done.status, 200, "{}", done.body);
        let records = recorded(&world, "/v1/organization/audit_logs", action).await;
        assert!(records[0].to_string().contains(&format!("abuse report 17: {act}")), "{records:?}");
    }
}

#[tokio::test]
async fn what_lasts_for_ever_needs_a_fresh_sign_in() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    owner.join(&world, "mo@acme.io", "viewer").await;
    let mo = id_of(&world, "mo@acme.io").await;
    let organization = text(&owner.get(&world, "/v1/organization").await.body["id"]).to_owned();
    assert_ne!(owner.get(&world, "/v1/organization/audit_logs/export").await.status, 403);
    world.clock.step(Duration::from_secs(301));
    let close = format!("/api/operator/organizations/{organization}/close");
    for (method, path, body) in [
        ("GET", "/v1/organization/audit_logs/export", Value::Null),
        ("GET", "/api/operator/audit_logs/export", Value::Null),
        ("POST", &close, json!({ "reason": "over" })),
        ("POST", &format!("/api/operator/users/{mo}"), json!({ "operator": true })),
    ] {
        let refused = owner.send(&world, method, path, &body).await;
        assert_eq!(refused.refusal(), (403, "reauthentication_required"), "{path}");
    }
    let again = owner.post(&world, "/api/auth/reauthenticate", json!({ "password": PASSWORD })).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(owner.post(&world, &close, json!({ "reason": "over" })).await.status, 200);
}
