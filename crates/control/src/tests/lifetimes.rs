//! The policy of an organization when two change it at once, and the maximum lifetime of secrets: what it has ended stays
//! ended, and lists say what requests meet.

use super::{KEYS, World, text};
use serde_json::{Value, json};
use std::time::Duration;

const POLICY: &str = "/v1/organization/policy";
const DAY: Duration = Duration::from_secs(86_400);

async fn names(world: &World, query: &str) -> Vec<String> {
    let list = world.operator("GET", &format!("{KEYS}?{query}"), &Value::Null).await;
    assert_eq!(list.status, 200, "{}", list.body);
    list.body["data"].as_array().into_iter().flatten().map(|key| text(&key["name"]).to_owned()).collect()
}

#[tokio::test]
async fn of_two_edits_of_a_policy_at_once_neither_is_lost() {
    let (world, admin) = World::set_up().await;
    for _ in 0..10 {
        let (one, other) = (json!({ "allowed_ips": ["192.0.2.0/24"] }), json!({ "creators": "admins" }));
        let (one, other) =
            tokio::join!(world.with(&admin, "POST", POLICY, &one), world.with(&admin, "POST", POLICY, &other));
        assert_eq!((one.status, other.status), (200, 200), "{} {}", one.body, other.body);
        let now = world.with(&admin, "GET", POLICY, &Value::Null).await.body;
        assert_eq!((&now["allowed_ips"], text(&now["creators"])), (&json!(["192.0.2.0/24"]), "admins"));
        let back = json!({ "allowed_ips": null, "creators": "owners" });
        assert_eq!(world.with(&admin, "POST", POLICY, &back).await.status, 200);
    }
}

#[tokio::test]
async fn what_a_maximum_lifetime_has_ended_stays_ended_until_it_is_rotated() {
    let (world, _) = World::set_up().await;
    let set = async |body: Value| {
        let answer = world.operator("POST", POLICY, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    set(json!({ "max_lifetime_days": 90, "max_lifetime_grace_days": 0 })).await;
    let key = world.key("old").await;
    let (id, value) = (text(&key["id"]), text(&key["value"]));
    world.clock.step(DAY * 91);
    let is_over = async || {
        let asked = world.with(value, "GET", "/v1/key", &Value::Null).await;
        assert_eq!(asked.refusal(), (401, "key_expired"));
        assert!(text(&asked.body["error"]["message"]).contains("maximum lifetime of 90 days"), "{}", asked.body);
        let shown = world.operator("GET", &format!("{KEYS}/{id}"), &Value::Null).await;
        assert_eq!(text(&shown.body["state"]), "expired");
        assert_eq!(names(&world, "state=active&q=old").await, Vec::<String>::new());
        assert_eq!(names(&world, "state=expired&q=old").await, ["old"]);
        assert!(names(&world, "state=expired").await.contains(&"old".to_owned()));
    };
    is_over().await;
    for days in [json!(30), json!(365), Value::Null] {
        let set = set(json!({ "max_lifetime_days": days })).await;
        assert_eq!(set["stops"], json!([]), "what is over does not stop");
        is_over().await;
    }
    let rotated = world.operator("POST", &format!("{KEYS}/{id}/rotate"), &json!({})).await;
    assert_eq!((rotated.status, text(&rotated.body["state"])), (200, "active"), "{}", rotated.body);
    let fresh = text(&rotated.body["value"]);
    assert_eq!(world.with(fresh, "GET", "/v1/key", &Value::Null).await.status, 200);
    assert_eq!(world.with(value, "GET", "/v1/key", &Value::Null).await.refusal(), (401, "key_expired"));
    assert_eq!(names(&world, "q=old").await, ["old"]);
}

#[tokio::test]
async fn a_key_near_its_maximum_lifetime_is_expiring() {
    let (world, _) = World::set_up().await;
    let policy = json!({ "max_lifetime_days": 30 });
    assert_eq!(world.operator("POST", POLICY, &policy).await.status, 200);
    let key = world.key("young").await;
    let flags = async || {
        let shown = world.operator("GET", &format!("{KEYS}/{}", text(&key["id"])), &Value::Null).await;
        shown.body["flags"].as_array().into_iter().flatten().any(|flag| text(flag) == "expiring")
    };
    world.clock.step(DAY * 10);
    assert!(!flags().await);
    assert_eq!(names(&world, "expiring_days=14&q=young").await, Vec::<String>::new());
    world.clock.step(DAY * 7);
    assert!(flags().await);
    assert_eq!(names(&world, "expiring_days=14&q=young").await, ["young"]);
    assert_eq!(names(&world, "expiring_days=14&class=inference").await, ["young"]);
}
