//! Keyless sign-in for machines: trusts of agents, and tokens that become keys (`keys.md` §4). What is believed of a token
//! is tested beside `issuers`; here, what it opens.

use super::{KEYS, World, text};
use crate::issuers::tests::{TestIssuer, TestKey, URL};
use claviger_domain::tenancy::OrganizationState;
use claviger_domain::time::Clock as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Machines {
    world: World,
    admin: String,
    issuer: Arc<TestIssuer>,
    key: TestKey,
    /// The agent's path.
    agent: String,
}

impl Machines {
    async fn set() -> Self {
        let key = TestKey::es256();
        let issuer = TestIssuer::new(&[key.jwk("a")]);
        let world = World::fresh_with(|settings| settings.issuers = issuer.settings()).await;
        let made = world.operator("POST", "/api/operator/setup", &super::world_setup()).await;
        let admin = text(&made.body["admin_key"]["value"]).to_owned();
        let organization = world.with(&admin, "GET", "/v1/organization", &Value::Null).await;
        let accounts = format!(
            "/v1/organization/projects/{}/service_accounts",
            text(&organization.body["default_environment_id"])
        );
        let body = json!({ "name": "deploys", "create_service_account_only": true });
        let agent = world.with(&admin, "POST", &accounts, &body).await;
        let agent = format!("{accounts}/{}", text(&agent.body["id"]));
        Self { world, admin, issuer, key, agent }
    }

