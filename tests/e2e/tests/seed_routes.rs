//! Seed checks that hold on every route: both headers, which of them wins, what nobody and a stranger get, and what a
//! key of one organization reaches there and elsewhere. The routes are those of the published description, so a new
//! endpoint is checked without being named here. The ids in the names are those of the seed checks.

use claviger_e2e::{Answer, Result, World, chat, refused, text, workspace_root};
use serde_json::{Value, json};

const KEYS: &str = "/v1/organization/api_keys";
/// What ends what it is called with; its own tests have it.
const ENDS_ITS_CALLER: &str = "/v1/key/revoke";

/// An operation that a key opens.
struct Route {
    method: String,
    path: String,
    /// Which kind of key it takes.
    is_management: bool,
}

/// Every operation of the published description that takes a key, with ids that nobody has.
fn routes() -> Result<Vec<Route>> {
    let text = std::fs::read_to_string(workspace_root().join("docs/openapi.json"))?;
    let document: Value = serde_json::from_str(&text)?;
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let security = operation["security"].as_array().cloned().unwrap_or_default();
            let takes = |scheme: &str| security.iter().any(|way| !way[scheme].is_null());
            assert_eq!(takes("bearer"), takes("x_api_key"), "{method} {path}: either header or none");
            if takes("bearer") && path != ENDS_ITS_CALLER {
                let path = filled(path);
                let is_management = path.starts_with("/v1/organization");
                routes.push(Route { method: method.to_uppercase(), path, is_management });
            }
        }
    }
    assert!(routes.len() > 70, "{}", routes.len());
    Ok(routes)
}

