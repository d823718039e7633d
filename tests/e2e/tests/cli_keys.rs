//! The life of a key by the command line: made with everything it may be, changed, rotated, ended; and every exit code.

use claviger_e2e::{Engine, Plan, Ran, Result, World, binary};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tokio::process::Command;

async fn ok(world: &World, arguments: &[&str]) -> Result<Ran> {
    let ran = world.run(arguments, "").await?;
    anyhow::ensure!(ran.code == 0, "claviger {} ended with {}:\n{}{}", arguments.join(" "), ran.code, ran.out, ran.err);
    Ok(ran)
}

async fn models(world: &World, key: &str) -> Result<(u16, String)> {
    Ok(world.client.get("/v1/models", key.trim()).await?.refusal())
}

fn revoked() -> (u16, String) {
    (401, "key_revoked".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flag_of_create_reaches_the_key_and_edit_changes_what_it_names() -> Result<()> {
    let world = World::usual().await?;
    let projects = world.client.get("/v1/organization/projects", &world.admin_key).await?.json();
    let project = projects["data"][0]["id"].as_str().unwrap_or_default().to_owned();
    let agents = format!("/v1/organization/projects/{project}/service_accounts");
    let agent = world
        .client
        .post(&agents, &world.admin_key, &json!({ "name": "ci", "create_service_account_only": true }))
        .await?
        .json();
    let flags = "--tag checkout --expires 90d --agent ci --stored-in vault --model free/*,paid/echo --endpoint models \
                 --ip 10.0.0.0/8 --ip 127.0.0.1 --deny-ip 10.1.0.0/16 --rpm 60 --tpm 1000 --concurrency 4 --burst 9 \
                 --reach environment --permission keys.verify --test --to-file made.txt --json";
    let line: Vec<&str> = ["keys", "create", "narrow"].into_iter().chain(flags.split_whitespace()).collect();
    let made = ok(&world, &line).await?.json();
    assert_eq!(made["value"], Value::Null, "the text is in the file and nowhere else");
    let shown = ok(&world, &["keys", "get", "narrow", "--json"]).await?.json();
    assert_eq!(shown["source_tag"], "checkout");
    assert_eq!((&shown["owner"]["id"], &shown["environment_id"]), (&agent["id"], &json!(project)));
    assert_eq!((&shown["stored_in"], &shown["test"]), (&json!("vault"), &json!(true)));
    assert_eq!(shown["limits"], json!({ "rpm": 60, "tpm": 1000, "concurrency": 4, "burst": 9, "budgets": [] }));
    let policy = json!({
        "models": ["free/*", "paid/echo"], "endpoints": ["models"], "ips": ["10.0.0.0/8", "127.0.0.1"],
        "ips_denied": ["10.1.0.0/16"], "reach": "environment", "permissions": ["keys.verify"],
    });
    assert_eq!(shown["policy"], policy);

    let edited = ok(&world, &["keys", "edit", "narrow", "--name", "wide", "--clear", "tag,rpm,models", "--tpm", "7"]);
    assert!(edited.await?.out.starts_with("Edited key_"));
    let edited = ok(&world, &["keys", "edit", "wide", "--shadow", "--rpm", "5", "--model", "free/*", "--json"]).await?;
    let edited = edited.json();
    assert_eq!((&edited["source_tag"], &edited["limits"]["rpm"]), (&Value::Null, &Value::Null));
    assert_eq!((&edited["limits"]["tpm"], &edited["policy"]["models"]), (&json!(7), &Value::Null));
    assert_eq!((&edited["shadow"]["rpm"], &edited["shadow"]["models"]), (&json!(5), &json!(["free/*"])));
    let promoted = ok(&world, &["keys", "edit", "wide", "--promote-shadow", "--json"]).await?.json();
    assert_eq!((&promoted["limits"]["rpm"], &promoted["shadow"]), (&json!(5), &Value::Null));
    assert_eq!(promoted["policy"]["models"], json!(["free/*"]));
    assert_eq!(promoted["policy"]["ips"], policy["ips"], "what the shadow did not say stays");

    for (line, code, told) in [
        ("keys edit wide --name x --if-version 1", 5, "version_conflict"),
        ("keys edit wide", 2, "nothing to change"),
        ("keys edit wide --rpm 0", 2, "invalid_value"),
        ("keys edit wide --clear colour", 2, "stored-in"),
        ("keys edit wide --promote-shadow", 5, "no shadow"),
        ("keys get nobody", 3, "no key is named `nobody`"),
        ("keys get key_000000000000", 3, "There is no key `key_000000000000`."),
        ("keys create x --agent nobody", 3, "no agent is named"),
        ("keys create x --environment nobody", 3, "no environment is named"),
    ] {
        let ran = world.run(&line.split(' ').collect::<Vec<_>>(), "").await?;
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.err.contains(told) && ran.out.is_empty(), "{line}: {}{}", ran.out, ran.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_issued_again_and_its_overlap_ended_by_the_command_line() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        let first = ok(&world, &["keys", "create", "app"]).await?.out;
        assert_eq!(models(&world, &first).await?.0, 200);
        let rotated = ok(&world, &["keys", "rotate", "app", "--overlap", "2h", "--reason", "yearly"]).await?;
        let second = rotated.out;
        assert!(rotated.err.contains("Rotated key_") && rotated.err.contains("older text works until 20"));
        assert_eq!((models(&world, &first).await?.0, models(&world, &second).await?.0), (200, 200));
        let ran = world.run(&["keys", "reissue", "app"], "").await?;
        assert_eq!((ran.code, ran.err.contains("secret_already_used")), (2, true), "{}", ran.err);

        let ran = world.run(&["keys", "end-overlap", "app"], "").await?;
        assert_eq!((ran.code, ran.err.contains("add -y")), (2, true), "what ends for ever is asked for: {}", ran.err);
        let extended = ok(&world, &["keys", "extend-overlap", "app", "--for", "3d"]).await?.out;
        assert!(extended.starts_with("Until 20"), "{extended}");
        let shown = ok(&world, &["keys", "get", "app"]).await?.out;
        assert!(shown.contains("secret 2") && shown.contains("secret 1") && shown.contains("ends 20"), "{shown}");
        let ended = ok(&world, &["keys", "end-overlap", "app", "-y"]).await?.out;
        assert!(ended.contains("Confirmed by 1 of 1 nodes"), "{ended}");
        assert_eq!(models(&world, &first).await?, revoked());
        let ran = world.run(&["keys", "end-overlap", "app", "-y"], "").await?;
        assert_eq!(ran.code, 5, "nothing older works any more: {}", ran.err);

        let third = ok(&world, &["keys", "rotate", "app", "--overlap", "0"]).await?.out;
        assert_eq!(models(&world, &second).await?, revoked(), "without overlap the older text ends at once");
        let fourth = ok(&world, &["keys", "reissue", "app"]).await?.out;
        assert_eq!((models(&world, &third).await?.0, models(&world, &fourth).await?.0), (401, 200));
        let ran = ok(&world, &["keys", "disable", "app"]).await?;
        assert!(ran.out.starts_with("Disabled key_"), "{}", ran.out);
        assert_eq!(models(&world, &fourth).await?, (401, "key_disabled".to_owned()));
        let ran = world.run(&["keys", "rotate", "app"], "").await?;
        assert!(ran.code == 2 && ran.err.contains("key_not_active"), "{}", ran.err);
        ok(&world, &["keys", "enable", "app", "-q"]).await?;
        assert_eq!(models(&world, &fourth).await?.0, 200);
        ok(&world, &["keys", "revoke", "app", "-y"]).await?;
        let ran = world.run(&["keys", "edit", "app", "--name", "again"], "").await?;
        assert!(ran.code == 5 && ran.err.contains("key_is_revoked"), "{}", ran.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_into_a_file_or_to_the_clipboard_and_is_not_made_where_it_cannot() -> Result<()> {
    let world = World::usual().await?;
    let folder = world.folder.path();
    let told = ok(&world, &["keys", "create", "filed", "--to-file", "key.txt", "-q"]).await?;
    assert!(told.out.starts_with("key_") && told.err.is_empty(), "{}{}", told.out, told.err);
    let key = std::fs::read_to_string(folder.join("key.txt"))?;
    assert_eq!(models(&world, &key).await?.0, 200);
    assert_eq!(std::fs::metadata(folder.join("key.txt"))?.permissions().mode() & 0o777, 0o600);
    ok(&world, &["keys", "create", "variable", "--to-env", ".env"]).await?;
    let line = std::fs::read_to_string(folder.join(".env"))?;
    let value = line.trim().strip_prefix("OPENAI_API_KEY=").unwrap_or_default();
    assert_eq!(models(&world, value).await?.0, 200);

    for refused in [&["--to-file", "key.txt"][..], &["-q"], &["--clipboard"]] {
        let line = [&["keys", "create", "unmade"], refused].concat();
        // No desktop runs here, whatever is installed.
        let ran = in_path(&world, "/nowhere", &line).await?;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    }
    let listed = ok(&world, &["keys", "list"]).await?.out;
    assert!(!listed.contains("unmade"), "a text with nowhere to go is not made: {listed}");

    let programs = folder.join("programs");
    std::fs::create_dir(&programs)?;
    let script = format!("#!/bin/sh\n/bin/cat > {}\n", folder.join("clipboard").display());
    std::fs::write(programs.join("wl-copy"), script)?;
    std::fs::set_permissions(programs.join("wl-copy"), Permissions::from_mode(0o755))?;
    let ran = in_path(&world, &programs.to_string_lossy(), &["keys", "create", "copied", "--clipboard"]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("the clipboard (wl-copy)"), "{}", ran.err);
    let copied = std::fs::read_to_string(folder.join("clipboard"))?;
    assert_eq!(models(&world, &copied).await?.0, 200);
    Ok(())
}

async fn in_path(world: &World, path: &str, arguments: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary("claviger")?);
    command.args(arguments).args(["--data", "data", "--config", "claviger.toml"]);
    command.current_dir(world.folder.path()).env("PATH", path);
    Ran::of(command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_printed_in_every_format() -> Result<()> {
    let world = World::usual().await?;
    world.create_key(&json!({ "name": "one, two", "source_tag": "=1+1" })).await?;
    let printed = async |format: &str| ok(&world, &["keys", "list", "--json", "name,source_tag", "-o", format]).await;
    assert_eq!(printed("json").await?.json()[0]["name"], "one, two");
    let lines = printed("jsonl").await?.out;
    assert_eq!(serde_json::from_str::<Value>(lines.lines().next().unwrap_or_default())?["source_tag"], "=1+1");
    let sheet = printed("csv").await?.out;
    assert!(sheet.starts_with("name,source_tag\n\"one, two\",'=1+1\n"), "{sheet}");
    let yaml = printed("yaml").await?.out;
    assert!(yaml.starts_with("-\n  name: \"one, two\"\n  source_tag: \"=1+1\"\n"), "{yaml}");
    let ran = world.run(&["keys", "list", "-o", "xml"], "").await?;
    assert!(ran.code == 2 && ran.err.contains("yaml"), "{}", ran.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_verified_and_a_leaked_one_looked_up_without_being_printed() -> Result<()> {
    let world = World::usual().await?;
    let key = ok(&world, &["keys", "create", "checked", "--model", "free/*"]).await?.out;
    let ran = world.run(&["keys", "verify"], &key).await?;
    assert!(ran.code == 0 && ran.out.starts_with("VALID  key_"), "{}{}", ran.out, ran.err);
    let ran = world.run(&["keys", "verify", "--model", "paid/echo", "--json"], &key).await?;
    assert_eq!((ran.code, &ran.json()["detail"]), (4, &json!("model_not_allowed")), "{}{}", ran.out, ran.err);
    let pasted = format!("api_key: \"{}\"\nanother: {V1}\n", key.trim());
    let ran = world.run(&["keys", "lookup", "--json"], &pasted).await?;
    assert_eq!((ran.code, &ran.json()[0]["match"]), (0, &json!("exact")), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("1 of 2") && !ran.out.contains(&key[17..37]), "{}", ran.out);
    ok(&world, &["keys", "disable", "checked"]).await?;
    let ran = world.run(&["keys", "verify"], &key).await?;
    assert!(ran.code == 4 && ran.out.starts_with("DISABLED"), "{}", ran.out);
    let ran = world.run(&["keys", "verify"], V1).await?;
    assert!(ran.code == 3 && ran.out.starts_with("NOT_FOUND"), "{}", ran.out);
    let ran = world.run(&["keys", "lookup", "key_000000000000"], "").await?;
    assert_eq!(ran.code, 3, "{}", ran.err);
    Ok(())
}

/// V1, V2 and what is wrong with their likes (`keys.md` §1.2).
const V1: &str = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
const V2: &str = "clv_test_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2geFg4";

async fn check(folder: &Path, input: &str, more: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary("claviger")?);
    command.args(["keys", "check"]).args(more).current_dir(folder);
    Ran::of(command, input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_offline_what_is_wrong_with_a_text_and_never_prints_it() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    for (key, told) in [(V1, "ok  key_0000000000AZ  live"), (V2, "ok  key_0000000000AZ  test")] {
        let ran = check(folder.path(), &format!("{key}\n"), &[]).await?;
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.starts_with(told), "{}", ran.out);
        assert!(!ran.out.contains(&key[24..40]), "{}", ran.out);
    }
    let changed = V1.replace("min8", "min9");
    for (text, told) in [
        (&V1[..45], "It has 45 characters, a key has 66: it looks cut off."),
        ("key_0000000000AZ", "That is a key id"),
        ("clv_…min8", "shortened form"),
        (&changed, "Its checksum does not match"),
        (&format!("\"{V1}\""), "Character 1 cannot occur in a key."),
        (&V1.replace("clv_", "eco_"), "Keys here start with 'clv_'."),
    ] {
        let ran = check(folder.path(), text, &[]).await?;
        assert!(ran.code == 1 && ran.out.contains(told), "{text}: {}{}", ran.out, ran.err);
        let said = check(folder.path(), text, &["--json"]).await?.json();
        assert!(said["ok"] == json!(false) && said["problem"].as_str().is_some_and(|text| text.contains(told)));
    }
    assert_eq!(check(folder.path(), "", &[]).await?.code, 2);
    let other = V1.replace("clv_", "eco_");
    let ran = check(folder.path(), &other, &["--prefix", "eco_"]).await?;
    assert!(ran.out.contains("checksum"), "the checksum covers the prefix: {}", ran.out);
    Ok(())
}
