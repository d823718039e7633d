//! What is judged once more where it is done: who may end what may more than they, who is told no by an address that nobody
//! can read, and what a repeated request does.

use super::people::Browser;
use super::{Answer, KEYS, World, text};
use crate::Origin;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

const PROJECTS: &str = "/v1/organization/projects";
const INVITES: &str = "/v1/organization/invites";

async fn key_of(world: &World, body: &Value) -> (String, String) {
    let made = world.operator("POST", KEYS, body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    (text(&made.body["id"]).to_owned(), text(&made.body["value"]).to_owned())
}

async fn project(world: &World) -> String {
    let made = world.operator("POST", PROJECTS, &json!({ "name": "staging" })).await;
    text(&made.body["id"]).to_owned()
}

async fn state(world: &World, key: &str) -> String {
    let shown = world.operator("GET", &format!("{KEYS}/{key}"), &Value::Null).await;
    text(&shown.body["state"]).to_owned()
}

#[tokio::test]
async fn what_goes_with_a_place_an_agent_or_a_member_is_no_more_than_who_ends_it() {
    let (world, owner) = World::set_up().await;
    let (_, admin) = key_of(&world, &json!({ "name": "admin", "class": "admin", "role": "admin" })).await;
    let place = project(&world).await;
    let strong = json!({ "name": "strong", "class": "admin", "role": "owner", "environment_id": place });
    let (strong, _) = key_of(&world, &strong).await;
    let archive = format!("{PROJECTS}/{place}/archive");
    let denied = world.with(&admin, "POST", &archive, &json!({ "revoke_keys": true })).await;
    assert_eq!(denied.refusal(), (403, "permission_denied"));
    assert_eq!(state(&world, &strong).await, "active");

    let agents = format!("{PROJECTS}/{place}/service_accounts");
    let boss = world.operator("POST", &agents, &json!({ "name": "boss", "role": "owner" })).await;
    let boss = format!("{agents}/{}", text(&boss.body["id"]));
    for (method, body) in [("POST", json!({ "role": "none" })), ("DELETE", Value::Null)] {
        assert_eq!(world.with(&admin, method, &boss, &body).await.refusal(), (403, "permission_denied"), "{method}");
    }
    assert_eq!(world.with(&admin, "POST", &boss, &json!({ "name": "chief" })).await.status, 200, "a name is no right");
    assert_eq!(text(&world.operator("GET", &boss, &Value::Null).await.body["role"]), "owner");

    // A key of somebody else's, which a leaving member has seen.
    let mut li = Browser::owner(&world).await;
    let mut ann = li.join(&world, "ann@acme.io", "owner").await;
    let (li, leaver) = (li.get(&world, "/api/me").await, ann.get(&world, "/api/me").await);
    let (li, leaver) = (text(&li.body["id"]).to_owned(), text(&leaver.body["id"]).to_owned());
    let seen = json!({ "name": "seen", "class": "admin", "role": "owner", "owner": li });
    let seen = ann.post(&world, KEYS, seen).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let seen = text(&seen.body["id"]).to_owned();
    let demoted =
        world.operator("POST", &format!("/v1/organization/users/{leaver}"), &json!({ "role": "member" })).await;
    assert_eq!(demoted.status, 200, "{}", demoted.body);
    let remove = format!("/v1/organization/users/{leaver}/remove");
    let decisions = json!({ "keys": { "by_key": { seen.as_str(): "revoke" } } });
    assert_eq!(world.with(&admin, "POST", &remove, &decisions).await.refusal(), (403, "permission_denied"));
    assert_eq!(state(&world, &seen).await, "active");

    assert_eq!(world.with(&owner, "DELETE", &boss, &Value::Null).await.status, 200);
    assert_eq!(world.with(&owner, "POST", &remove, &decisions).await.status, 200);
    assert_eq!(state(&world, &seen).await, "revoked");
    assert_eq!(world.with(&owner, "POST", &archive, &json!({ "revoke_keys": true })).await.status, 200);
}

#[tokio::test]
async fn who_may_not_change_keys_hands_none_over_with_a_member_who_leaves() {
    let (world, owner) = World::set_up().await;
    let (_, admin) = key_of(&world, &json!({ "name": "admin", "class": "admin", "role": "admin" })).await;
    let mut li = Browser::owner(&world).await;
    let mut ann = li.join(&world, "ann@acme.io", "owner").await;
    let mut bob = li.join(&world, "bob@acme.io", "developer").await;
    let bob = text(&bob.get(&world, "/api/me").await.body["id"]).to_owned();
    let leaver = text(&ann.get(&world, "/api/me").await.body["id"]).to_owned();
    let seen = ann.post(&world, KEYS, json!({ "name": "seen" })).await;
    let seen = text(&seen.body["id"]).to_owned();
    let demoted =
        world.operator("POST", &format!("/v1/organization/users/{leaver}"), &json!({ "role": "member" })).await;
    assert_eq!(demoted.status, 200, "{}", demoted.body);
    let remove = format!("/v1/organization/users/{leaver}/remove");
    let handed = json!({ "keys": { "by_key": { seen.as_str(): { "transfer": bob } } } });
    // By default only owners change keys.
    assert_eq!(world.with(&admin, "POST", &remove, &handed).await.refusal(), (403, "permission_denied"));
    assert_eq!(world.with(&owner, "POST", &remove, &handed).await.status, 200);
    let shown = world.operator("GET", &format!("{KEYS}/{seen}"), &Value::Null).await;
    assert_eq!(text(&shown.body["owner"]["id"]), bob, "{}", shown.body["owner"]);
}

#[tokio::test]
async fn the_operator_switches_off_no_last_owner() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let id = text(&owner.get(&world, "/api/me").await.body["id"]).to_owned();
    let user = format!("/api/operator/users/{id}");
    let off = json!({ "state": "disabled" });
    assert_eq!(world.operator("POST", &user, &off).await.refusal(), (400, "last_owner"));
    assert_eq!(owner.get(&world, "/api/me").await.status, 200, "nothing was changed");
    owner.join(&world, "second@acme.io", "owner").await;
    assert_eq!(world.operator("POST", &user, &off).await.status, 200);
}

