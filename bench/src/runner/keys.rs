//! `claviger-bench keys`: what a million keys cost the program, next to a thousand: start, memory, lists, searches.
//!
//! The keys are rows multiplied in the database by Debian's sqlite3, because making a million one by one proves nothing
//! more; their digests are random, so nobody can use them. Time in the key table itself is measured in process, by the
//! gateway's own example, which `cargo xtask bench keys` runs behind this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::children::{Children, TARGET_CORE};
use super::gateway::Gateway;
use super::http::Client;
use super::{UPSTREAM_CREDENTIAL, free_address, process};
use crate::arguments::Arguments;
use crate::clock;
use crate::latency::Latencies;

/// Lists and searches of one measurement.
const CALLS: usize = 200;
const KEYS: &str = "/v1/organization/api_keys";

/// One column of the table.
struct Measured {
    keys: usize,
    start: Duration,
    memory_mib: f64,
    list_ms: f64,
    deep_ms: f64,
    search_ms: f64,
    create_ms: f64,
}

/// Measures both sizes, one after the other, and prints them beside each other.
///
/// # Errors
/// When the program does not start, or a call fails.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let many = arguments.optional("keys")?.unwrap_or(1_000_000);
    let own = std::env::current_exe()?;
    let beside = own.parent().context("the bench's own directory")?;
    let program: PathBuf = arguments.optional("claviger")?.unwrap_or_else(|| beside.join("claviger"));
    arguments.finish()?;
    ensure!((1_000..=5_000_000).contains(&many), "--keys is 1,000 to 5,000,000");
    ensure!(program.exists(), "{} is missing: build the release first", program.display());
    let dir = beside.join(format!("bench-keys-{}", std::process::id()));
    let measured = [1_000, many].map(|keys| {
        let dir = dir.join(keys.to_string());
        fs::create_dir_all(&dir)?;
        measure(&program, &fs::canonicalize(&dir)?, keys).with_context(|| format!("with {keys} keys"))
    });
    let [few, many] = measured;
    let removed = fs::remove_dir_all(&dir);
    print(&few?, &many?);
    Ok(removed?)
}

fn measure(program: &Path, dir: &Path, keys: usize) -> anyhow::Result<Measured> {
    let (listen, private, nobody) = (free_address()?, free_address()?, free_address()?);
    let gateway = Gateway::prepare(program, dir, listen, private, nobody, UPSTREAM_CREDENTIAL, keys)?;
    let log = dir.join("claviger.log");
    let mut children = Children::new();
    start(&mut children, program, &gateway, &log)?;
    gateway.create_keys(1)?;
    children.stop();
    multiply(&dir.join("data/claviger.db"), keys - 1)?;

    let (pid, start) = start(&mut children, program, &gateway, &log)?;
    let memory_mib = process::memory_mib(pid);
    let mut client = Client::connect(listen)?;
    let cursors = cursors(&mut client, &gateway)?;
    let list_ms = timed(&mut client, &gateway, |_| format!("{KEYS}?limit=20"))?;
    let deep_ms =
        timed(&mut client, &gateway, |call| format!("{KEYS}?limit=20&after={}", cursors[call % cursors.len()]))?;
    // Four characters of a name: most keys do not have them, so the whole list is looked through.
    let search_ms = timed(&mut client, &gateway, |call| format!("{KEYS}?limit=20&q=x{call:03}y"))?;
    let mut created = Latencies::default();
    for number in 0..50 {
        let began = clock::now();
        client.json("POST", KEYS, gateway.admin_key(), &json!({ "name": format!("one more {number}") }))?;
        created.record(clock::now().duration_since(began));
    }
    children.stop();
    let create_ms = created.percentile_ms(0.95).unwrap_or_default();
    Ok(Measured { keys, start, memory_mib, list_ms, deep_ms, search_ms, create_ms })
}

