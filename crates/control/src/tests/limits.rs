//! Rate limits and model permissions through the management endpoints.

use super::{World, text};
use serde_json::{Value, json};

async fn project(world: &World, admin: &str) -> String {
    let list = world.with(admin, "GET", "/v1/organization/projects", &Value::Null).await;
    format!("/v1/organization/projects/{}", text(&list.body["data"][0]["id"]))
}

#[tokio::test]
async fn limits_are_set_in_part_lifted_by_null_and_listed_with_all_models_first() {
    let (world, admin) = World::set_up().await;
    let path = format!("{}/rate_limits", project(&world, &admin).await);
    for path in [path.as_str(), "/v1/organization/rate_limits"] {
        let list = world.with(&admin, "GET", path, &Value::Null).await;
        assert_eq!((list.status, list.body["data"].as_array().unwrap().len()), (200, 1));
        assert_eq!(list.body["data"][0]["max_requests_per_1_minute"], Value::Null);

        let body = json!({ "max_requests_per_1_minute": 60, "max_tokens_per_1_minute": 6000 });
        let set = world.with(&admin, "POST", &format!("{path}/*"), &body).await;
        assert_eq!((set.status, text(&set.body["id"])), (200, "*"), "{}", set.body);
        assert!(text(&set.body["set_by"]).starts_with("key:key_"), "{}", set.body);
        assert!(set.body["confirmation"]["epoch"].as_i64().unwrap() > 0);
        let one = json!({ "max_concurrent_requests": 4, "max_tokens_per_1_minute": null });
        let set = world.with(&admin, "POST", &format!("{path}/*"), &one).await;
        assert_eq!(set.body["max_requests_per_1_minute"], 60);
        assert_eq!(
            (&set.body["max_tokens_per_1_minute"], &set.body["max_concurrent_requests"]),
            (&Value::Null, &json!(4))
        );
        for model in ["acme%2Fchat", "acme/chat"] {
            let set = world.with(&admin, "POST", &format!("{path}/{model}"), &body).await;
            assert_eq!(text(&set.body["model"]), "acme/chat");
        }
        let list = world.with(&admin, "GET", path, &Value::Null).await;
        let ids: Vec<&str> = list.body["data"].as_array().unwrap().iter().map(|row| text(&row["id"])).collect();
        assert_eq!(ids, ["*", "acme/chat"]);
        let behind = world.with(&admin, "GET", &format!("{path}?after=acme%2Fchat"), &Value::Null).await;
        assert_eq!(behind.body["data"], json!([]));
        let unknown = world.with(&admin, "GET", &format!("{path}?after=x"), &Value::Null).await;
        assert_eq!(unknown.refusal(), (400, "invalid_cursor"));
    }
}

#[tokio::test]
async fn what_cannot_be_limited_is_refused_and_not_kept() {
    let (world, admin) = World::set_up().await;
    let path = "/v1/organization/rate_limits";
    for (model, body, code, param) in [
        ("*", json!({ "max_requests_per_1_minute": 0 }), "invalid_value", "max_requests_per_1_minute"),
        ("*", json!({ "max_requests_per_1_minute": -1 }), "invalid_value", "max_requests_per_1_minute"),
        ("*", json!({ "max_tokens_per_1_minute": 4_294_967_296_u64 }), "invalid_value", "max_tokens_per_1_minute"),
        ("*", json!({ "max_images_per_1_minute": 1 }), "unsupported_parameter", "max_images_per_1_minute"),
        ("*", json!({ "max_requests_per_1_day": 1 }), "unsupported_parameter", "max_requests_per_1_day"),
        ("acme/chat", json!({ "max_concurrent_requests": 1 }), "invalid_value", "max_concurrent_requests"),
        ("*", json!({ "rpm": 1 }), "unknown_field", "rpm"),
        ("*", json!({ "model": "x" }), "read_only_field", "model"),
    ] {
        let answer = world.with(&admin, "POST", &format!("{path}/{model}"), &body).await;
        assert_eq!((answer.refusal(), text(&answer.body["error"]["param"])), ((400, code), param), "{body}");
    }
    for model in ["acme/*", "a%0Ab"] {
        let answer = world.with(&admin, "POST", &format!("{path}/{model}"), &json!({})).await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{model}");
    }
    let list = world.with(&admin, "GET", path, &Value::Null).await;
    assert_eq!(list.body["data"][0]["max_requests_per_1_minute"], Value::Null);
}

#[tokio::test]
async fn model_permissions_say_what_they_are_told_and_nothing_by_default() {
    let (world, admin) = World::set_up().await;
    let path = format!("{}/model_permissions", project(&world, &admin).await);
    let get = async || world.with(&admin, "GET", &path, &Value::Null).await.body;
    assert_eq!((text(&get().await["mode"]), &get().await["model_ids"]), ("deny_list", &json!([])));
    let body = json!({ "mode": "allow_list", "model_ids": ["acme/*", "gpt-4"] });
    let set = world.with(&admin, "POST", &path, &body).await;
    assert_eq!((set.status, text(&set.body["mode"])), (200, "allow_list"), "{}", set.body);
    assert_eq!(get().await["model_ids"], body["model_ids"]);
    for (body, param) in [
        (json!({ "mode": "maybe", "model_ids": ["a"] }), "mode"),
        (json!({ "mode": "allow_list", "model_ids": [] }), "model_ids"),
        (json!({ "mode": "allow_list", "model_ids": ["a*b"] }), "model_ids"),
        (json!({ "mode": "allow_list", "model_ids": [1] }), "model_ids"),
        (json!({ "mode": "allow_list", "model_ids": vec!["a"; 101] }), "model_ids"),
    ] {
        let answer = world.with(&admin, "POST", &path, &body).await;
        assert_eq!((answer.refusal(), text(&answer.body["error"]["param"])), ((400, "invalid_value"), param), "{body}");
    }
    let deleted = world.with(&admin, "DELETE", &path, &Value::Null).await;
    assert_eq!((deleted.status, &deleted.body["deleted"]), (200, &json!(true)));
    assert_eq!(get().await["mode"], "deny_list");
    let nowhere = "/v1/organization/projects/env_0000000000000000000000/model_permissions";
    for method in ["GET", "POST", "DELETE"] {
        let body = if method == "POST" { json!({ "mode": "deny_list", "model_ids": ["a"] }) } else { Value::Null };
        assert_eq!(world.with(&admin, method, nowhere, &body).await.refusal(), (404, "not_found"), "{method}");
    }
}
