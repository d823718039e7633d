//! Providers that an organization brings along, through the management endpoints.

use super::{World, text};
use crate::ports::{Found, ProbeProviders, Told, Unanswered};
use crate::providers::ProviderSettings;
use claviger_domain::catalog::{Dialect, Provider};
use claviger_domain::egress::Reach;
use claviger_domain::tenancy::OrganizationState;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

const PROVIDERS: &str = "/v1/organization/providers";
const REGISTRIES: &str = "/v1/organization/registries";
const CREDENTIAL: &str = "sk-upstream-0123456789-4f2A";

/// A provider of the test: what it was asked with, and what it answers.
#[derive(Debug, Default)]
struct Upstream {
    asked: Mutex<Vec<(String, Option<String>)>>,
    refuses: Mutex<bool>,
    /// It lists what it was asked with.
    echoes: Mutex<bool>,
}

impl ProbeProviders for Upstream {
    fn detect(&self) -> Pin<Box<dyn Future<Output = Vec<Found>> + Send + '_>> {
        let found = Found {
            name: "ollama",
            label: "Ollama on 127.0.0.1:11434".to_owned(),
            dialect: Dialect::Ollama,
            base_url: "http://127.0.0.1:11434".to_owned(),
            variable: None,
            models: Some(vec!["llama3".to_owned()]),
        };
        Box::pin(std::future::ready(vec![found]))
    }

    fn list_models(&self, provider: Provider) -> Pin<Box<dyn Future<Output = Result<Told, Unanswered>> + Send + '_>> {
        let credential = provider.credential.as_ref().map(|credential| credential.expose().clone());
        self.asked.lock().push((provider.base_url, credential));
        let told = if *self.refuses.lock() {
            let body = format!("{{\"error\":\"no key {CREDENTIAL} here\"}}");
            Told { status: 401, body: body.into() }
        } else if *self.echoes.lock() {
            let body = json!({ "data": [{ "id": format!("told/{CREDENTIAL}") }, { "id": "x".repeat(5_000) }] });
            Told { status: 200, body: body.to_string().into() }
        } else {
            Told {
                status: 200,
                body: r#"{"object":"list","data":[{"id":"llama3","object":"model"},{"id":"qwen"}]}"#.into(),
            }
        };
        Box::pin(std::future::ready(Ok(told)))
    }
}

/// An instance whose operator lists one network, a provider to be asked, and a registry.
async fn world() -> (World, String, Arc<Upstream>, String) {
    let upstream = Arc::new(Upstream::default());
    let probe: Arc<dyn ProbeProviders> = upstream.clone();
    let (world, admin) = World::set_up_with(|settings| {
        let listed = ["10.9.0.0/16".parse().expect("a network")];
        settings.providers = ProviderSettings { reach: Reach::Guarded(listed.into()), probe: Some(probe) };
    })
    .await;
    let made = world.with(&admin, "POST", REGISTRIES, &json!({ "name": "Own", "slug": "own" })).await;
    let registry = text(&made.body["id"]).to_owned();
    (world, admin, upstream, registry)
}

fn new(registry: &str) -> Value {
    json!({
        "name": "gpu", "registry_id": registry, "dialect": "vllm", "base_url": "HTTPS-placeholder",
        "credential": CREDENTIAL, "models": ["llama3", { "name": "org/big", "upstream_model": "big-70b",
            "endpoints": ["chat.completions", "embeddings"], "context": 8192 }],
    })
}

fn at(registry: &str, base_url: &str) -> Value {
    let mut body = new(registry);
    body["base_url"] = json!(base_url);
    body
}