#[tokio::test]
async fn an_address_that_nobody_can_read_is_none_of_a_list() {
    let (world, _) = World::set_up().await;
    let listed = json!({ "name": "listed", "class": "admin", "policy": { "ips": ["192.0.2.0/24"] } });
    let (_, listed) = key_of(&world, &listed).await;
    let (_, free) = key_of(&world, &json!({ "name": "free", "class": "admin" })).await;
    let from = async |key: &str, is_known| -> Answer {
        let origin = Origin::Network { address: SocketAddr::from(([192, 0, 2, 7], 80)), is_known };
        let bearer = format!("Bearer {key}");
        world.send(origin, "GET", KEYS, &[("authorization", &bearer)], &Value::Null).await
    };
    assert_eq!(from(&listed, true).await.status, 200);
    assert_eq!(from(&listed, false).await.refusal(), (403, "client_ip_unknown"), "the proxy itself is in the list");
    assert_eq!(from(&free, false).await.status, 200);
    let policy = json!({ "allowed_ips": ["192.0.2.0/24"] });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    assert_eq!(from(&free, false).await.refusal(), (403, "client_ip_unknown"));
}

#[tokio::test]
async fn one_ipv6_network_has_the_tries_of_one_address() {
    let (world, _) = World::set_up().await;
    let attempt = async |address: &str, person: usize| {
        let address: IpAddr = address.parse().expect("an address");
        let origin = Origin::Network { address: SocketAddr::new(address, 80), is_known: true };
        let body = json!({ "email": format!("p{person}@acme.io"), "password": "wrong horse battery" });
        world.send(origin, "POST", "/api/auth/sign_in", &[], &body).await.status
    };
    for number in 0..5 {
        assert_eq!(attempt(&format!("2001:db8:1:2::{number}"), number).await, 401);
    }
    assert_eq!(attempt("2001:db8:1:2:ffff::1", 5).await, 429);
    assert_eq!(attempt("2001:db8:1:3::1", 5).await, 401, "another network");
}

