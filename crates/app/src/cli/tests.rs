//! The command line against the management plane in this very process.

use super::arguments::{Cli, with_json_fields};
use super::output::Output;
use super::transport::{Transport, target};
use super::{arguments, keys, places};
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
fn no_option_of_one_command_is_called_like_one_of_all() {
    let command = Cli::command();
    let of_all: Vec<_> = command.get_arguments().filter(|argument| argument.is_global_set()).cloned().collect();
    let mut waiting: Vec<_> = command.get_subcommands().cloned().collect();
    while let Some(next) = waiting.pop() {
        for argument in next.get_arguments() {
            let is_taken = of_all.iter().any(|other| other.get_id() == argument.get_id());
            assert!(!is_taken, "{} has a {} of its own", next.get_name(), argument.get_id());
        }
        waiting.extend(next.get_subcommands().cloned());
    }
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

#[test]
#[expect(clippy::disallowed_methods, reason = "futures of an unoptimized build need more stack than a test has")]
fn places_are_made_named_and_ended_by_the_command_line() {
    let drive = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(drive_places());
    };
    let thread = std::thread::Builder::new().stack_size(32 * 1024 * 1024).spawn(drive).expect("a thread");
    thread.join().expect("every promise holds");
}

async fn drive_places() {
    let folder = TempDir::new().expect("a temporary directory");
    std::fs::write(folder.path().join("claviger.toml"), "").expect("written");
    let parse = |line: &str| {
        let mut cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        cli.global.data = Some(folder.path().join("data"));
        cli.global.config = Some(folder.path().join("claviger.toml"));
        cli
    };
    let mut global = parse("claviger credits").global;
    global.organization = Some("acme".to_owned());
    let transport =
        Transport::choose(&global, &Variables::default(), true).await.unwrap_or_else(|error| panic!("{error}"));
    let body = json!({ "organization": "Acme", "email": "li@acme.io", "password": "correct horse battery" });
    assert!(transport.post("/api/operator/setup", &body).await.is_ok());
    let none = &Variables::default();
    let run = async |line: &str| {
        let cli = parse(line);
        let output = Output::new(&cli.global);
        match cli.command {
            arguments::Command::Organizations(it) => places::organizations(&transport, &output, none, it).await,
            arguments::Command::Environments(command) => {
                places::environments(&transport, &output, &cli.global, command).await
            }
            arguments::Command::Agents(command) => places::agents(&transport, &output, &cli.global, command).await,
            other => panic!("{other:?}"),
        }
        .map(|_| ())
        .map_err(|failure| failure.to_string())
    };
    let list = async |path: &str| {
        let found = transport.get(path).await.unwrap_or_else(|error| panic!("{error}")).body;
        found["data"].as_array().cloned().unwrap_or_default()
    };
    for line in [
        "claviger organizations create Second --max-keys 3",
        "claviger organizations list",
        "claviger organizations edit --time-zone Asia/Shanghai",
        "claviger organization get",
        "claviger environments create staging",
        "claviger environments list --all",
        "claviger environments get staging",
        "claviger agents create deploys --environment staging --role member",
        "claviger agents list --environment staging",
    ] {
        assert_eq!(run(line).await, Ok(()), "{line}");
    }
    let organizations = list("/api/operator/organizations").await;
    assert!(organizations.iter().any(|row| row["slug"] == "second" && row["max_keys"] == 3), "{organizations:?}");
    let zone = transport.get("/v1/organization").await.unwrap_or_else(|error| panic!("{error}")).body;
    assert_eq!(zone["reporting_zone"], "Asia/Shanghai");
    let staging = keys::find_environment(&transport, "staging").await.unwrap_or_else(|error| panic!("{error}"));
    let accounts = format!("/v1/organization/projects/{staging}/service_accounts");
    let agents = list(&accounts).await;
    let agent = agents[0]["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(agents[0]["role"], "member");
    let trust = format!(
        "claviger agents trust create {agent} --environment staging --issuer https://id.acme.io --audience us \
         --subject a --claim ref=main"
    );
    let refused = run(&trust).await.err().unwrap_or_default();
    assert!(refused.contains("an issuer whose tokens the operator lets agents exchange"), "{refused}");
    assert_eq!(run(&format!("claviger agents trust list {agent} --environment staging")).await, Ok(()));
    let asked = run("claviger environments archive staging").await.err().unwrap_or_default();
    assert!(asked.contains("add -y"), "nobody is asked where nobody answers: {asked}");
    assert_eq!(run(&format!("claviger agents end {agent} --environment staging -y")).await, Ok(()));
    assert_eq!(run("claviger environments archive staging -y").await, Ok(()));
    assert!(list(&accounts).await.is_empty());
    transport.close().await;
}
