//! People over the management plane: signing in and staying, invites, members, and what other sites cannot do.

use super::{Answer, World, text, world_setup};
use claviger_domain::person::EmailAddress;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const SITE: &str = "http://127.0.0.1:8080";
pub(super) const PASSWORD: &str = "correct horse battery";

/// A browser: it keeps its cookie and says where its pages are from.
#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookie: String,
    pub(super) organization: Option<String>,
}

impl Browser {
    pub(super) async fn send(&mut self, world: &World, method: &str, target: &str, body: &Value) -> Answer {
        let cookie = self.cookie.clone();
        let mut headers = vec![("origin", SITE)];
        if !cookie.is_empty() {
            headers.push(("cookie", &cookie));
        }
        let organization = self.organization.clone().unwrap_or_default();
        if !organization.is_empty() {
            headers.push(("x-claviger-organization", &organization));
        }
        let answer = world.network(method, target, &headers, body).await;
        if let Some(set) = answer.headers.get("set-cookie") {
            let pair = set.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            self.cookie = if pair.ends_with('=') { String::new() } else { pair.to_owned() };
        }
        answer
    }

    pub(super) async fn get(&mut self, world: &World, target: &str) -> Answer {
        self.send(world, "GET", target, &Value::Null).await
    }

    pub(super) async fn post(&mut self, world: &World, target: &str, body: Value) -> Answer {
        self.send(world, "POST", target, &body).await
    }

    pub(super) async fn sign_in(world: &World, email: &str, password: &str) -> (Self, Answer) {
        let mut browser = Self::default();
        let answer = browser.post(world, "/api/auth/sign_in", json!({ "email": email, "password": password })).await;
        (browser, answer)
    }

