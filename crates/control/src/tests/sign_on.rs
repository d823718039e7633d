//! Sign-on by an identity provider over the management plane: the way there and back, who somebody is then, and what of
//! another's answer is worth nothing. Over HTTP it is tested on the real program.

use super::people::{Browser, PASSWORD};
use super::{Answer, World, text};
use crate::issuers::tests::{TestIssuer, TestKey, URL, claims};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::right::Role;
use claviger_domain::time::Clock as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

struct Provider {
    issuer: Arc<TestIssuer>,
    key: TestKey,
}

/// A browser on its way: what the provider was asked, and the cookie that goes along.
struct Trip {
    asked: Vec<(String, String)>,
    cookie: String,
}

impl Trip {
    fn of(location: &str, answer: &Answer) -> Self {
        let query = location.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let asked = query.split('&').filter_map(|pair| pair.split_once('='));
        let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let cookies = answer.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
        let cookie = cookies.filter_map(|line| line.split(';').next()).find(|pair| pair.contains("sign-on"));
        Self { asked, cookie: cookie.unwrap_or_default().to_owned() }
    }

    fn asked(&self, name: &str) -> &str {
        self.asked.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

impl Provider {
    async fn world(change: impl FnOnce(&mut crate::Settings)) -> (Self, World) {
        let key = TestKey::es256();
        let issuer = TestIssuer::new(&[key.jwk("a")]);
        let (world, _) = World::set_up_with(|settings| {
            settings.issuers = issuer.settings();
            change(settings);
        })
        .await;
        (Self { issuer, key }, world)
    }

    async fn start(&self, world: &World, browser: &mut Browser) -> Trip {
        world.clock.step(Duration::from_secs(20));
        let answer = browser.get(world, "/api/auth/oidc/acme/start?return_to=/o/acme").await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let location = answer.headers["location"].to_str().unwrap_or_default().to_owned();
        assert!(location.starts_with(&format!("{URL}/authorize?response_type=code&client_id=claviger&")), "{location}");
        let trip = Trip::of(&location, &answer);
        // The browser keeps both cookies; the session's stays what it was.
        if browser.cookie.contains("sign-on") {
            browser.cookie.clear();
        }
        trip
    }

    /// What the provider answers to the code: these claims over those of somebody with subject 7.
    fn answers(&self, world: &World, trip: &Trip, change: Value) {
        let mut said = claims(world);
        said["nonce"] = json!(trip.asked("nonce"));
        for (name, value) in change.as_object().into_iter().flatten() {
            said[name] = value.clone();
        }
        let token = json!({ "id_token": self.key.token("a", &said), "token_type": "Bearer" });
        self.issuer.documents.lock().insert(format!("{URL}/token"), token);
    }

    async fn come_back(&self, world: &World, trip: &Trip, session: &str) -> (String, Browser) {
        let target = format!("/api/auth/oidc/acme/callback?code=c1&state={}&session_state=x", trip.asked("state"));
        let cookie = [trip.cookie.as_str(), session].join("; ");
        let answer = world.network("GET", &target, &[("cookie", &cookie)], &Value::Null).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let mut browser = Browser::default();
        for line in answer.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()) {
            let pair = line.split(';').next().unwrap_or_default();
            if pair.contains("session=") {
                pair.clone_into(&mut browser.cookie);
            }
        }
        (answer.headers["location"].to_str().unwrap_or_default().to_owned(), browser)
    }

    /// The whole way, for somebody of whom the provider says this.
    async fn sign_in(&self, world: &World, change: Value) -> (String, Browser) {
        let trip = self.start(world, &mut Browser::default()).await;
        self.answers(world, &trip, change);
        self.come_back(world, &trip, "").await
    }
}

fn email(address: &str) -> Value {
    json!({ "email": address, "email_verified": true, "name": "Mo" })
}

const DONE: &str = "http://127.0.0.1:8080/o/acme";

fn failed(code: &str) -> String {
    format!("http://127.0.0.1:8080/sign-in#error={code}")
}

#[tokio::test]
async fn a_proved_address_opens_its_invite_and_the_account_signs_in_from_then_on() {
    let (provider, world) = Provider::world(|_| ()).await;
    let mut owner = Browser::owner(&world).await;
    let invite = json!({ "email": "mo@acme.io", "role": "developer" });
    assert_eq!(owner.post(&world, "/v1/organization/invites", invite).await.status, 200);
    let (page, _) = provider.sign_in(&world, json!({ "email": "mo@acme.io", "email_verified": false })).await;
    assert_eq!(page, failed("email_not_verified"));
    let (page, mut mo) = provider.sign_in(&world, email("Mo@ACME.io")).await;
    assert_eq!(page, DONE);
    let me = mo.get(&world, "/api/me").await;
    assert_eq!((me.status, text(&me.body["email"])), (200, "mo@acme.io"), "{}", me.body);
    assert_eq!((&me.body["email_verified"], &me.body["has_password"]), (&json!(true), &json!(false)));
    assert_eq!(text(&me.body["organizations"][0]["role"]), "developer");
    // From then on by issuer and subject, whatever else the token says.
    let (page, mut again) = provider.sign_in(&world, json!({ "email": "other@acme.io" })).await;
    assert_eq!((page.as_str(), again.get(&world, "/api/me").await.body["id"] == me.body["id"]), (DONE, true));
    // Another account with the same proved address is somebody else, and an existing person is never taken over.
    let mut thief = email("mo@acme.io");
    thief["sub"] = json!("8");
    assert_eq!(provider.sign_in(&world, thief).await.0, failed("sign_up_closed"));
    let mut thief = email("li@acme.io");
    thief["sub"] = json!("9");
    assert_eq!(provider.sign_in(&world, thief).await.0, failed("sign_up_closed"));
    // The code went with the verifier of its challenge, to the address that was registered.
    let form = provider.issuer.forms.lock().last().cloned().unwrap_or_default();
    let verifier = form.split("code_verifier=").nth(1).unwrap_or_default();
    assert_eq!(verifier.len(), 43);
    assert!(
        form.contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fapi%2Fauth%2Foidc%2Facme%2Fcallback"),
        "{form}"
    );
}

#[tokio::test]
async fn anothers_answer_a_second_answer_and_a_forged_one_sign_nobody_in() {
    let (provider, world) = Provider::world(|settings| settings.people.sign_up = crate::SignUp::Open).await;
    let trip = provider.start(&world, &mut Browser::default()).await;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(b"guess"));
    assert_ne!(trip.asked("code_challenge"), challenge);
    assert_eq!(trip.asked("code_challenge_method"), "S256");
    provider.answers(&world, &trip, email("mo@x.io"));
    // Carried into a browser that did not set out, by link.
    let other = provider.start(&world, &mut Browser::default()).await;
    let crossed = Trip { asked: trip.asked.clone(), cookie: other.cookie.clone() };
    assert_eq!(provider.come_back(&world, &crossed, "").await.0, failed("invalid_link"));
    assert_eq!(provider.come_back(&world, &trip, "").await.0, failed("invalid_link"), "its state was used up by that");
    for (what, change, expected) in [
        ("another question's answer", json!({ "nonce": "x" }), "invalid_token"),
        ("another audience", json!({ "aud": "x" }), "invalid_token"),
        ("another issuer", json!({ "iss": "https://id.evil.example" }), "invalid_token"),
        ("its time over", json!({ "exp": 1000 }), "invalid_token"),
        ("no address", json!({ "email": null }), "email_not_verified"),
    ] {
        let mut said = email("mo@x.io");
        for (name, value) in change.as_object().into_iter().flatten() {
            said[name] = value.clone();
        }
        assert_eq!(provider.sign_in(&world, said).await.0, failed(expected), "{what}");
    }
    // Too late, and without anything.
    let late = provider.start(&world, &mut Browser::default()).await;
    provider.answers(&world, &late, email("mo@x.io"));
    world.clock.step(Duration::from_secs(600));
    assert_eq!(provider.come_back(&world, &late, "").await.0, failed("invalid_link"));
    let bare = world.network("GET", "/api/auth/oidc/acme/callback", &[], &Value::Null).await;
    assert_eq!(bare.headers["location"].to_str().unwrap_or_default(), failed("invalid_link"));
    let unknown = world.network("GET", "/api/auth/oidc/other/start", &[], &Value::Null).await;
    assert_eq!(unknown.refusal(), (404, "not_found"));
    // Where anybody may sign up, an account brings an organization of its own.
    let (page, mut mo) = provider.sign_in(&world, email("mo@x.io")).await;
    assert_eq!(page, DONE);
    let me = mo.get(&world, "/api/me").await;
    let own = &me.body["organizations"][0];
    assert_eq!((text(&own["slug"]), text(&own["role"])), ("mo", "owner"), "{}", me.body);
}