/// Starts the server and waits for its first answer; how long that took.
fn start(children: &mut Children, program: &Path, gateway: &Gateway, log: &Path) -> anyhow::Result<(u32, Duration)> {
    let began = clock::now();
    let command = children.command(TARGET_CORE, program, &gateway.serve_words());
    let pid = children.start("claviger", command, log)?;
    while !gateway.is_up() {
        children.check()?;
        ensure!(clock::now().duration_since(began) < Duration::from_secs(300), "claviger does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((pid, clock::now().duration_since(began)))
}

/// Copies of the one inference key, with ids and digests of their own.
fn multiply(database: &Path, copies: usize) -> anyhow::Result<()> {
    let columns = |table: &str, changed: &[(&str, &str)]| -> anyhow::Result<(String, String)> {
        let names = sqlite(database, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"))?;
        let values = names.lines().map(|name| {
            changed
                .iter()
                .find(|(column, _)| *column == name)
                .map_or_else(|| format!("t.{name}"), |(_, value)| (*value).to_owned())
        });
        Ok((names.lines().collect::<Vec<_>>().join(", "), values.collect::<Vec<_>>().join(", ")))
    };
    let (key_names, key_values) =
        columns("api_key", &[("id", "n.key"), ("name", "'bench ' || n.i"), ("created_at", "t.created_at + n.i")])?;
    let (secret_names, secret_values) =
        columns("secret", &[("id", "n.secret"), ("key_id", "n.key"), ("digest", "randomblob(32)")])?;
    sqlite(
        database,
        &format!(
            "PRAGMA synchronous = OFF; BEGIN;
             CREATE TEMP TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {copies})
               SELECT i, 'key_' || hex(randomblob(6)) AS key, 'sec_0' || substr(hex(randomblob(11)), 1, 21) AS secret FROM c;
             CREATE TEMP TABLE template AS SELECT * FROM api_key WHERE name = 'bench 0';
             INSERT INTO api_key ({key_names}) SELECT {key_values} FROM n, template t;
             CREATE TEMP TABLE pattern AS SELECT * FROM secret WHERE key_id = (SELECT id FROM template);
             INSERT INTO secret ({secret_names}) SELECT {secret_values} FROM n, pattern t;
             COMMIT; PRAGMA wal_checkpoint(TRUNCATE); ANALYZE;"
        ),
    )?;
    Ok(())
}

fn sqlite(database: &Path, text: &str) -> anyhow::Result<String> {
    let output = Command::new("sqlite3").arg("-bail").arg(database).arg(text).output().context("running sqlite3")?;
    ensure!(output.status.success(), "sqlite3: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Places throughout the list, to begin pages at.
fn cursors(client: &mut Client, gateway: &Gateway) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut path = format!("{KEYS}?limit=100");
    for _ in 0..5 {
        let page = client.json("GET", &path, gateway.admin_key(), &Value::Null)?;
        let last = page["last_id"].as_str().context("a page without its last id")?.to_owned();
        path = format!("{KEYS}?limit=100&after={last}");
        found.push(last);
    }
    let first = client.json("GET", &format!("{KEYS}?limit=100&order=asc"), gateway.admin_key(), &Value::Null)?;
    found.extend(first["last_id"].as_str().map(str::to_owned));
    Ok(found)
}

fn timed(client: &mut Client, gateway: &Gateway, path: impl Fn(usize) -> String) -> anyhow::Result<f64> {
    let mut latencies = Latencies::default();
    for call in 0..CALLS {
        let began = clock::now();
        client.json("GET", &path(call), gateway.admin_key(), &Value::Null)?;
        latencies.record(clock::now().duration_since(began));
    }
    Ok(latencies.percentile_ms(0.95).unwrap_or_default())
}

fn print(few: &Measured, many: &Measured) {
    println!("| figure | {} keys | {} keys |\n|--|--|--|", few.keys, many.keys);
    let line = |name: &str, of: &dyn Fn(&Measured) -> f64| println!("| {name} | {:.2} | {:.2} |", of(few), of(many));
    line("start to the first answer, s", &|of| of.start.as_secs_f64());
    line("memory when it answers, MiB", &|of| of.memory_mib);
    line("list of 20 p95, ms", &|of| of.list_ms);
    line("list of 20 from a cursor p95, ms", &|of| of.deep_ms);
    line("search that finds nothing p95, ms", &|of| of.search_ms);
    line("create p95, ms", &|of| of.create_ms);
    let bytes = (many.memory_mib - few.memory_mib) * 1024.0 * 1024.0 / (many.keys - few.keys) as f64;
    println!("\nmemory: {bytes:.0} B for each further key");
}
