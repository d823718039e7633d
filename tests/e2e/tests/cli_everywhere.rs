//! What holds for every command alike: which organization is meant, what `--jq` prints, what a dry run leaves undone.

use claviger_e2e::{Result, World, text};

#[tokio::test(flavor = "multi_thread")]
async fn one_organization_is_meant_until_another_is_and_a_dry_run_changes_nothing() -> Result<()> {
    let world = World::usual().await?;
    let home = world.folder.path().join("home");
    std::fs::create_dir(&home)?;
    let claviger = async |line: &str| {
        let mut command = tokio::process::Command::new(claviger_e2e::binary("claviger")?);
        command.args(line.split(' ')).args(["--data", "data", "--config", "claviger.toml"]);
        command.current_dir(world.folder.path()).env("HOME", &home).env_remove("XDG_CONFIG_HOME");
        claviger_e2e::Ran::of(command, "").await
    };
    assert_eq!(claviger("organizations create Second").await?.code, 0);
    let ambiguous = claviger("keys list").await?;
    assert!(ambiguous.code != 0, "two, and none named: {}", ambiguous.out);
    let used = claviger("organizations use second").await?;
    assert_eq!((used.code, used.out.contains("Second")), (0, true), "{}", used.err);
    assert_eq!(claviger("keys create theirs --to-file theirs.txt -q").await?.code, 0);
    let meant = claviger("keys list --jq .[].name").await?;
    assert_eq!((meant.code, meant.out.trim()), (0, "theirs"), "{}", meant.err);
    let named = claviger("keys list --organization acme --jq .[].name").await?;
    assert!(named.code == 0 && !named.out.contains("theirs"), "a flag wins: {}", named.out);
    assert_eq!(claviger("organizations use nobody").await?.code, 3);
    assert_eq!(claviger("organizations use acme").await?.code, 0);
    assert_eq!(claviger("organizations get --jq .slug").await?.out.trim(), "acme");
    assert_eq!(claviger("keys list --jq .[").await?.code, 2, "refused before anything is asked");
    assert_eq!(claviger("keys list --jq .[0].id.x").await?.code, 1);

    let before = claviger("keys list --all --json").await?.out;
    for line in [
        "keys create unmade --dry-run --to-file unmade.txt",
        "keys revoke setup --dry-run",
        "environments create unmade --dry-run",
        "grants create acme 5 --reason test --dry-run",
    ] {
        let dry = claviger(line).await?;
        let told = dry.json();
        assert_eq!((dry.code, dry.err.trim()), (0, "A dry run: nothing was sent."), "{line}");
        assert!(told["method"].is_string() && text(&told["path"]).starts_with('/'), "{line}: {}", dry.out);
    }
    assert_eq!(claviger("keys list --all --json").await?.out, before);
    assert!(!world.folder.path().join("unmade.txt").exists());
    assert_eq!(claviger("serve --dry-run").await?.code, 2);
    Ok(())
}