    async fn trust(&self, more: &Value) -> super::Answer {
        let mut body = json!({
            "issuer": URL, "audience": "claviger", "subject": "repo:acme/shop:*", "claims": { "ref": "refs/heads/main" },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.world.with(&self.admin, "POST", &format!("{}/trusts", self.agent), &body).await
    }

    fn claims(&self, number: u64) -> Value {
        let now = self.world.clock.now().wall.seconds();
        json!({
            "iss": URL, "sub": "repo:acme/shop:ref:refs/heads/main", "aud": "claviger", "exp": now + 300, "iat": now,
            "ref": "refs/heads/main", "jti": number.to_string(),
        })
    }

    async fn exchange(&self, token: &str) -> super::Answer {
        self.world.network("POST", "/v1/agents/exchange", &[], &json!({ "token": token })).await
    }
}

#[tokio::test]
async fn a_token_becomes_a_short_lived_key_of_the_agent_with_its_limits() {
    let machines = Machines::set().await;
    let world = &machines.world;
    let more =
        json!({ "ttl_seconds": 600, "source_tag": "ci", "limits": { "rpm": 7 }, "policy": { "models": ["a/*"] } });
    let trust = machines.trust(&more).await;
    assert_eq!(trust.status, 200, "{}", trust.body);
    let made = machines.exchange(&machines.key.token("a", &machines.claims(1))).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(made.headers["cache-control"], "no-store");
    let now = world.clock.now().wall.seconds();
    assert_eq!(made.body["expires_at"], json!(now + 600));
    let value = text(&made.body["value"]);
    let asked = world.with(value, "POST", "/api/environments/list", &Value::Null).await;
    assert_eq!(asked.status, 200, "the key is good at once: {}", asked.body);
    let path = format!("{KEYS}/{}", text(&made.body["id"]));
    let key = world.with(&machines.admin, "GET", &path, &Value::Null).await.body;
    assert_eq!((text(&key["class"]), text(&key["source_tag"]), &key["limits"]["rpm"]), ("inference", "ci", &json!(7)));
    assert_eq!(key["policy"]["models"], json!(["a/*"]));
    assert!(machines.agent.ends_with(text(&key["owner"]["id"])), "{key}");
    let listed = async |query: &str| -> usize {
        let list = world.with(&machines.admin, "GET", &format!("{KEYS}{query}"), &Value::Null).await.body;
        list["data"].as_array().into_iter().flatten().filter(|row| row["id"] == key["id"]).count()
    };
    assert_eq!((listed("").await, listed("?exchanged=true").await), (0, 1));

    // Its time, and its trust.
    world.clock.step(Duration::from_secs(600));
    let over = world.with(value, "POST", "/api/environments/list", &Value::Null).await;
    assert_eq!(over.refusal(), (401, "key_expired"));
    let next = machines.exchange(&machines.key.token("a", &machines.claims(2))).await;
    let gone = format!("{}/trusts/{}", machines.agent, text(&trust.body["id"]));
    assert_eq!(world.with(&machines.admin, "DELETE", &gone, &Value::Null).await.status, 200);
    let ended = world.with(text(&next.body["value"]), "POST", "/api/environments/list", &Value::Null).await;
    assert_eq!(ended.refusal(), (401, "key_revoked"));
    let late = machines.exchange(&machines.key.token("a", &machines.claims(3))).await;
    assert_eq!(late.refusal(), (401, "invalid_token"));
}

#[tokio::test]
async fn every_mismatch_is_the_same_401_and_its_reason_is_the_organizations() {
    let machines = Machines::set().await;
    let (world, key) = (&machines.world, &machines.key);
    assert_eq!(machines.trust(&json!({})).await.status, 200);
    let good = machines.claims(1);
    let with = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        key.token("a", &claims)
    };
    let now = world.clock.now().wall.seconds();
    let used = key.token("a", &machines.claims(2));
    assert_eq!(machines.exchange(&used).await.status, 200);
    let unsigned = {
        let parts: Vec<&str> = used.split('.').collect();
        format!("eyJhbGciOiJub25lIn0.{}.", parts[1])
    };
    let mut answers = Vec::new();
    let mut reasons = Vec::new();
    for (what, token, reason) in [
        ("another issuer", with("iss", json!("https://id.evil.example")), None),
        ("another audience", with("aud", json!("somebody")), None),
        ("another subject", with("sub", json!("repo:acme/shopping")), Some("subject")),
        ("another claim", with("ref", json!("refs/heads/evil")), Some("claim")),
        ("its time over", with("exp", json!(now - 61)), Some("expired")),
        ("its time not come", with("nbf", json!(now + 280)), Some("not_yet")),
        ("a second time", used, Some("replayed")),
        ("an unknown key", TestKey::es256().token("b", &good), None),
        ("another's signature", TestKey::es256().token("a", &good), None),
        ("no signature", unsigned, None),
        ("no token", "x".to_owned(), None),
    ] {
        let answer = machines.exchange(&token).await;
        assert_eq!(answer.refusal(), (401, "invalid_token"), "{what}");
        answers.push(answer);
        reasons.extend(reason);
        // What is recorded is braked: these come slowly enough.
        world.clock.step(Duration::from_secs(13));
    }
    for answer in &answers {
        assert_eq!((&answer.bytes, &answer.headers), (&answers[0].bytes, &answers[0].headers));
    }
    let log = "/v1/organization/audit_logs?event_types=trust.refused&limit=100&order=asc";
    let log = world.with(&machines.admin, "GET", log, &Value::Null).await.body;
    let told: Vec<&str> = log["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| text(&entry["trust.refused"]["changes_requested"]["reason"]["to"]))
        .collect();
    assert_eq!(told, reasons, "{log}");
    assert_eq!(log["data"][0]["outcome"], json!("denied"));
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_taken_and_an_old_one_no_more() {
    let machines = Machines::set().await;
    assert_eq!(machines.trust(&json!({})).await.status, 200);
    assert_eq!(machines.exchange(&machines.key.token("a", &machines.claims(1))).await.status, 200);
    let new = TestKey::es256();
    machines.issuer.show(&[new.jwk("b")]);
    machines.world.clock.step(Duration::from_secs(31));
    assert_eq!(machines.exchange(&new.token("b", &machines.claims(2))).await.status, 200);
    let old = machines.exchange(&machines.key.token("a", &machines.claims(3))).await;
    assert_eq!(old.refusal(), (401, "invalid_token"));
}

#[tokio::test]
async fn a_trust_gives_no_more_than_its_maker_has_and_no_other_organization_gets_the_machine() {
    let mut machines = Machines::set().await;
    for (body, param) in [
        (json!({ "issuer": "https://nobody.example" }), "issuer"),
        (json!({ "subject": "*" }), "subject"),
        (json!({ "ttl_seconds": 59 }), "ttl_seconds"),
        (json!({ "ttl_seconds": 3601 }), "ttl_seconds"),
        (json!({ "claims": { "a": 1 } }), "claims"),
        (json!({ "owner": "x" }), "owner"),
    ] {
        let refused = machines.trust(&body).await;
        assert_eq!((refused.status, text(&refused.body["error"]["param"])), (400, param), "{}", refused.body);
    }
    let narrow = json!({ "name": "narrow", "class": "admin", "role": "admin", "policy": { "models": ["a/*"] } });
    let policy = json!({ "creators": "admins" });
    machines.world.with(&machines.admin, "POST", "/v1/organization/policy", &policy).await;
    let narrow = machines.world.with(&machines.admin, "POST", KEYS, &narrow).await;
    let owner = std::mem::replace(&mut machines.admin, text(&narrow.body["value"]).to_owned());
    let wider = machines.trust(&json!({})).await;
    assert_eq!((wider.refusal(), text(&wider.body["error"]["param"])), ((403, "permission_denied"), "models"));
    assert_eq!(machines.trust(&json!({ "policy": { "models": ["a/x"] } })).await.status, 200);
    machines.admin = owner;

    // Another organization trusts the same: then the token must say whom it means.
    machines.world.organization("other", OrganizationState::Active).await;
    let world = &machines.world;
    let theirs = world.operator_in("other", "GET", "/v1/organization", &Value::Null).await;
    let accounts =
        format!("/v1/organization/projects/{}/service_accounts", text(&theirs.body["default_environment_id"]));
    let body = json!({ "name": "thief", "create_service_account_only": true });
    let thief = world.operator_in("other", "POST", &accounts, &body).await;
    let thief = text(&thief.body["id"]).to_owned();
    let body = json!({ "issuer": URL, "audience": "claviger", "subject": "repo:acme/*" });
    let made = world.operator_in("other", "POST", &format!("{accounts}/{thief}/trusts"), &body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let token = |number| machines.key.token("a", &machines.claims(number));
    assert_eq!(machines.exchange(&token(1)).await.refusal(), (401, "invalid_token"));
    let own = machines.agent.rsplit('/').next().unwrap_or_default();
    let body = json!({ "token": token(2), "service_account_id": own });
    let made = world.network("POST", "/v1/agents/exchange", &[], &body).await;
    assert_eq!((made.status, text(&made.body["service_account_id"])), (200, own), "{}", made.body);
}

#[tokio::test]
async fn without_an_issuer_for_agents_there_is_no_exchange() {
    let (world, _) = World::set_up().await;
    let answer = world.network("POST", "/v1/agents/exchange", &[], &json!({ "token": "x" })).await;
    assert_eq!(answer.refusal(), (404, "unknown_url"));
}
