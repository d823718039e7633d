//! `claviger-bench keys`: what a million keys cost the program, next to a thousand: start, memory, lists, searches.
//!
//! The keys are rows multiplied in the database by Debian's sqlite3 or psql, because making a million one by one proves nothing
//! more; their digests are random, so nobody can use them. Time in the key table itself is measured in process, by the
//! gateway's own example, which `cargo xtask bench keys` runs behind this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::children::{Children, TARGET_CORE};
use super::gateway::{Gateway, Place};
use super::http::Client;
use super::postgres::Database;
use super::{UPSTREAM_CREDENTIAL, free_address, process};
use crate::arguments::Arguments;
use crate::clock;
use crate::latency::Latencies;

/// Lists and searches of one measurement.
const CALLS: usize = 200;
/// What a further key may cost.
const BYTES_PER_KEY: u32 = 200;
const KEYS: &str = "/v1/organization/api_keys";

/// One column of the table.
struct Measured {
    keys: usize,
    start: Duration,
    memory_mib: f64,
    list_ms: f64,
    deep_ms: f64,
    nothing_ms: f64,
    found_ms: f64,
    create_ms: f64,
}

/// Measures both sizes on each engine, one after the other, and prints them beside each other.
///
/// # Errors
/// When the program does not start, or a call fails.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let many = arguments.optional("keys")?.unwrap_or(1_000_000);
    let server: Option<String> = arguments.optional("postgres")?;
    let only: Option<String> = arguments.optional("only")?;
    let own = std::env::current_exe()?;
    let beside = own.parent().context("the bench's own directory")?;
    let program: PathBuf = arguments.optional("claviger")?.unwrap_or_else(|| beside.join("claviger"));
    arguments.finish()?;
    ensure!((1_000..=5_000_000).contains(&many), "--keys is 1,000 to 5,000,000");
    ensure!(program.exists(), "{} is missing: build the release first", program.display());
    let dir = beside.join(format!("bench-keys-{}", std::process::id()));
    let mut columns = Vec::new();
    for engine in ["sqlite", "postgres"] {
        if only.as_ref().is_some_and(|only| only != engine) {
            continue;
        }
        for keys in [1_000, many] {
            let dir = dir.join(format!("{engine}-{keys}"));
            fs::create_dir_all(&dir)?;
            let dir = fs::canonicalize(&dir)?;
            let database = match (engine, &server) {
                ("sqlite", _) => None,
                (_, None) => continue,
                (_, Some(server)) => {
                    Some(Database::create(server, &format!("bench_keys_{}_{keys}", std::process::id()))?)
                }
            };
            let measured = measure(&program, &dir, keys, database.as_ref());
            columns.push((engine, measured.with_context(|| format!("with {keys} keys on {engine}"))?));
            fs::remove_dir_all(&dir)?;
        }
    }
    let removed = fs::remove_dir_all(&dir);
    print(&columns);
    Ok(removed?)
}

