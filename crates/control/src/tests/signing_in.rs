//! Further ways of signing in: a command line that a person consents to.

use super::people::{Browser, PASSWORD};
use super::{Answer, World, text};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

async fn begin(world: &World) -> Value {
    let begun = Browser::default().post(world, "/api/auth/device", json!({ "host": "laptop" })).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    begun.body
}

async fn poll(world: &World, begun: &Value) -> Answer {
    let body = json!({ "device_code": begun["device_code"] });
    Browser::default().post(world, "/api/auth/device/token", body).await
}

async fn decide(browser: &mut Browser, world: &World, begun: &Value, decision: &str) -> Answer {
    let body = json!({ "user_code": begun["user_code"], "decision": decision });
    browser.post(world, "/api/auth/device/approve", body).await
}

#[tokio::test]
async fn a_command_line_gets_an_admin_key_of_whoever_consents_once() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let begun = begin(&world).await;
    let link = text(&begun["verification_uri_complete"]);
    assert_eq!(link, format!("http://127.0.0.1:8080/device#{}", text(&begun["user_code"])));
    assert_eq!(text(&poll(&world, &begun).await.body["status"]), "waiting");
    let looked = owner.post(&world, "/api/auth/device/approve", json!({ "user_code": begun["user_code"] })).await;
    let shown = (text(&looked.body["status"]), text(&looked.body["host"]), text(&looked.body["address"]));
    assert_eq!(shown, ("waiting", "laptop", "192.0.2.7"), "{}", looked.body);
    let approved = decide(&mut owner, &world, &begun, "approve").await;
    assert_eq!((approved.status, text(&approved.body["organization"])), (200, "acme"), "{}", approved.body);
    let again = decide(&mut owner, &world, &begun, "refuse").await;
    assert_eq!(again.refusal(), (400, "invalid_link"), "one decision");

    let taken = poll(&world, &begun).await;
    let granted = &taken.body["granted"];
    assert_eq!(text(&taken.body["status"]), "approved", "{}", taken.body);
    assert_eq!((text(&granted["organization"]), text(&granted["email"])), ("acme", "li@acme.io"));
    let key = &granted["key"];
    assert_eq!((text(&key["name"]), text(&key["class"]), text(&key["role"])), ("CLI on laptop", "admin", "owner"));
    let lives = key["expires_at"].as_i64().unwrap_or_default() - key["created_at"].as_i64().unwrap_or_default();
    assert_eq!(lives, 30 * 24 * 3600);
    assert_eq!(world.with(text(&granted["value"]), "GET", "/v1/organization/users", &Value::Null).await.status, 200);
    assert_eq!(poll(&world, &begun).await.refusal(), (400, "invalid_link"), "once");
}

#[tokio::test]
async fn consent_needs_a_fresh_sign_in_and_is_worth_no_more_than_who_gave_it() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let mut viewer = owner.join(&world, "viewer@acme.io", "viewer").await;
    // A viewer's command line may do what a viewer may.
    let begun = begin(&world).await;
    assert_eq!(decide(&mut viewer, &world, &begun, "approve").await.status, 200);
    let value = poll(&world, &begun).await.body["granted"]["value"].clone();
    let get = async |path: &str| world.with(text(&value), "GET", path, &Value::Null).await;
    assert_eq!(get("/v1/organization/users").await.status, 200);
    assert_eq!(get("/v1/organization/invites").await.refusal(), (403, "permission_denied"));
    // Refused.
    let begun = begin(&world).await;
    assert_eq!(decide(&mut viewer, &world, &begun, "refuse").await.status, 200);
    assert_eq!(text(&poll(&world, &begun).await.body["status"]), "refused");
    assert_eq!(poll(&world, &begun).await.refusal(), (400, "invalid_link"));
    // Consent dies with its session and with the membership.
    for sign_out in [true, false] {
        let begun = begin(&world).await;
        let (mut again, _) = Browser::sign_in(&world, "viewer@acme.io", PASSWORD).await;
        assert_eq!(decide(&mut again, &world, &begun, "approve").await.status, 200);
        if sign_out {
            assert_eq!(again.post(&world, "/api/auth/sign_out", json!({})).await.status, 200);
        } else {
            let id = text(&again.get(&world, "/api/me").await.body["id"]).to_owned();
            let path = format!("/v1/organization/users/{id}/remove");
            assert_eq!(owner.post(&world, &path, json!({})).await.status, 200);
        }
        assert_eq!(poll(&world, &begun).await.refusal(), (400, "invalid_link"), "{sign_out}");
        world.clock.step(Duration::from_secs(60));
    }
    assert_eq!(get("/v1/organization/users").await.refusal(), (401, "key_revoked"), "their key went with them");
    world.clock.step(Duration::from_secs(301));
    let begun = begin(&world).await;
    let stale = decide(&mut owner, &world, &begun, "approve").await;
    assert_eq!(stale.refusal(), (403, "reauthentication_required"));
    world.clock.step(Duration::from_secs(600));
    assert_eq!(poll(&world, &begun).await.refusal(), (400, "invalid_link"), "ten minutes");
}