/// The path with `nobody` for every captured segment.
fn filled(path: &str) -> String {
    let segment = |part: &str| if part.starts_with('{') { "nobody".to_owned() } else { part.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

async fn call(world: &World, route: &Route, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut all = headers.to_vec();
    let body = if route.method == "POST" { "{}" } else { "" };
    if !body.is_empty() {
        all.push(("content-type", "application/json"));
    }
    world.client.send(&route.method, &route.path, &all, body.as_bytes()).await
}

/// Status, code and who was named: everything about a refusal that may not depend on the header.
fn outcome(answer: &Answer) -> (u16, String, String) {
    let (status, code) = said(answer);
    (status, code, answer.header("www-authenticate").to_owned())
}

/// Status and code, by the header that every error has: bodies of Anthropic's shape name no code.
fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.header("x-claviger-code").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_1_s3_5_s3_6_s3_9_s3_10_every_route_reads_both_headers_the_same_way() -> Result<()> {
    let world = World::usual().await?;
    let inference = world.key("everywhere").await?;
    for route in routes()? {
        let name = format!("{} {}", route.method, route.path);
        let good = if route.is_management { &world.admin_key } else { &inference };
        let bearer = format!("Bearer {good}");
        let (bearer, good) = (bearer.as_str(), good.as_str());
        let by_bearer = call(&world, &route, &[("authorization", bearer)]).await?;
        assert!(by_bearer.status != 401 && by_bearer.status < 500, "{name}: {}", by_bearer.text());
        let by_header = call(&world, &route, &[("x-api-key", good)]).await?;
        assert_eq!(outcome(&by_header), outcome(&by_bearer), "S3-5, S3-6: {name}");
        let both = call(&world, &route, &[("x-api-key", good), ("authorization", "Bearer bad")]).await?;
        assert_eq!(outcome(&both), outcome(&by_bearer), "S3-9: {name}");
        let both = call(&world, &route, &[("x-api-key", "bad"), ("authorization", bearer)]).await?;
        assert_eq!(said(&both), refused(401, "invalid_api_key"), "S3-9: {name}");
        let basic = format!("Basic {good}");
        for (headers, code) in [
            (vec![], "missing_api_key"),
            (vec![("authorization", basic.as_str())], "missing_api_key"),
            (vec![("x-api-key", ""), ("authorization", bearer)], "missing_api_key"),
            (vec![("x-api-key", &good[..good.len() - 1])], "invalid_api_key"),
        ] {
            let answer = call(&world, &route, &headers).await?;
            assert_eq!(said(&answer), refused(401, code), "S3-10: {name} with {headers:?}: {}", answer.text());
            assert!(answer.header("www-authenticate").starts_with("Bearer realm=\"api\""), "{name}");
            assert_eq!(answer.json()["error"]["type"], "authentication_error", "{name}");
        }
    }
    assert_eq!(world.upstream.count().await?, 0, "nothing of this is a call to a model");
    Ok(())
}

/// The names in the answer of a list.
fn names(answer: &Answer, field: &str) -> Vec<String> {
    answer.json()["data"].as_array().into_iter().flatten().map(|row| text(&row[field])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_7_s3_13_one_key_opens_models_and_every_list_of_its_organization_unless_restricted() -> Result<()> {
    let world = World::usual().await?;
    let staging = json!({ "name": "staging" });
    let staging = world.client.post("/v1/organization/projects", &world.admin_key, &staging).await?;
    assert_eq!(staging.status, 200, "{}", staging.text());
    let elsewhere = format!("/v1/organization/projects/{}/service_accounts", text(&staging.json()["id"]));
    for path in [format!("{}/service_accounts", world.environment_path().await?), elsewhere] {
        let robot = json!({ "name": "robot", "create_service_account_only": true });
        let made = world.client.post(&path, &world.admin_key, &robot).await?;
        assert_eq!(made.status, 200, "{}", made.text());
    }
    let registry =
        world.client.post("/v1/organization/registries", &world.admin_key, &json!({ "name": "own" })).await?;
    assert_eq!(registry.status, 200, "{}", registry.text());
    let key = world.key("ci-deploy").await?;
    assert_eq!(world.ask(&key, "free/echo").await?.status, 200);
    for header in ["x-api-key", "authorization"] {
        let value = if header == "x-api-key" { key.clone() } else { format!("Bearer {key}") };
        let list = async |path: &str| {
            let headers = [(header, value.as_str()), ("content-type", "application/json")];
            world.client.send("POST", path, &headers, br#"{"orgSlug":"acme"}"#).await
        };
        let mut environments = names(&list("/api/environments/list").await?, "name");
        environments.sort();
        assert_eq!(environments, ["production", "staging"], "{header}: every environment, not only its own");
        assert_eq!(names(&list("/api/agents/list").await?, "name"), ["robot", "robot"], "{header}");
        assert_eq!(names(&list("/api/registries/list").await?, "name"), ["own"], "{header}");
    }
    // Restriction is asked for.
    let narrow = world.key_with(&json!({ "policy": { "endpoints": ["chat.completions", "environments"] } })).await?;
    let body = json!({ "orgSlug": "acme" });
    assert_eq!(world.client.post("/api/environments/list", &narrow, &body).await?.status, 200);
    for path in ["/api/agents/list", "/api/registries/list"] {
        let answer = world.client.post(path, &narrow, &body).await?;
        assert_eq!(answer.refusal(), refused(403, "endpoint_not_allowed"), "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_2_a_key_of_one_organization_learns_nothing_of_another() -> Result<()> {
    let world = World::usual().await?;
    world.claviger(&["organizations", "create", "Second"]).await?;
    let make = ["keys", "create", "theirs", "--organization", "second", "--to-file", "theirs.txt", "-q"];
    let foreign = world.claviger(&make).await?;
    let foreign = foreign.trim();
    let theirs = std::fs::read_to_string(world.folder.path().join("theirs.txt"))?;
    let ours = world.key("ours").await?;
    for (key, own, other) in [(ours.as_str(), "acme", "second"), (theirs.trim(), "second", "acme")] {
        for path in ["/api/environments/list", "/api/agents/list", "/api/registries/list"] {
            let ask = async |slug: &str| world.client.post(path, key, &json!({ "orgSlug": slug })).await;
            assert_eq!(ask(own).await?.status, 200, "{own}: {path}");
            let (there, nowhere) = (ask(other).await?, ask("nobody").await?);
            assert_eq!(there.refusal(), refused(404, "not_found"), "{own}: {path}");
            assert_eq!(there.body, nowhere.body, "{own}: {path}");
            assert_eq!(shown(&there), shown(&nowhere), "{own}: {path}");
        }
    }
    for (method, tail) in [("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/disable")] {
        let act = async |id: &str| {
            let route = Route { method: method.to_owned(), path: format!("{KEYS}/{id}{tail}"), is_management: true };
            let bearer = format!("Bearer {}", world.admin_key);
            call(&world, &route, &[("authorization", &bearer)]).await
        };
        let (there, nowhere) = (act(foreign).await?, act("key_000000000000").await?);
        assert_eq!(there.refusal(), refused(404, "not_found"), "{method} {tail}");
        assert_eq!((&there.body, shown(&there)), (&nowhere.body, shown(&nowhere)), "{method} {tail}");
    }
    let list = world.client.get(&format!("{KEYS}?limit=100"), &world.admin_key).await?;
    assert!(!list.text().contains(foreign), "{}", list.text());
    assert_eq!(world.client.get("/v1/models", theirs.trim()).await?.status, 200, "nothing of this touched their key");
    Ok(())
}

/// The names of all headers, and what they say, but for those that say something else each time.
fn shown(answer: &Answer) -> Vec<(String, String)> {
    let each_its_own = ["x-request-id", "date", "openai-processing-ms"];
    let mut shown: Vec<(String, String)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .map(|(name, value)| if each_its_own.contains(&name.as_str()) { (name, String::new()) } else { (name, value) })
        .collect();
    shown.sort();
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_9_with_two_good_keys_x_api_key_pays() -> Result<()> {
    let world = World::usual().await?;
    let (payer, other) = (world.create_key(&json!({ "name": "payer" })).await?, world.key("other").await?);
    let before = world.balance().await?;
    let value = text(&payer["value"]);
    let bearer = format!("Bearer {other}");
    let headers = [("x-api-key", value.as_str()), ("authorization", &bearer), ("content-type", "application/json")];
    for path in ["/v1/chat/completions", "/api/chat/completions", "/v1/completions", "/v1/embeddings"] {
        let body = match path {
            "/v1/completions" => json!({ "model": "paid/text", "prompt": "Say hello" }),
            "/v1/embeddings" => json!({ "model": "paid/embed", "input": "Say hello" }),
            _ => chat("paid/echo"),
        };
        let answer = world.client.send("POST", path, &headers, body.to_string().as_bytes()).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let record = world.record(answer.header("x-request-id")).await?;
        assert_eq!(record["api_key_id"], payer["id"], "{path}: {record}");
    }
    assert!(world.balance().await? < before);
    Ok(())
}