fn measure(program: &Path, dir: &Path, keys: usize, database: Option<&Database>) -> anyhow::Result<Measured> {
    let url = database.map(Database::url);
    let place = Place {
        listen: free_address()?,
        private_listen: free_address()?,
        upstream: free_address()?,
        credential: UPSTREAM_CREDENTIAL,
        keys,
        database: url.as_deref(),
    };
    let gateway = Gateway::prepare(program, dir, &place)?;
    let log = dir.join("claviger.log");
    let mut children = Children::new();
    start(&mut children, program, &gateway, &log)?;
    gateway.create_keys(1)?;
    children.stop();
    match database {
        None => multiply(&|text| sqlite(&dir.join("data/claviger.db"), text), &SQLITE, keys - 1)?,
        Some(database) => multiply(&|text| database.run(text), &POSTGRES, keys - 1)?,
    }

    let (pid, start) = start(&mut children, program, &gateway, &log)?;
    let memory_mib = process::memory_mib(pid);
    let mut client = Client::connect(place.listen)?;
    let cursors = cursors(&mut client, &gateway)?;
    let list_ms = timed(&mut client, &gateway, |_| format!("{KEYS}?limit=20"))?;
    let deep_ms =
        timed(&mut client, &gateway, |call| format!("{KEYS}?limit=20&after={}", cursors[call % cursors.len()]))?;
    // Characters that no name has: a search without an index would look through the whole list.
    let nothing_ms = timed(&mut client, &gateway, |call| format!("{KEYS}?limit=20&q=x{call:03}y"))?;
    let found_ms = timed(&mut client, &gateway, |call| format!("{KEYS}?limit=20&q=bench%20{}", call + 1))?;
    let mut created = Latencies::default();
    for number in 0..50 {
        let began = clock::now();
        client.json("POST", KEYS, gateway.admin_key(), &json!({ "name": format!("one more {number}") }))?;
        created.record(clock::now().duration_since(began));
    }
    children.stop();
    let create_ms = created.percentile_ms(0.95).unwrap_or_default();
    Ok(Measured { keys, start, memory_mib, list_ms, deep_ms, nothing_ms, found_ms, create_ms })
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

/// How an engine says what is not SQL of both.
struct Words {
    columns: &'static str,
    begin: &'static str,
    /// Rows with `i`, `key` and `secret`, up to a number.
    numbers: &'static str,
    digest: &'static str,
    end: &'static str,
}

const SQLITE: Words = Words {
    columns: "SELECT name FROM pragma_table_info('TABLE') ORDER BY cid",
    begin: "PRAGMA synchronous = OFF; BEGIN;",
    numbers: "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < COUNT) SELECT i, \
        'key_' || hex(randomblob(6)) AS key, 'sec_0' || substr(hex(randomblob(11)), 1, 21) AS secret FROM c",
    digest: "randomblob(32)",
    end: "COMMIT; PRAGMA wal_checkpoint(TRUNCATE); ANALYZE;",
};

const POSTGRES: Words = Words {
    columns: "SELECT column_name FROM information_schema.columns WHERE table_name = 'TABLE' ORDER BY ordinal_position",
    // Its trigger would move one row a million times, and each time pass all the row's former versions.
    begin: "BEGIN; SET LOCAL synchronous_commit = off; ALTER TABLE api_key DISABLE TRIGGER USER;",
    numbers: "SELECT i, 'key_' || substr(upper(replace(gen_random_uuid()::text, '-', '')), 21, 12) AS key, \
        'sec_0' || substr(upper(replace(gen_random_uuid()::text, '-', '')), 1, 21) AS secret \
        FROM generate_series(1, COUNT) AS i",
    digest: "sha256(uuid_send(gen_random_uuid()))",
    end: "ALTER TABLE api_key ENABLE TRIGGER USER; UPDATE organization SET live_keys = live_keys + COUNT; \
        COMMIT; ANALYZE;",
};

/// Copies of the one inference key, with ids and digests of their own.
fn multiply(run: &dyn Fn(&str) -> anyhow::Result<String>, words: &Words, copies: usize) -> anyhow::Result<()> {
    let columns = |table: &str, changed: &[(&str, &str)]| -> anyhow::Result<(String, String)> {
        let names = run(&words.columns.replace("TABLE", table))?;
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
        columns("secret", &[("id", "n.secret"), ("key_id", "n.key"), ("digest", words.digest)])?;
    let [begin, numbers, end] =
        [words.begin, words.numbers, words.end].map(|text| text.replace("COUNT", &copies.to_string()));
    run(&format!(
        "{begin}
         CREATE TEMP TABLE n AS {numbers};
         CREATE TEMP TABLE template AS SELECT * FROM api_key WHERE name = 'bench 0';
         INSERT INTO api_key ({key_names}) SELECT {key_values} FROM n, template t;
         CREATE TEMP TABLE pattern AS SELECT * FROM secret WHERE key_id = (SELECT id FROM template);
         INSERT INTO secret ({secret_names}) SELECT {secret_values} FROM n, pattern t;
         {end}"
    ))?;
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

fn print(columns: &[(&str, Measured)]) {
    let heads = columns.iter().map(|(engine, measured)| format!(" {engine}, {} keys |", measured.keys));
    println!("| figure |{}", heads.collect::<String>());
    println!("|--|{}", "--|".repeat(columns.len()));
    let line = |name: &str, of: &dyn Fn(&Measured) -> f64| {
        let cells = columns.iter().map(|(_, measured)| format!(" {:.2} |", of(measured)));
        println!("| {name} |{}", cells.collect::<String>());
    };
    line("start to the first answer, s", &|of| of.start.as_secs_f64());
    line("memory when it answers, MiB", &|of| of.memory_mib);
    line("list of 20 p95, ms", &|of| of.list_ms);
    line("list of 20 from a cursor p95, ms", &|of| of.deep_ms);
    line("search that finds nothing p95, ms", &|of| of.nothing_ms);
    line("search that finds p95, ms", &|of| of.found_ms);
    line("create p95, ms", &|of| of.create_ms);
    for pair in columns.chunks(2) {
        if let [(engine, few), (_, many)] = pair {
            let bytes = (many.memory_mib - few.memory_mib) * 1024.0 * 1024.0 / (many.keys - few.keys) as f64;
            println!("\nmemory on {engine}: {bytes:.0} B for each further key (bar: {BYTES_PER_KEY})");
        }
    }
}