#[tokio::test]
async fn codes_of_command_lines_cannot_be_guessed_at_leisure() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    let begun = begin(&world).await;
    world.clock.step(Duration::from_secs(60));
    for _ in 0..5 {
        let wrong = owner.post(&world, "/api/auth/device/approve", json!({ "user_code": "BCDF-GHJK" })).await;
        assert_eq!(wrong.refusal(), (400, "invalid_link"));
    }
    let braked = decide(&mut owner, &world, &begun, "approve").await;
    assert_eq!(braked.refusal(), (429, "rate_limit_exceeded"));
    world.clock.step(Duration::from_secs(60));
    for code in ["x", &"a".repeat(43), "x", "x", "x"] {
        let wrong = Browser::default().post(&world, "/api/auth/device/token", json!({ "device_code": code })).await;
        assert_eq!(wrong.refusal(), (400, "invalid_link"));
    }
    let wrong = Browser::default().post(&world, "/api/auth/device/token", json!({ "device_code": "x" })).await;
    assert_eq!(wrong.refusal(), (429, "rate_limit_exceeded"));
    assert_eq!(text(&poll(&world, &begun).await.body["status"]), "waiting", "whoever holds the code may ask on");
    for host in ["", "a b", "ü", &"a".repeat(65)] {
        let refused = Browser::default().post(&world, "/api/auth/device", json!({ "host": host })).await;
        assert_eq!(refused.refusal(), (400, "invalid_value"), "{host}");
    }
}

/// A mail server that takes every letter and shows it to nobody.
#[derive(Debug)]
struct Silent;

impl crate::DeliverMail for Silent {
    fn deliver(
        &self,
        _letter: crate::Letter,
    ) -> Pin<Box<dyn Future<Output = Result<(), crate::Undelivered>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn live_keys_need_a_proved_address_where_mail_goes_out() {
    for (has_mail, must_verify, status) in [(true, true, 403), (true, false, 200), (false, true, 200)] {
        let (world, admin) = World::set_up_with(|settings| {
            settings.people.mail = has_mail.then(|| Arc::new(Silent) as Arc<dyn crate::DeliverMail>);
            settings.people.must_verify_email = must_verify;
        })
        .await;
        let mut owner = Browser::owner(&world).await;
        let made = owner.post(&world, super::KEYS, json!({ "name": "live" })).await;
        assert_eq!(made.status, status, "{}", made.body);
        if status == 200 {
            continue;
        }
        assert_eq!(made.code(), "email_not_verified");
        let test = owner.post(&world, super::KEYS, json!({ "name": "test", "test": true })).await;
        assert_eq!(test.status, 200, "a test key costs nothing: {}", test.body);
        let body = json!({ "name": "live" });
        let made = owner.post(&world, "/v1/organization/admin_api_keys", body).await;
        assert_eq!(made.refusal(), (403, "email_not_verified"), "an admin key is a live one");
        let by_key = world.with(&admin, "POST", super::KEYS, &json!({ "name": "live" })).await;
        assert_eq!(by_key.status, 200, "a key has no address");
        let rotate = format!("{}/{}/rotate", super::KEYS, text(&by_key.body["id"]));
        assert_eq!(owner.post(&world, &rotate, json!({})).await.refusal(), (403, "email_not_verified"));
        let begun = begin(&world).await;
        assert_eq!(decide(&mut owner, &world, &begun, "approve").await.refusal(), (403, "email_not_verified"));
        let id = text(&owner.get(&world, "/api/me").await.body["id"]).parse().expect("an id");
        let link = claviger_storage::NewToken {
            digest: claviger_domain::secret::Digest::from_bytes([9; 32]),
            kind: claviger_domain::person::token::TokenKind::Verify,
            user: Some(id),
            detail: "{}".to_owned(),
            created_at: claviger_testkit::clock::START,
            expires_at: claviger_testkit::clock::START.plus(std::time::Duration::from_secs(60)),
            replaces: claviger_storage::Replaces::Nothing,
        };
        let digest = link.digest;
        world.store.store.save_token(link).await.expect("a link");
        world.store.store.verify_email(digest, &super::by_system()).await.expect("verified");
        assert_eq!(owner.post(&world, super::KEYS, json!({ "name": "live" })).await.status, 200);
        assert_eq!(owner.post(&world, &rotate, json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn an_organization_that_somebody_brings_along_starts_with_the_operators_credit() {
    let (world, _) = World::set_up_with(|settings| {
        settings.people.sign_up = crate::SignUp::Open;
        settings.people.starting_credit = claviger_domain::money::Nano(5_000_000_000);
    })
    .await;
    let mut mo = Browser::default();
    let body = json!({ "email": "mo@x.io", "password": PASSWORD, "organization": "Mo" });
    assert_eq!(mo.post(&world, "/api/auth/sign_up", body).await.status, 200);
    let me = mo.get(&world, "/api/me").await;
    assert_eq!(text(&me.body["organizations"][0]["balance"]), "5.000000000", "{}", me.body);
    let proof = world.operator("POST", "/api/operator/ledger/verify", &json!({})).await;
    assert_eq!(proof.status, 200, "{}", proof.body);
}
