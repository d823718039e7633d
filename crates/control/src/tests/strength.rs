//! Nobody makes, takes over or manages a credential stronger than their own, whatever door they come by.

use super::people::Browser;
use super::{KEYS, World, settings, text};
use crate::ports::Awaited;
use crate::{AwaitRights, Control, NoNodes};
use claviger_domain::error::PublicError;
use claviger_domain::id::{KeyId, OrganizationId};
use claviger_domain::key::{Verified, VerifyAsk};
use claviger_domain::money::Nano;
use claviger_domain::revocation::Epoch;
use claviger_domain::time::Clock as _;
use claviger_testkit::rng::SeededRandom;
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

const ADMIN: &str = "/v1/organization/admin_api_keys";
const IMPORT: &str = "/v1/organization/api_keys/import";

async fn admin_key(world: &World, body: &Value) -> (String, String) {
    let made = world.operator("POST", KEYS, body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    (text(&made.body["id"]).to_owned(), text(&made.body["value"]).to_owned())
}

fn row(byte: u8) -> Value {
    json!({ "sha256": format!("{byte:02x}").repeat(32), "name": "moved in" })
}

#[tokio::test]
async fn an_imported_key_is_within_whoever_imports_it() {
    let (world, admin) = World::set_up().await;
    let bound = json!({
        "name": "bound", "class": "admin", "role": "owner", "limits": { "rpm": 10 }, "policy": { "models": ["sim-echo"] },
    });
    let (_, bound) = admin_key(&world, &bound).await;
    let mut wide = row(1);
    let mut narrow = row(2);
    narrow["models"] = json!(["sim-echo"]);
    narrow["rpm"] = json!(10);
    wide["models"] = json!(["sim-echo"]);
    wide["rpm"] = json!(11);
    let mut dead = row(4);
    dead["rpm"] = json!(0);
    let mut signed = row(5);
    signed["sha256"] = json!("+1".repeat(32));
    let body = json!({ "source": "csv", "rows": [row(3), wide, narrow, dead, signed] });
    let report = world.with(&bound, "POST", IMPORT, &body).await;
    assert_eq!(report.status, 200, "{}", report.body);
    let outcomes: Vec<&str> = report.body["rows"].as_array().unwrap().iter().map(|row| text(&row["outcome"])).collect();
    assert_eq!(outcomes, ["refused", "refused", "imported", "refused", "refused"], "{}", report.body);
    assert!(text(&report.body["rows"][0]["reason"]).starts_with("models:"), "{}", report.body);
    let policy = json!({ "require_source_tag": true });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    let body = json!({ "source": "csv", "rows": [row(6)] });
    let report = world.with(&admin, "POST", IMPORT, &body).await;
    assert!(text(&report.body["rows"][0]["reason"]).starts_with("source_tag:"), "{}", report.body);
}

#[tokio::test]
async fn an_agents_key_is_within_whoever_makes_it() {
    let (world, admin) = World::set_up().await;
    let project = async |name: &str| {
        let made = world.operator("POST", "/v1/organization/projects", &json!({ "name": name })).await;
        text(&made.body["id"]).to_owned()
    };
    let (here, there) = (project("here").await, project("there").await);
    let bound = json!({
        "name": "bound", "class": "admin", "role": "owner", "environment_id": here,
        "policy": { "reach": "environment" },
    });
    let (_, bound) = admin_key(&world, &bound).await;
    let agents = |project: &str| format!("/v1/organization/projects/{project}/service_accounts");
    let made = world.with(&bound, "POST", &agents(&there), &json!({ "name": "ci" })).await;
    assert_eq!(made.refusal(), (404, "not_found"), "beyond its reach is unknown to it: {}", made.body);
    let made = world.with(&bound, "POST", &agents(&here), &json!({ "name": "ci" })).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let policy = json!({ "require_source_tag": true });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    let keys = format!("{}/{}/api_keys", agents(&here), text(&made.body["id"]));
    assert_eq!(world.with(&admin, "POST", &keys, &json!({})).await.status, 200, "it is labelled by its agent's name");
}

#[tokio::test]
async fn an_admin_key_is_managed_by_whoever_may_as_much() {
    let (world, _) = World::set_up().await;
    let policy = json!({ "creators": "admins" });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    let mut owner = Browser::owner(&world).await;
    let mut admin = owner.join(&world, "admin@acme.io", "admin").await;
    let strong = owner.post(&world, KEYS, json!({ "name": "strong", "class": "admin" })).await;
    let equal = owner.post(&world, KEYS, json!({ "name": "equal", "class": "admin", "role": "admin" })).await;
    let strong = text(&strong.body["id"]).to_owned();
    for (act, body) in [
        ("", json!({ "role": "viewer" })),
        ("/disable", json!({})),
        ("/rotate", json!({})),
        ("/reissue", json!({})),
        ("/revoke", json!({})),
    ] {
        let refused = admin.post(&world, &format!("{KEYS}/{strong}{act}"), body).await;
        assert_eq!(refused.refusal(), (403, "permission_denied"), "{act}: {}", refused.body);
    }
    for path in [format!("{KEYS}/{strong}"), format!("{ADMIN}/{strong}")] {
        let refused = admin.send(&world, "DELETE", &path, &Value::Null).await;
        assert_eq!(refused.refusal(), (403, "permission_denied"), "{path}");
    }
    let path = format!("{KEYS}/{}", text(&equal.body["id"]));
    assert_eq!(admin.post(&world, &format!("{path}/disable"), json!({})).await.status, 200);
    assert_eq!(admin.send(&world, "DELETE", &path, &Value::Null).await.status, 200);
}

/// Nodes that never say that they have heard.
struct Deaf;

impl AwaitRights for Deaf {
    fn confirmed(&self, _epoch: Epoch, _patience: Duration) -> Pin<Box<dyn Future<Output = Awaited> + Send + '_>> {
        Box::pin(std::future::ready(Awaited::Lost))
    }

    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    fn held(&self, organization: OrganizationId) -> Option<Nano> {
        NoNodes.held(organization)
    }

    fn running(&self, key: KeyId) -> u64 {
        NoNodes.running(key)
    }

    fn has_foreign_keys(&self) -> bool {
        NoNodes.has_foreign_keys()
    }

    fn self_service(&self, key: KeyId) -> Result<(), PublicError> {
        NoNodes.self_service(key)
    }

    fn verify(&self, ask: &VerifyAsk<'_>) -> Result<Verified, PublicError> {
        NoNodes.verify(ask)
    }
}

#[tokio::test]
async fn what_ends_a_secret_answers_only_with_the_proof() {
    let (mut world, _) = World::set_up().await;
    let key = format!("{KEYS}/{}", text(&world.key("k").await["id"]));
    let random = Box::new(SeededRandom::new(9));
    world.control = Control::new(world.store.store.clone(), Arc::new(Deaf), world.clock.clone(), random, settings());
    let seconds = world.clock.now().wall.seconds();
    let act = async |act: &str, body: Value| world.operator("POST", &format!("{key}{act}"), &body).await;
    for (path, body) in [
        ("/reissue", json!({})),
        ("/rotate", json!({ "overlap_seconds": 0 })),
        ("", json!({ "expires_at": seconds + 7200 })),
        ("", json!({ "expires_at": seconds + 3600 })),
    ] {
        assert_eq!(act(path, body).await.refusal(), (503, "revocation_pending"), "{path}");
    }
    for (path, body) in [("/rotate", json!({})), ("", json!({ "expires_at": seconds + 7200 }))] {
        let done = act(path, body).await;
        assert_eq!(done.status, 200, "what only gives need not be proved: {}", done.body);
    }
}
