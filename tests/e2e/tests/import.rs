//! Moving in at size: thousands of keys, an importer that is killed, a server that is killed, and every key once.

use aws_lc_rs::digest;
use claviger_e2e::{Plan, Program, Result, World, binary, eventually};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::process::Command;

/// More than five transactions, the last of them not full.
const KEYS: usize = 5_300;

/// A text as another system gave out.
fn text(number: usize) -> String {
    format!("sk-moved-{number:06}-Zq7Wm2Xk9Hj3Kp8VtB4c")
}

fn export() -> String {
    let mut csv = "sha256,name\n".to_owned();
    for number in 0..KEYS {
        let hash = digest::digest(&digest::SHA256, text(number).as_bytes());
        for byte in hash.as_ref() {
            let _ = write!(csv, "{byte:02x}");
        }
        let _ = writeln!(csv, ",moved {number}");
    }
    csv
}

/// Rows that are confirmed to be done, as the importer notes them for `--resume`; 0 without a note.
fn mark(world: &World) -> usize {
    let entries = std::fs::read_dir(world.folder.path()).into_iter().flatten().flatten();
    let note = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains(".claviger-import-"));
    note.and_then(|path| std::fs::read_to_string(path).ok()).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// An importer that runs by itself.
fn importer(world: &World, more: &[&str]) -> Result<Program> {
    let mut command = Command::new(binary("claviger")?);
    command.current_dir(world.folder.path()).args(["import", "csv", "keys.csv", "-q"]).args(more);
    command.args(["--data", "data", "--config", "claviger.toml"]);
    Program::start(command, &world.folder.path().join("import.log"))
}

async fn until(world: &World, rows: usize) -> Result<()> {
    eventually(120, "some batches are in", async || Ok((mark(world) >= rows).then_some(()))).await
}

/// Imported secrets, and how many of them differ.
async fn counted(world: &World) -> Result<String> {
    let sql = "SELECT COUNT(*) || ' ' || COUNT(DISTINCT digest) FROM secret WHERE recipe = 'sha256'";
    let mut sqlite = Command::new("sqlite3");
    let output = sqlite.arg(world.data().join("claviger.db")).args([".timeout 10000", sql]).output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_10_thousands_of_keys_move_in_once_through_a_killed_importer_and_a_killed_server() -> Result<()> {
    let mut world = Plan::default().keys("max_per_organization = 6000\n").start().await?;
    std::fs::write(world.folder.path().join("keys.csv"), export())?;

    let mut first = importer(&world, &[])?;
    until(&world, 1_000).await?;
    first.kill().await?;
    let done = mark(&world);
    assert!((1_000..KEYS).contains(&done), "it was killed in the middle: {done}");

    let mut second = importer(&world, &["--resume"])?;
    until(&world, done + 1_000).await?;
    world.kill().await?;
    eventually(60, "the importer gives up", async || Ok(second.ensure_running().err())).await?;
    let told = second.output();
    assert!(told.contains("the same command with --resume goes on behind them"), "{told}");
    assert!(mark(&world) < KEYS);

    world.restart().await?;
    let rest = world.run(&["import", "csv", "keys.csv", "--resume"], "").await?;
    assert_eq!(rest.code, 0, "{}", rest.err);
    assert!(rest.err.contains(", 0 not importable"), "{}", rest.err);
    assert_eq!(mark(&world), 0, "nothing is left to resume");
    assert_eq!(counted(&world).await?, format!("{KEYS} {KEYS}"), "every key once");

    let again = world.run(&["import", "csv", "keys.csv"], "").await?;
    assert!(again.err.contains("0 imported, 5,300 already here, 0 not importable"), "{}", again.err);
    assert_eq!(counted(&world).await?, format!("{KEYS} {KEYS}"));
    for number in [0, 999, 1_000, 2_500, KEYS - 1] {
        let answer = eventually(10, "the key is known", async || {
            let answer = world.client.get("/v1/models", &text(number)).await?;
            Ok((answer.status == 200).then_some(answer.status))
        });
        assert_eq!(answer.await?, 200, "key {number}");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.client.get("/v1/models", &text(KEYS)).await?.status, 401, "one that was not in the list");
    Ok(())
}