#[tokio::test]
async fn a_provider_is_made_asked_and_ended_and_its_credential_goes_nowhere_else() {
    let (world, admin, upstream, registry) = world().await;
    let made = world.with(&admin, "POST", PROVIDERS, &at(&registry, "https://API.gpu.example/v1/")).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(text(&made.body["base_url"]), "https://api.gpu.example");
    assert_eq!(made.body["credential"], json!({ "hint": "…4f2A" }));
    assert_eq!(made.body["models"][0]["endpoints"], json!(["chat.completions"]));
    assert_eq!(made.body["models"][1]["upstream_model"], "big-70b");
    let path = format!("{PROVIDERS}/{}", text(&made.body["id"]));

    let tested = world.with(&admin, "POST", &format!("{path}/test"), &Value::Null).await;
    assert_eq!((tested.status, tested.body["ok"].clone()), (200, json!(true)), "{}", tested.body);
    assert_eq!(tested.body["models"], json!(["llama3", "qwen"]));
    let asked = ("https://api.gpu.example".to_owned(), Some(CREDENTIAL.to_owned()));
    assert_eq!(*upstream.asked.lock(), [asked], "with the credential that was given");
    *upstream.refuses.lock() = true;
    let failed = world.with(&admin, "POST", &format!("{path}/test"), &Value::Null).await;
    assert_eq!((failed.body["ok"].clone(), failed.body["status"].clone()), (json!(false), json!(401)));
    assert!(text(&failed.body["message"]).contains("no key **** here"), "{}", failed.body);

    (*upstream.refuses.lock(), *upstream.echoes.lock()) = (false, true);
    let echoed = world.with(&admin, "POST", &format!("{path}/test"), &Value::Null).await;
    assert_eq!(echoed.body["models"], json!(["told/****"]), "and no id that could never be called");

    let replaced = world.with(&admin, "POST", &path, &json!({ "credential": "another-credential-9zZ9" })).await;
    assert_eq!(replaced.body["credential"], json!({ "hint": "…9zZ9" }), "{}", replaced.body);
    world.with(&admin, "POST", &format!("{path}/test"), &Value::Null).await;
    let last = upstream.asked.lock().last().cloned().expect("it was asked");
    assert_eq!(last.1.as_deref(), Some("another-credential-9zZ9"));

    let listed = world.with(&admin, "GET", PROVIDERS, &Value::Null).await;
    let audit = world.with(&admin, "GET", "/v1/organization/audit_logs?limit=100", &Value::Null).await;
    assert!(audit.body.to_string().contains("provider.created"), "{}", audit.body);
    for reply in [&made, &tested, &failed, &echoed, &replaced, &listed, &audit] {
        let text = String::from_utf8_lossy(&reply.bytes);
        assert!(!text.contains("0123456789") && !text.contains("another-credential"), "{text}");
    }
    let in_use = world.with(&admin, "DELETE", &format!("{REGISTRIES}/{registry}"), &Value::Null).await;
    assert_eq!(in_use.refusal(), (400, "registry_in_use"));
    assert_eq!(world.with(&admin, "DELETE", &path, &Value::Null).await.status, 200);
    assert_eq!(world.with(&admin, "GET", &path, &Value::Null).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn what_is_found_is_told_to_the_operator_and_used_by_nobody() {
    let (world, admin, upstream, _) = world().await;
    let found = world.operator("POST", "/api/operator/providers/detect", &Value::Null).await;
    assert_eq!((found.status, text(&found.body["data"][0]["name"])), (200, "ollama"), "{}", found.body);
    assert_eq!(world.with(&admin, "GET", PROVIDERS, &Value::Null).await.body["data"], json!([]));
    assert!(upstream.asked.lock().is_empty());
}

#[tokio::test]
async fn another_host_asks_for_the_credential_anew() {
    let (world, admin, _, registry) = world().await;
    let made = world.with(&admin, "POST", PROVIDERS, &at(&registry, "https://api.gpu.example")).await;
    let path = format!("{PROVIDERS}/{}", text(&made.body["id"]));
    // The same host on another path keeps it.
    let moved = world.with(&admin, "POST", &path, &json!({ "base_url": "https://api.gpu.example/x" })).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    for elsewhere in ["https://evil.example/x", "https://api.gpu.example:8443/x"] {
        let refused = world.with(&admin, "POST", &path, &json!({ "base_url": elsewhere })).await;
        assert_eq!(
            (refused.refusal(), text(&refused.body["error"]["param"])),
            ((400, "credential_needed"), "credential")
        );
    }
    let both = json!({ "base_url": "https://other.example", "credential": CREDENTIAL });
    assert_eq!(world.with(&admin, "POST", &path, &both).await.status, 200);
    let none = json!({ "base_url": "https://third.example", "credential": null });
    let none = world.with(&admin, "POST", &path, &none).await;
    assert_eq!((none.status, none.body["credential"].clone()), (200, Value::Null), "{}", none.body);
}

#[tokio::test]
async fn a_foreign_provider_is_an_unknown_one() {
    let (mut world, _, _, registry) = world().await;
    let made = world.operator_in("acme", "POST", PROVIDERS, &at(&registry, "https://api.gpu.example")).await;
    assert_eq!(made.status, 200, "{}", made.body);
    world.organization("other", OrganizationState::Active).await;
    let id = text(&made.body["id"]).to_owned();
    for (method, tail, body) in [
        ("GET", "", Value::Null),
        ("POST", "", json!({ "enabled": false })),
        ("DELETE", "", Value::Null),
        ("POST", "/test", Value::Null),
    ] {
        let ask = async |id: &str| world.operator_in("other", method, &format!("{PROVIDERS}/{id}{tail}"), &body).await;
        let foreign = ask(&id).await;
        let unknown = ask("prv_0000000000000000000000").await;
        let malformed = ask("nonsense").await;
        assert_eq!(foreign.refusal(), (404, "not_found"));
        assert_eq!((&foreign.bytes, &foreign.headers), (&unknown.bytes, &unknown.headers));
        assert_eq!((&foreign.bytes, &foreign.headers), (&malformed.bytes, &malformed.headers));
    }
    let registry = world.operator_in("other", "POST", PROVIDERS, &at(&registry, "https://api.gpu.example")).await;
    assert_eq!(registry.refusal(), (404, "not_found"), "another's registry takes nobody in");
    let list = world.operator_in("other", "GET", PROVIDERS, &Value::Null).await;
    assert_eq!(list.body["data"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_a_provider_is_refused_with_its_member() {
    let (world, admin, _, registry) = world().await;
    for base_url in [
        "http://api.gpu.example.",
        "https://user@api.example",
        "https://127.0.0.1",
        "https://[::1]",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://2130706433",
        "ftp://api.example",
        "https://8.8.8.8:22",
        "file:///etc/passwd",
        "https://api.example?x=1",
    ] {
        let refused = world.with(&admin, "POST", PROVIDERS, &at(&registry, base_url)).await;
        let told = (refused.refusal(), text(&refused.body["error"]["param"]));
        assert_eq!(told, ((400, "invalid_value"), "base_url"), "{base_url}: {}", refused.body);
    }
    let listed = world.with(&admin, "POST", PROVIDERS, &at(&registry, "http://10.9.1.1:8000/v1")).await;
    assert_eq!(listed.status, 200, "the operator lists that network: {}", listed.body);
    let taken = world.with(&admin, "POST", PROVIDERS, &at(&registry, "https://api.gpu.example")).await;
    assert_eq!((taken.refusal(), text(&taken.body["error"]["param"])), ((400, "name_taken"), "models"));
    for (member, value, param) in [
        ("dialect", json!("simulator"), "dialect"),
        ("dialect", json!("telnet"), "dialect"),
        ("credential", json!("two words"), "credential"),
        ("credential", json!(""), "credential"),
        ("models", json!(["a", "a"]), "models"),
        ("models", json!(["../up"]), "models.0"),
        ("models", json!([{ "name": "a", "endpoints": ["models"] }]), "models.0"),
        ("models", json!([{ "name": "a", "endpoints": [] }]), "models.0"),
        ("max_concurrency", json!(-1), "max_concurrency"),
    ] {
        let mut body = at(&registry, "https://second.example");
        body["name"] = json!("second");
        body[member] = value.clone();
        let refused = world.with(&admin, "POST", PROVIDERS, &body).await;
        let told = (refused.refusal(), text(&refused.body["error"]["param"]));
        assert_eq!(told, ((400, "invalid_value"), param), "{member} {value}: {}", refused.body);
        assert!(!refused.body.to_string().contains("two words"), "a refused credential is not repeated");
    }
}

#[tokio::test]
async fn who_reaches_one_environment_changes_nothing_that_others_see() {
    let (world, admin, _, everywhere) = world().await;
    let policy = json!({ "creators": "admins" });
    assert_eq!(world.with(&admin, "POST", "/v1/organization/policy", &policy).await.status, 200);
    let here = world.with(&admin, "GET", "/v1/organization", &Value::Null).await;
    let here = text(&here.body["default_environment_id"]).to_owned();
    let there = world.with(&admin, "POST", "/v1/organization/projects", &json!({ "name": "staging" })).await;
    let there = text(&there.body["id"]).to_owned();
    let body = json!({ "name": "near", "class": "admin", "role": "admin", "policy": { "reach": "environment" } });
    let near = world.with(&admin, "POST", "/v1/organization/api_keys", &body).await;
    let near = text(&near.body["value"]).to_owned();
    let registry = async |key: &str, slug: &str, environment: Option<&str>| {
        let mut body = json!({ "name": slug, "slug": slug });
        if let Some(id) = environment {
            body["environment_id"] = json!(id);
        }
        world.with(key, "POST", REGISTRIES, &body).await
    };
    let hidden = registry(&admin, "hidden", Some(&there)).await;
    let hidden = text(&hidden.body["id"]).to_owned();
    assert_eq!(registry(&near, "wide", None).await.refusal(), (403, "permission_denied"));
    assert_eq!(registry(&near, "far", Some(&there)).await.refusal(), (404, "not_found"));
    let own = registry(&near, "near", Some(&here)).await;
    assert_eq!(own.status, 200, "{}", own.body);
    let own = text(&own.body["id"]).to_owned();

    let provider = async |key: &str, name: &str, registry: &str| {
        let mut body = at(registry, "https://api.gpu.example");
        body["name"] = json!(name);
        world.with(key, "POST", PROVIDERS, &body).await
    };
    assert_eq!(provider(&near, "a", &everywhere).await.refusal(), (403, "permission_denied"));
    assert_eq!(provider(&near, "a", &hidden).await.refusal(), (404, "not_found"));
    let mine = provider(&near, "mine", &own).await;
    assert_eq!(mine.status, 200, "{}", mine.body);
    let mine = format!("{PROVIDERS}/{}", text(&mine.body["id"]));
    let shared = provider(&admin, "shared", &everywhere).await;
    let secret = provider(&admin, "secret", &hidden).await;
    for (path, refusal) in [
        (format!("{PROVIDERS}/{}", text(&shared.body["id"])), (403, "permission_denied")),
        (format!("{PROVIDERS}/{}", text(&secret.body["id"])), (404, "not_found")),
        (format!("{REGISTRIES}/{everywhere}"), (403, "permission_denied")),
        (format!("{REGISTRIES}/{hidden}"), (404, "not_found")),
    ] {
        let read = world.with(&near, "GET", &path, &Value::Null).await;
        assert_eq!(read.status, if refusal.0 == 403 { 200 } else { 404 }, "{path}");
        assert_eq!(world.with(&near, "POST", &path, &json!({ "name": "x" })).await.refusal(), refusal, "{path}");
        assert_eq!(world.with(&near, "DELETE", &path, &Value::Null).await.refusal(), refusal, "{path}");
    }
    let moved = world.with(&near, "POST", &mine, &json!({ "registry_id": everywhere })).await;
    assert_eq!(moved.refusal(), (403, "permission_denied"));
    assert_eq!(world.with(&near, "POST", &mine, &json!({ "enabled": false })).await.status, 200);
    assert_eq!(world.with(&near, "DELETE", &mine, &Value::Null).await.status, 200);
    assert_eq!(world.with(&near, "DELETE", &format!("{REGISTRIES}/{own}"), &Value::Null).await.status, 200);
}