#[tokio::test]
async fn a_provider_may_stand_for_an_organization_and_a_claim_for_a_role() {
    let (provider, world) = Provider::world(|settings| {
        let sign_on = &mut settings.issuers.all[0].sign_on;
        "acme".clone_into(&mut sign_on.organization);
        "groups".clone_into(&mut sign_on.role_claim);
        sign_on.roles.insert("ops".to_owned(), Role::Admin);
        sign_on.allowed_domains = vec!["acme.io".to_owned()];
    })
    .await;
    for (subject, address, groups, expected) in
        [("1", "ann@acme.io", json!(["staff", "ops"]), "admin"), ("2", "bob@acme.io", json!("staff"), "developer")]
    {
        let mut said = email(address);
        said["sub"] = json!(subject);
        said["groups"] = groups;
        let (page, mut browser) = provider.sign_in(&world, said).await;
        let me = browser.get(&world, "/api/me").await.body;
        assert_eq!((page.as_str(), text(&me["organizations"][0]["role"])), (DONE, expected), "{me}");
    }
    let mut said = email("eve@other.io");
    said["sub"] = json!("3");
    assert_eq!(provider.sign_in(&world, said).await.0, failed("sign_up_closed"));
}

#[tokio::test]
async fn an_account_is_linked_by_its_person_and_a_sign_in_is_as_fresh_as_the_provider_says() {
    let (provider, world) = Provider::world(|_| ()).await;
    let mut owner = Browser::owner(&world).await;
    let set_out = async |owner: &mut Browser| {
        let session = owner.cookie.clone();
        let answer = owner.post(&world, "/api/me/identities", json!({ "issuer": "acme" })).await;
        owner.cookie = session;
        answer
    };
    let answer = set_out(&mut owner).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let trip = Trip::of(text(&answer.body["url"]), &answer);
    assert_eq!(trip.asked("max_age"), "300");
    provider.answers(&world, &trip, email("li@elsewhere.io"));
    // Only in the session that set out.
    assert_eq!(provider.come_back(&world, &trip, "").await.0, failed("session_required"));
    let answer = set_out(&mut owner).await;
    let trip = Trip::of(text(&answer.body["url"]), &answer);
    provider.answers(&world, &trip, email("li@elsewhere.io"));
    assert_eq!(provider.come_back(&world, &trip, &owner.cookie).await.0, "http://127.0.0.1:8080/account");
    let list = owner.get(&world, "/api/me/identities").await;
    assert_eq!((text(&list.body["data"][0]["id"]), text(&list.body["data"][0]["issuer"])), ("acme", URL));
    // Somebody else cannot link it, too.
    let mut viewer = owner.join(&world, "viewer@acme.io", "viewer").await;
    let answer = set_out(&mut viewer).await;
    let trip = Trip::of(text(&answer.body["url"]), &answer);
    provider.answers(&world, &trip, email("li@elsewhere.io"));
    assert_eq!(provider.come_back(&world, &trip, &viewer.cookie).await.0, failed("name_taken"));
    // A provider that says nothing of when it asked gives no fresh sign-in.
    let invite = json!({ "email": "mo@acme.io", "role": "admin" });
    for (auth_time, expected) in [(None, 403), (Some(-400), 403), (Some(-10), 200)] {
        let mut said = email("li@elsewhere.io");
        if let Some(ago) = auth_time {
            said["auth_time"] = json!(world.clock.now().wall.seconds() + ago);
        }
        let (page, mut li) = provider.sign_in(&world, said).await;
        assert_eq!(page, DONE);
        let answer = li.post(&world, "/v1/organization/invites", invite.clone()).await;
        assert_eq!(answer.status, expected, "{auth_time:?}: {}", answer.body);
    }
    let (mut owner, _) = Browser::sign_in(&world, "li@acme.io", PASSWORD).await;
    let gone = owner.send(&world, "DELETE", "/api/me/identities/acme", &Value::Null).await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    let again = owner.send(&world, "DELETE", "/api/me/identities/acme", &Value::Null).await;
    assert_eq!(again.refusal(), (404, "not_found"));
    assert_eq!(provider.sign_in(&world, email("li@elsewhere.io")).await.0, failed("sign_up_closed"));
}
