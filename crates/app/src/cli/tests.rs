//! The command line against the management plane in this very process.

use super::arguments::{Cli, with_json_fields};
use super::keys;
use super::transport::{Transport, target};
use crate::config::Variables;
use clap::{CommandFactory as _, Parser as _};
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

fn arguments(line: &str) -> Vec<String> {
    let typed = line.split(' ').map(OsString::from);
    with_json_fields(typed).into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn json_takes_fields_only_where_fields_stand() {
    assert_eq!(arguments("claviger keys list --json id,name"), ["claviger", "keys", "list", "--json=id,name"]);
    assert_eq!(arguments("claviger explain --json req_1"), ["claviger", "explain", "--json", "req_1"]);
    assert_eq!(arguments("claviger --json key list"), ["claviger", "--json", "key", "list"]);
    let parsed = Cli::try_parse_from(with_json_fields("claviger keys list --json -q".split(' ').map(OsString::from)));
    assert!(parsed.is_ok_and(|cli| cli.global.json.as_deref() == Some("") && cli.global.quiet));
}

#[test]
fn no_flag_takes_a_secret() {
    let mut command = Cli::command();
    command.build();
    let mut waiting = vec![command];
    while let Some(next) = waiting.pop() {
        for argument in next.get_arguments() {
            let name = argument.get_id().as_str();
            let is_secret = ["password", "secret", "token", "admin_key"].contains(&name);
            assert!(!is_secret, "{} takes {name}", next.get_name());
        }
        waiting.extend(next.get_subcommands().cloned());
    }
}

#[test]
fn a_target_is_encoded() {
    assert_eq!(target("/x", &[("a", Some("b/c d&e")), ("f", None), ("g", Some("ü"))]), "/x?a=b%2Fc%20d%26e&g=%C3%BC");
}

#[tokio::test]
async fn a_fresh_directory_is_made_by_set_up_where_it_is_named_and_by_nothing_else() {
    let folder = TempDir::new().expect("a temporary directory");
    let data = folder.path().join("data");
    let mut global = Cli::try_parse_from(["claviger", "credits"]).expect("it parses").global;
    global.data = Some(data.clone());
    global.config = Some(folder.path().join("claviger.toml"));
    std::fs::write(folder.path().join("claviger.toml"), "").expect("written");
    let variables = Variables::default();
    assert!(Transport::choose(&global, &variables, false).await.is_err());
    assert!(!data.exists());
    let mut unnamed = global.clone();
    unnamed.data = None;
    let refused = Transport::choose(&unnamed, &variables, true).await.err().map(|error| error.to_string());
    assert!(refused.is_some_and(|text| text.contains("no data directory") && text.contains("claviger serve")));

    let transport = Transport::choose(&global, &variables, true).await.unwrap_or_else(|error| panic!("{error}"));
    let body = json!({ "organization": "Acme", "email": "li@acme.io", "password": "correct horse battery" });
    assert!(transport.post("/api/operator/setup", &body).await.is_ok());
    transport
        .post("/v1/organization/api_keys", &json!({ "name": "ci" }))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(keys::find(&transport, "ci").await.is_ok_and(|id| id.starts_with("key_")));
    assert!(keys::find(&transport, "nobody").await.is_err());
    let first = keys::find(&transport, "ci").await.unwrap_or_default();
    let revoked = transport.post(&format!("/v1/organization/api_keys/{first}/revoke"), &json!({})).await;
    assert!(revoked.is_ok());
    assert!(keys::find(&transport, "ci").await.is_ok_and(|id| id == first), "a key that ended has its name still");
    let again = transport.post("/v1/organization/api_keys", &json!({ "name": "ci" })).await;
    assert!(again.is_ok());
    assert!(keys::find(&transport, "ci").await.is_ok_and(|id| id != first), "the living one goes before");
    transport.close().await;

    let mode = |name: &str| std::fs::metadata(data.join(name)).map(|found| found.permissions().mode() & 0o777).ok();
    assert_eq!((mode(""), mode("pepper"), mode("audit-key")), (Some(0o700), Some(0o600), Some(0o600)));
    std::fs::rename(data.join("audit-key"), data.join("kept")).expect("moved");
    let refused = Transport::choose(&global, &variables, false).await.err().map(|error| error.to_string());
    assert!(refused.is_some_and(|text| text.contains("audit-key is missing")));
    std::fs::rename(data.join("kept"), data.join("audit-key")).expect("moved");
    // The store was let go of, and another pepper is noticed before anything is done with it.
    std::fs::write(data.join("pepper"), format!("1 {}\n", "ab".repeat(32))).expect("written");
    let refused = Transport::choose(&global, &variables, false).await.err().map(|error| error.to_string());
    assert!(
        refused.as_deref().is_some_and(|text| text.contains("is not the one this database was made with")),
        "{refused:?}"
    );
}