#[tokio::test]
async fn invites_agents_keys_and_imports_are_done_once_under_an_idempotency_key() {
    let (world, _) = World::set_up().await;
    let place = project(&world).await;
    let agents = format!("{PROJECTS}/{place}/service_accounts");
    let agent = world.operator("POST", &agents, &json!({ "name": "ci", "create_service_account_only": true })).await;
    let agent_keys = format!("{agents}/{}/api_keys", text(&agent.body["id"]));
    let row = |byte: u8| json!({ "sha256": format!("{byte:02x}").repeat(32), "name": "moved in" });
    let bad = json!({ "sha256": "no", "name": "bad" });
    let import = |byte| json!({ "source": "csv", "rows": [bad, row(byte)] });
    let invite = |name: &str| json!({ "email": format!("{name}@acme.io"), "role": "viewer" });
    for (path, body, other) in [
        (INVITES.to_owned(), invite("ann"), invite("bob")),
        (agents.clone(), json!({ "name": "one" }), json!({ "name": "two" })),
        (agent_keys, json!({ "name": "one" }), json!({ "name": "two" })),
        (format!("{KEYS}/import"), import(1), import(2)),
    ] {
        let post = async |body: &Value| world.operator_with("POST", &path, &[("idempotency-key", "k1")], body).await;
        let first = post(&body).await;
        assert_eq!(first.status, 200, "{path} {}", first.body);
        assert!(!first.headers.contains_key("idempotent-replayed"), "{path}");
        let again = post(&body).await;
        assert_eq!(again.status, 200, "{path} {}", again.body);
        assert_eq!(again.headers["idempotent-replayed"], "true", "{path}");
        for same in ["id", "name", "email", "rows", "imported", "refused"] {
            assert_eq!(again.body[same], first.body[same], "{path} {same}");
        }
        assert_eq!(again.body["api_key"]["id"], first.body["api_key"]["id"], "{path}");
        for shown_once in ["value", "url"] {
            assert_eq!(again.body[shown_once], Value::Null, "{path}");
            assert_eq!(again.body["api_key"][shown_once], Value::Null, "{path}");
        }
        assert_eq!(post(&other).await.refusal(), (400, "idempotency_key_reused"), "{path}");
    }
    let invites = world.operator("GET", INVITES, &Value::Null).await;
    assert_eq!(invites.body["data"].as_array().map(Vec::len), Some(1));
    let made = world.operator("GET", &format!("{KEYS}?q=one"), &Value::Null).await;
    assert_eq!(made.body["data"].as_array().map(Vec::len), Some(2), "the agent's first key, and another's");
}

#[tokio::test]
async fn an_agents_key_is_labelled_where_the_organization_asks_for_labels() {
    let (world, _) = World::set_up().await;
    let place = project(&world).await;
    let policy = json!({ "require_source_tag": true });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    let agents = format!("{PROJECTS}/{place}/service_accounts");
    let long = "n".repeat(100);
    for (body, tag) in [
        (json!({ "name": "ci" }), "ci"),
        (json!({ "name": "ci", "source_tag": "shop" }), "shop"),
        (json!({ "name": long }), &long[..64]),
    ] {
        let made = world.operator("POST", &agents, &body).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let shown = async |key: &Value| {
            let key = world.operator("GET", &format!("{KEYS}/{}", text(&key["id"])), &Value::Null).await;
            text(&key.body["source_tag"]).to_owned()
        };
        assert_eq!(shown(&made.body["api_key"]).await, tag);
        let keys = format!("{agents}/{}/api_keys", text(&made.body["id"]));
        let second = world.operator("POST", &keys, &json!({ "name": "second", "source_tag": "web" })).await;
        assert_eq!(shown(&second.body).await, "web");
    }
}

#[tokio::test]
async fn nobody_fills_a_mailbox_with_invites() {
    let (world, _) = World::set_up().await;
    let invite = json!({ "email": "victim@example.com", "role": "viewer" });
    for _ in 0..5 {
        assert_eq!(world.operator("POST", INVITES, &invite).await.status, 200);
    }
    let refused = world.operator("POST", INVITES, &invite).await;
    assert_eq!(refused.refusal(), (429, "rate_limit_exceeded"));
    assert_eq!(refused.headers["x-should-retry"], "false", "not today");
    let other = json!({ "email": "other@example.com", "role": "viewer" });
    let sent = world.operator("POST", INVITES, &other).await;
    let resend = format!("{INVITES}/{}/resend", text(&sent.body["id"]));
    for expected in [200, 200, 429] {
        assert_eq!(world.operator("POST", &resend, &json!({})).await.status, expected);
    }
    world.clock.step(std::time::Duration::from_secs(25 * 3600));
    assert_eq!(world.operator("POST", INVITES, &invite).await.status, 200, "another day");
}

#[tokio::test]
async fn who_ends_a_secret_that_leaked_is_told_that_its_streams_are_cut() {
    let (world, _) = World::set_up().await;
    let (_, value) = key_of(&world, &json!({ "name": "leaked" })).await;
    let ended = world.with(&value, "POST", "/v1/key/revoke", &json!({ "reason": "on a screen" })).await;
    assert_eq!((ended.status, &ended.body["cut"]), (200, &json!(true)), "{}", ended.body);
}
