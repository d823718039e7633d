//! Passkeys over the management plane, with an authenticator in software.

use super::authenticator::Authenticator;
use super::people::Browser;
use super::{Answer, World, text};
use claviger_domain::person::{EmailAddress, UserState};
use serde_json::{Value, json};
use std::time::Duration;

/// As [`Browser`] says where its pages are from; the console is also reached by this URL, which has a name.
const ORIGIN: &str = "http://localhost:8080";

async fn world() -> World {
    let named = |settings: &mut crate::Settings| {
        settings.people.console_urls = vec![settings.public_url.clone()];
        settings.public_url = ORIGIN.to_owned();
    };
    World::set_up_with(named).await.0
}

async fn asked(browser: &mut Browser, world: &World, path: &str) -> Value {
    let answer = browser.post(world, path, json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["public_key"].clone()
}

async fn add(browser: &mut Browser, world: &World, authenticator: &Authenticator) -> Answer {
    let asked = asked(browser, world, "/api/me/passkeys/options").await;
    let body = json!({ "name": "Phone", "credential": authenticator.create(&asked) });
    browser.post(world, "/api/me/passkeys", body).await
}

async fn verify(browser: &mut Browser, world: &World, credential: &Value) -> Answer {
    browser.post(world, "/api/auth/passkey/verify", json!({ "credential": credential })).await
}

async fn sign_in(world: &World, authenticator: &mut Authenticator) -> (Browser, Answer) {
    let mut browser = Browser::default();
    let asked = asked(&mut browser, world, "/api/auth/passkey/options").await;
    let answer = verify(&mut browser, world, &authenticator.get(&asked)).await;
    (browser, answer)
}

#[tokio::test]
async fn a_passkey_is_added_signs_in_and_is_removed() {
    let world = world().await;
    let (mut owner, mut other) = (Browser::owner(&world).await, Browser::owner(&world).await);
    let mut phone = Authenticator::new(ORIGIN);
    let added = add(&mut owner, &world, &phone).await;
    assert_eq!((added.status, text(&added.body["name"])), (200, "Phone"), "{}", added.body);
    assert_eq!(owner.get(&world, "/api/me").await.status, 200);
    assert_eq!(other.get(&world, "/api/me").await.refusal(), (401, "session_required"), "a new way in ends the others");

    let (mut browser, signed) = sign_in(&world, &mut phone).await;
    assert_eq!((signed.status, text(&signed.body["email"])), (200, "li@acme.io"), "{}", signed.body);
    let list = browser.get(&world, "/api/me/passkeys").await;
    assert!(list.body["data"][0]["last_used_at"].is_i64(), "{}", list.body);
    // A fresh sign-in by passkey, in place of the session there was.
    world.clock.step(Duration::from_secs(301));
    let path = format!("/api/me/passkeys/{}", text(&added.body["id"]));
    let stale = browser.send(&world, "DELETE", &path, &Value::Null).await;
    assert_eq!(stale.refusal(), (403, "reauthentication_required"));
    assert_eq!(add_refused(&mut browser, &world).await, (403, "reauthentication_required".to_owned()));
    let before = browser.cookie.clone();
    let asked = asked(&mut browser, &world, "/api/auth/passkey/options").await;
    assert_eq!(verify(&mut browser, &world, &phone.get(&asked)).await.status, 200);
    assert_ne!(browser.cookie, before);
    assert_eq!(browser.send(&world, "DELETE", &path, &Value::Null).await.status, 200);
    assert_eq!(browser.send(&world, "DELETE", &path, &Value::Null).await.refusal(), (404, "not_found"));
    assert_eq!(sign_in(&world, &mut phone).await.1.refusal(), (401, "invalid_login"));
}

async fn add_refused(browser: &mut Browser, world: &World) -> (u16, String) {
    let answer = browser.post(world, "/api/me/passkeys/options", json!({})).await;
    (answer.status, answer.code().to_owned())
}

#[tokio::test]
async fn an_answer_counts_once_for_its_challenge_its_page_and_a_counter_that_grows() {
    let world = world().await;
    let mut owner = Browser::owner(&world).await;
    let mut phone = Authenticator::new(ORIGIN);
    assert_eq!(add(&mut owner, &world, &phone).await.status, 200);
    let mut browser = Browser::default();
    let fresh = async |browser: &mut Browser| {
        world.clock.step(Duration::from_secs(60));
        asked(browser, &world, "/api/auth/passkey/options").await
    };
    // A replay.
    let challenge = fresh(&mut browser).await;
    let answer = phone.get(&challenge);
    assert_eq!(verify(&mut browser, &world, &answer).await.status, 200);
    let mut others = vec![("a replay", answer)];
    // Another answer to a challenge that was used.
    others.push(("a used challenge", phone.get(&challenge)));
    let mut invented = challenge.clone();
    invented["challenge"] = json!("aW52ZW50ZWQ");
    others.push(("an invented challenge", phone.get(&invented)));
    let mut elsewhere = fresh(&mut browser).await;
    phone.origin = "http://localhost.evil.example:8080".to_owned();
    others.push(("a page of another site", phone.get(&elsewhere)));
    phone.origin = ORIGIN.to_owned();
    elsewhere = fresh(&mut browser).await;
    elsewhere["rpId"] = json!("evil.example");
    others.push(("another relying party", phone.get(&elsewhere)));
    phone.is_verified = false;
    others.push(("an unverified user", phone.get(&fresh(&mut browser).await)));
    phone.is_verified = true;
    others.push(("another's credential", Authenticator::new(ORIGIN).get(&fresh(&mut browser).await)));
    let mut unlike = phone.get(&fresh(&mut browser).await);
    unlike["response"]["userHandle"] = json!("dXNyX290aGVy");
    others.push(("another user's handle", unlike));
    // A challenge for a new passkey is none for a sign-in.
    let (mut again, _) = Browser::sign_in(&world, "li@acme.io", super::people::PASSWORD).await;
    let mut register = asked(&mut again, &world, "/api/me/passkeys/options").await;
    register["rpId"] = register["rp"]["id"].clone();
    others.push(("a challenge for a new passkey", phone.get(&register)));
    for (what, answer) in others {
        world.clock.step(Duration::from_secs(20));
        let refused = verify(&mut Browser::default(), &world, &answer).await;
        assert_eq!(refused.refusal(), (401, "invalid_login"), "{what}");
        assert_eq!(text(&refused.body["error"]["message"]), "This passkey signs nobody in here.", "{what}");
    }
    let late = fresh(&mut browser).await;
    world.clock.step(Duration::from_secs(300));
    assert_eq!(verify(&mut browser, &world, &phone.get(&late)).await.refusal(), (401, "invalid_login"), "too late");
    // The counter goes back: somebody copied the credential.
    phone.count = 0;
    let back = phone.get(&fresh(&mut browser).await);
    assert_eq!(verify(&mut browser, &world, &back).await.refusal(), (401, "invalid_login"));
    phone.count = 100;
    assert_eq!(sign_in(&world, &mut phone).await.1.status, 200);
    // A person who was switched off; somebody else has to be an owner by then.
    world.clock.step(Duration::from_secs(60));
    let mut owner = Browser::owner(&world).await;
    owner.join(&world, "second@acme.io", "owner").await;
    let email = EmailAddress::parse("li@acme.io").expect("an address");
    let (user, _) = world.store.store.find_login(&email).await.expect("read").expect("known");
    let off = claviger_storage::UserChange::State(UserState::Disabled);
    world.store.store.change_user(user.id, off, &super::by_system()).await.expect("disabled");
    assert_eq!(sign_in(&world, &mut phone).await.1.refusal(), (401, "invalid_login"));
}

#[tokio::test]
async fn a_passkey_is_one_persons_and_a_registration_answers_their_own_challenge() {
    let world = world().await;
    let mut owner = Browser::owner(&world).await;
    let mut viewer = owner.join(&world, "viewer@acme.io", "viewer").await;
    let phone = Authenticator::new(ORIGIN);
    let asked = asked(&mut owner, &world, "/api/me/passkeys/options").await;
    let theirs = json!({ "credential": phone.create(&asked) });
    let refused = viewer.post(&world, "/api/me/passkeys", theirs).await;
    assert_eq!(refused.refusal(), (400, "invalid_link"), "the challenge was another's");
    assert_eq!(add(&mut owner, &world, &phone).await.status, 200);
    assert_eq!(add(&mut viewer, &world, &phone).await.refusal(), (400, "invalid_value"), "one credential, one person");
    let mut unverified = Authenticator::new(ORIGIN);
    unverified.is_verified = false;
    assert_eq!(add(&mut viewer, &world, &unverified).await.refusal(), (400, "invalid_value"));
    let elsewhere = Authenticator::new("https://evil.example");
    assert_eq!(add(&mut viewer, &world, &elsewhere).await.refusal(), (400, "invalid_value"));
    for credential in [json!("x"), json!({}), json!({ "id": "YQ", "response": { "clientDataJSON": "e30" } })] {
        let refused = viewer.post(&world, "/api/me/passkeys", json!({ "credential": credential })).await;
        assert_eq!(refused.refusal(), (400, "invalid_value"), "{credential}");
    }
}

#[tokio::test]
async fn a_console_without_a_host_name_offers_no_passkeys() {
    let (world, _) = World::set_up().await;
    let mut owner = Browser::owner(&world).await;
    assert_eq!(owner.get(&world, "/api/auth/options").await.body["passkey"], json!(false));
    assert_eq!(add_refused(&mut owner, &world).await, (404, "unknown_url".to_owned()));
    let world = super::passkeys::world().await;
    let options = Browser::default().get(&world, "/api/auth/options").await;
    assert_eq!(options.body["passkey"], json!(true));
}
