//! Set-up works once, and shows what must be kept.

use super::{World, text, world_setup};
use serde_json::{Value, json};

#[tokio::test]
async fn set_up_names_the_first_organization_and_shows_the_admin_key_once() {
    let world = World::fresh().await;
    let mut body = world_setup();
    body["key_name"] = json!("first");
    let answer = world.operator("POST", "/api/operator/setup", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(text(&answer.body["organization"]["slug"]), "acme");
    assert_eq!(text(&answer.body["owner"]["email"]), "li@acme.io");
    assert_eq!(text(&answer.body["console"]), "http://127.0.0.1:8080/o/acme");
    let admin = text(&answer.body["admin_key"]["value"]).to_owned();
    assert!(admin.starts_with("clv_") && admin.len() == 66);

    let wallet = world.with(&admin, "GET", "/v1/organization/credits", &Value::Null).await;
    assert_eq!(text(&wallet.body["balance"]), "10.500000000");
    let list = world.with(&admin, "GET", super::KEYS, &Value::Null).await;
    assert_eq!(list.body["data"].as_array().map(Vec::len), Some(2));
    assert!(!String::from_utf8_lossy(&list.bytes).contains(&admin), "a list shows no secret");
}

#[tokio::test]
async fn set_up_works_once() {
    let (world, _) = World::set_up().await;
    let again = world.operator("POST", "/api/operator/setup", &world_setup()).await;
    assert_eq!(again.refusal(), (400, "already_set_up"));
}

#[tokio::test]
async fn set_up_refuses_what_cannot_be() {
    let world = World::fresh().await;
    for (field, value, param) in [
        ("password", json!("eleven char"), "password"),
        ("email", json!("nobody"), "email"),
        ("organization", json!("  "), "organization"),
        ("credit", json!("-1"), "credit"),
        ("credit", json!("0"), "credit"),
        ("colour", json!("red"), "colour"),
    ] {
        let mut body = world_setup();
        body[field] = value;
        let answer = world.operator("POST", "/api/operator/setup", &body).await;
        assert_eq!((answer.status, text(&answer.body["error"]["param"])), (400, param), "{}", answer.body);
    }
    assert_eq!(world.operator("POST", "/api/operator/setup", &world_setup()).await.status, 200);
}