    /// The owner that set-up made.
    pub(super) async fn owner(world: &World) -> Self {
        let (browser, answer) = Self::sign_in(world, "li@acme.io", PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        browser
    }

    /// Invites somebody new and joins as them.
    pub(super) async fn join(&mut self, world: &World, email: &str, role: &str) -> Self {
        let invite = self.post(world, "/v1/organization/invites", json!({ "email": email, "role": role })).await;
        assert_eq!(invite.status, 200, "{}", invite.body);
        let mut other = Self::default();
        let body = json!({ "token": token_of(&invite), "password": PASSWORD, "name": email });
        let joined = other.post(world, "/api/invites/accept", body).await;
        assert_eq!(joined.status, 200, "{}", joined.body);
        other
    }
}

fn token_of(invite: &Answer) -> String {
    text(&invite.body["url"]).rsplit('#').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_owner_of_the_set_up_signs_in_and_sees_where_they_belong() {
    let (world, _) = World::set_up().await;
    let (mut browser, answer) = Browser::sign_in(&world, "Li@ACME.io", PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = answer.headers["set-cookie"].to_str().unwrap_or_default().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"), "{cookie}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let me = browser.get(&world, "/api/me").await;
    assert_eq!((me.status, text(&me.body["email"])), (200, "li@acme.io"));
    assert_eq!(text(&me.body["organizations"][0]["role"]), "owner");
    assert_eq!(text(&me.body["organizations"][0]["balance"]), "10.500000000");
    assert_eq!(me.body["operator"], json!(true));
    let members = browser.get(&world, "/v1/organization/users").await;
    assert_eq!(text(&members.body["data"][0]["email"]), "li@acme.io");
    let key = browser.post(&world, super::KEYS, json!({ "name": "from the console" })).await;
    assert_eq!(key.status, 200, "{}", key.body);
    assert_eq!(browser.post(&world, "/api/operator/ledger/verify", json!({})).await.status, 200);
}

#[tokio::test]
async fn row_68_every_failed_sign_in_has_the_same_bytes_and_then_a_brake_without_lock_out() {
    let (world, _) = World::set_up().await;
    Browser::owner(&world).await.join(&world, "off@acme.io", "viewer").await;
    let email = EmailAddress::parse("off@acme.io").expect("an address");
    let (user, _) = world.store.store.find_login(&email).await.expect("read").expect("known");
    let off = claviger_storage::UserChange::State(claviger_domain::person::UserState::Disabled);
    world.store.store.change_user(user.id, off, &super::by_system()).await.expect("disabled");
    let mut answers = Vec::new();
    for (email, password) in [
        ("nobody@acme.io", PASSWORD),
        ("li@acme.io", "wrong horse battery"),
        ("off@acme.io", PASSWORD),
        ("not an address", PASSWORD),
    ] {
        answers.push(Browser::sign_in(&world, email, password).await.1);
    }
    for answer in &answers {
        assert_eq!(answer.refusal(), (401, "invalid_login"));
        assert_eq!((&answer.bytes, &answer.headers), (&answers[0].bytes, &answers[0].headers));
    }
    assert_eq!(Browser::sign_in(&world, "li@acme.io", "x").await.1.refusal(), (401, "invalid_login"));
    let braked = Browser::sign_in(&world, "li@acme.io", PASSWORD).await.1;
    assert_eq!(braked.refusal(), (429, "rate_limit_exceeded"));
    assert!(braked.headers.contains_key("retry-after"));
    world.clock.step(Duration::from_secs(13));
    assert_eq!(Browser::sign_in(&world, "li@acme.io", PASSWORD).await.1.status, 200, "no lock-out");
}

#[tokio::test]
async fn row_67_a_write_with_a_session_comes_from_the_console_or_not_at_all() {
    let (world, _) = World::set_up().await;
    let browser = Browser::owner(&world).await;
    let cookie = ("cookie", browser.cookie.as_str());
    let body = json!({ "name": "k" });
    for (headers, expected) in [
        (vec![cookie, ("origin", "https://evil.example")], Some("cross_site_request")),
        (vec![cookie, ("origin", "null")], Some("cross_site_request")),
        (vec![cookie], Some("cross_site_request")),
        (vec![cookie, ("sec-fetch-site", "same-site")], Some("cross_site_request")),
        (vec![cookie, ("sec-fetch-site", "cross-site")], Some("cross_site_request")),
        (vec![cookie, ("origin", SITE)], None),
        (vec![cookie, ("sec-fetch-site", "same-origin")], None),
    ] {
        let answer = world.network("POST", super::KEYS, &headers, &body).await;
        match expected {
            Some(code) => assert_eq!(answer.refusal(), (403, code), "{headers:?}"),
            None => assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body),
        }
    }
    let plain = [cookie, ("origin", SITE), ("content-type", "text/plain")];
    let answer = world.network("POST", super::KEYS, &plain, &Value::Null).await;
    assert_eq!(answer.refusal(), (403, "cross_site_request"));
    let login = json!({ "email": "li@acme.io", "password": PASSWORD });
    let foreign = world.network("POST", "/api/auth/sign_in", &[("origin", "https://evil.example")], &login).await;
    assert_eq!(foreign.refusal(), (403, "cross_site_request"), "nobody plants a session");
    let both = [cookie, ("origin", SITE), ("authorization", "Bearer clv_nothing")];
    let answer = world.network("GET", "/v1/organization/users", &both, &Value::Null).await;
    assert_eq!(answer.refusal(), (401, "invalid_api_key"), "a key header decides alone");
}

#[tokio::test]
async fn row_69_sign_in_makes_a_new_session_and_the_old_one_is_dead() {
    let (world, _) = World::set_up().await;
    let mut browser = Browser { cookie: format!("claviger-session={}", "A".repeat(43)), ..Browser::default() };
    let login = json!({ "email": "li@acme.io", "password": PASSWORD });
    assert_eq!(browser.post(&world, "/api/auth/sign_in", login.clone()).await.status, 200);
    assert_ne!(browser.cookie, format!("claviger-session={}", "A".repeat(43)));
    let first = browser.clone();
    assert_eq!(browser.post(&world, "/api/auth/sign_in", login).await.status, 200);
    assert_ne!(browser.cookie, first.cookie);
    assert_eq!(first.clone().get(&world, "/api/me").await.refusal(), (401, "session_required"));
    assert_eq!(browser.post(&world, "/api/auth/reauthenticate", json!({ "password": PASSWORD })).await.status, 200);
    assert_eq!(browser.get(&world, "/api/auth/sessions").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn row_70_each_bad_invite_has_its_own_answer() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let mut admin = owner.join(&world, "admin@acme.io", "admin").await;
    let invite = async |from: &mut Browser, email: &str| {
        let body = json!({ "email": email, "role": "developer" });
        let answer = from.post(&world, "/v1/organization/invites", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    };
    let accept = async |token: &str, role: Option<&str>| {
        let mut body = json!({ "token": token, "password": PASSWORD });
        if let Some(role) = role {
            body["role"] = json!(role);
        }
        Browser::default().post(&world, "/api/invites/accept", body).await
    };
    let used = invite(&mut owner, "used@acme.io").await;
    assert_eq!(accept(&token_of(&used), None).await.status, 200);
    assert_eq!(accept(&token_of(&used), None).await.refusal(), (410, "invite_used"));

    let mine = invite(&mut owner, "other@acme.io").await;
    let other_person = admin.post(&world, "/api/invites/accept", json!({ "token": token_of(&mine) })).await;
    assert_eq!(other_person.refusal(), (403, "invite_mismatch"));
    assert_eq!(accept(&token_of(&mine), Some("owner")).await.refusal(), (403, "invite_mismatch"));

    let lost = invite(&mut admin, "lost@acme.io").await;
    let id = admin.get(&world, "/api/me").await.body["id"].as_str().unwrap_or_default().to_owned();
    let path = format!("/v1/organization/users/{id}");
    assert_eq!(owner.post(&world, &path, json!({ "role": "developer" })).await.status, 200);
    assert_eq!(accept(&token_of(&lost), None).await.refusal(), (410, "invite_withdrawn"));

    let again =
        owner.post(&world, &format!("/v1/organization/invites/{}/resend", text(&mine.body["id"])), json!({})).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(accept(&token_of(&mine), None).await.refusal(), (410, "invite_withdrawn"), "the old link is dead");
    world.clock.step(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(accept(&token_of(&again), None).await.refusal(), (410, "invite_expired"));
}

#[tokio::test]
async fn sessions_end_by_idleness_and_by_age_and_are_listed_and_ended() {
    let (world, _) = World::set_up().await;
    let (mut one, mut two) = (Browser::owner(&world).await, Browser::owner(&world).await);
    let list = two.get(&world, "/api/auth/sessions").await;
    let other = list.body["data"].as_array().and_then(|rows| rows.iter().find(|row| row["current"] == json!(false)));
    let id = other.map(|row| text(&row["id"]).to_owned()).unwrap_or_default();
    assert_eq!(two.send(&world, "DELETE", &format!("/api/auth/sessions/{id}"), &Value::Null).await.status, 200);
    assert_eq!(one.get(&world, "/api/me").await.refusal(), (401, "session_required"));
    assert_eq!(
        two.send(&world, "DELETE", &format!("/api/auth/sessions/{id}"), &Value::Null).await.refusal(),
        (404, "not_found")
    );
    for _ in 0..24 {
        world.clock.step(Duration::from_secs(29 * 60));
        assert_eq!(two.get(&world, "/api/me").await.status, 200);
    }
    world.clock.step(Duration::from_secs(29 * 60));
    assert_eq!(two.get(&world, "/api/me").await.refusal(), (401, "session_required"), "twelve hours");
    let mut three = Browser::owner(&world).await;
    world.clock.step(Duration::from_secs(30 * 60));
    assert_eq!(three.get(&world, "/api/me").await.refusal(), (401, "session_required"), "idle");
}

#[tokio::test]
async fn what_is_dangerous_needs_a_fresh_sign_in() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    world.clock.step(Duration::from_secs(301));
    let invite = json!({ "email": "mo@acme.io", "role": "admin" });
    assert_eq!(
        owner.post(&world, "/v1/organization/invites", invite.clone()).await.refusal(),
        (403, "reauthentication_required")
    );
    let viewer = json!({ "email": "mo@acme.io", "role": "viewer" });
    assert_eq!(owner.post(&world, "/v1/organization/invites", viewer).await.status, 200);
    assert_eq!(
        owner.post(&world, "/api/auth/reauthenticate", json!({ "password": "x" })).await.refusal(),
        (401, "invalid_login")
    );
    assert_eq!(owner.post(&world, "/api/auth/reauthenticate", json!({ "password": PASSWORD })).await.status, 200);
    assert_eq!(owner.post(&world, "/v1/organization/invites", invite).await.status, 200);
}

#[tokio::test]
async fn several_organizations_are_told_apart_by_the_header() {
    let (mut world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let second = world.organization("second", claviger_domain::tenancy::OrganizationState::Active).await;
    let id = owner.get(&world, "/api/me").await.body["id"].as_str().unwrap_or_default().parse().expect("an id");
    let scope = claviger_domain::tenancy::TenantScope(second);
    world.store.store.make_owner(scope, id, &super::by_system()).await.expect("made an owner");
    let mut owner = Browser::owner(&world).await;
    assert_eq!(owner.get(&world, "/v1/organization/users").await.refusal(), (400, "organization_required"));
    for (name, status) in [("acme", 200), ("second", 200), ("third", 404)] {
        owner.organization = Some(name.to_owned());
        assert_eq!(owner.get(&world, "/v1/organization/users").await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one_and_ends_the_other_sessions() {
    let (world, _) = World::set_up().await;
    let (mut one, mut two) = (Browser::owner(&world).await, Browser::owner(&world).await);
    let change = |old: &str, new: &str| json!({ "current_password": old, "new_password": new });
    let wrong = one.post(&world, "/api/me", change("wrong", "tulip radio 94 mast")).await;
    assert_eq!(wrong.refusal(), (401, "invalid_login"));
    for weak in ["short", "password123456", "li@acme.io12345"] {
        let answer = one.post(&world, "/api/me", change(PASSWORD, weak)).await;
        assert_eq!(answer.refusal(), (400, "invalid_value"), "{weak}");
    }
    let before = one.cookie.clone();
    let done = one.post(&world, "/api/me", change(PASSWORD, "tulip radio 94 mast")).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_ne!(one.cookie, before);
    assert_eq!(one.get(&world, "/api/me").await.status, 200);
    assert_eq!(two.get(&world, "/api/me").await.refusal(), (401, "session_required"));
    assert_eq!(Browser::sign_in(&world, "li@acme.io", PASSWORD).await.1.refusal(), (401, "invalid_login"));
    assert_eq!(Browser::sign_in(&world, "li@acme.io", "tulip radio 94 mast").await.1.status, 200);
}

#[tokio::test]
async fn members_are_changed_up_to_ones_own_role_and_an_owner_stays() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let mut admin = owner.join(&world, "admin@acme.io", "admin").await;
    let mut viewer = owner.join(&world, "viewer@acme.io", "reader").await;
    let id = async |browser: &mut Browser| {
        browser.get(&world, "/api/me").await.body["id"].as_str().unwrap_or_default().to_owned()
    };
    let (owner_id, viewer_id) = (id(&mut owner).await, id(&mut viewer).await);
    let of = |id: &str| format!("/v1/organization/users/{id}");
    let refused = viewer.post(&world, &of(&viewer_id), json!({ "role": "owner" })).await;
    assert_eq!(refused.refusal(), (403, "permission_denied"));
    let refused = admin.post(&world, &of(&viewer_id), json!({ "role": "owner" })).await;
    assert_eq!(refused.refusal(), (403, "permission_denied"), "no more than their own");
    let refused = admin.send(&world, "DELETE", &of(&owner_id), &Value::Null).await;
    assert_eq!(refused.refusal(), (403, "permission_denied"));
    let refused = owner.send(&world, "DELETE", &of(&owner_id), &Value::Null).await;
    assert_eq!(refused.refusal(), (400, "last_owner"));
    let unknown = owner.send(&world, "DELETE", &of("usr_0000000000000000000001"), &Value::Null).await;
    let malformed = owner.send(&world, "DELETE", &of("nonsense"), &Value::Null).await;
    assert_eq!((unknown.refusal(), &unknown.bytes), ((404, "not_found"), &malformed.bytes));
    let done = admin.post(&world, &of(&viewer_id), json!({ "role": "member" })).await;
    assert_eq!((done.status, text(&done.body["role"])), (200, "member"), "{}", done.body);
    assert_eq!(viewer.get(&world, "/api/me").await.refusal(), (401, "session_required"), "a role ends sessions");
    let gone = admin.send(&world, "DELETE", &of(&viewer_id), &Value::Null).await;
    assert_eq!((gone.status, text(&gone.body["object"])), (200, "organization.user.deleted"), "{}", gone.body);
    let (mut back, _) = Browser::sign_in(&world, "viewer@acme.io", PASSWORD).await;
    assert_eq!(back.get(&world, "/v1/organization/users").await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn sign_up_is_closed_unless_the_operator_opens_it() {
    let (world, _) = World::set_up().await;
    let body = json!({ "email": "mo@x.io", "password": PASSWORD, "organization": "Mo" });
    let answer = Browser::default().post(&world, "/api/auth/sign_up", body).await;
    assert_eq!(answer.refusal(), (403, "sign_up_closed"));
    let options = Browser::default().get(&world, "/api/auth/options").await;
    assert_eq!(text(&options.body["sign_up"]), "invite");
    let _ = world_setup();
}

#[tokio::test]
async fn a_sealed_text_is_handed_over_once() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let mut viewer = owner.join(&world, "viewer@acme.io", "viewer").await;
    let left = owner.post(&world, "/v1/organization/handovers", json!({ "ciphertext": "c2VhbGVk" })).await;
    assert_eq!(left.status, 200, "{}", left.body);
    let path = format!("/api/me/handovers/{}", text(&left.body["id"]));
    let taken = viewer.get(&world, &path).await;
    assert_eq!((taken.status, text(&taken.body["ciphertext"])), (200, "c2VhbGVk"));
    assert_eq!(viewer.get(&world, &path).await.refusal(), (404, "not_found"));
    let large = "A".repeat(4097);
    let refused = owner.post(&world, "/v1/organization/handovers", json!({ "ciphertext": large })).await;
    assert_eq!(refused.refusal(), (400, "invalid_value"));
}
