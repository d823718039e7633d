//! `claviger-bench nodes`: how long a revocation takes until three nodes on one Postgres confirm it.
//!
//! The nodes are three processes of the release program on one database; each revocation is asked of the next one. First
//! nothing else happens, then every node serves a third of a load. Every confirmation must name three nodes that have
//! acknowledged: one that was silenced would be another measurement.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::children::{Children, LOAD_CORE};
use super::gateway::{FREE_MODEL, Gateway, Place};
use super::http::Client;
use super::postgres::Database;
use super::{UPSTREAM_CREDENTIAL, free_address};
use crate::arguments::Arguments;
use crate::clock;
use crate::latency::Latencies;

const NODES: usize = 3;
const KEYS: &str = "/v1/organization/api_keys";
/// The promise: all nodes healthy.
const BAR_MS: f64 = 100.0;
/// Between two revocations, so that the load is met at different moments.
const PAUSE: Duration = Duration::from_millis(20);
/// Connections of the load on each node.
const CONNECTIONS: usize = 16;

/// What was measured of one phase.
struct Phase {
    name: String,
    /// The confirmation's own word: from the request's arrival to the proof.
    confirmed: Latencies,
    /// From sending the request to the answer, with the record of the proof.
    answered: Latencies,
}

/// Measures and prints; exit by an error when a bar is missed is left to the reader of the table.
///
/// # Errors
/// When a node does not start, a call fails, or a confirmation is not by three acknowledgements.
pub(crate) fn run(mut arguments: Arguments) -> anyhow::Result<()> {
    let revokes: usize = arguments.optional("revokes")?.unwrap_or(200);
    let rate: u32 = arguments.optional("rate")?.unwrap_or(500);
    let server: String = arguments.required("postgres")?;
    let own = std::env::current_exe()?;
    let beside = own.parent().context("the bench's own directory")?;
    let program: PathBuf = arguments.optional("claviger")?.unwrap_or_else(|| beside.join("claviger"));
    arguments.finish()?;
    ensure!((1..=2_000).contains(&revokes), "--revokes is 1 to 2,000");
    ensure!(program.exists(), "{} is missing: build the release first", program.display());
    let dir = beside.join(format!("bench-nodes-{}", std::process::id()));
    let database = Database::create(&server, &format!("bench_nodes_{}", std::process::id()))?;
    let measured =
        measure(&program, &dir, &database, revokes, rate).with_context(|| format!("logs: {}", dir.display()));
    let phases = measured?;
    fs::remove_dir_all(&dir)?;
    print(phases, revokes);
    Ok(())
}

fn measure(program: &Path, dir: &Path, database: &Database, revokes: usize, rate: u32) -> anyhow::Result<Vec<Phase>> {
    let mut children = Children::new();
    let upstream = free_address()?;
    fs::create_dir_all(dir)?;
    let words = ["simulate", "--listen", &upstream.to_string(), "--shape", "openai", "--no-log"];
    let command = children.command(LOAD_CORE, program, &words);
    children.start("the simulator", command, &dir.join("simulator.log"))?;

    let nodes = start(&mut children, program, dir, database, upstream, revokes)?;
    let caller = nodes[0].create_keys(1)?.remove(0);
    let keys_file = dir.join("keys.txt");
    fs::write(&keys_file, caller)?;
    let mut phases = vec![phase("quiet", &nodes, revokes)?];
    let seconds = (revokes as f64 * 0.2).max(5.0);
    for node in &nodes {
        let url = format!("http://{}/v1/chat/completions", node.listen);
        let (rate, connections) = (rate / NODES as u32, CONNECTIONS.to_string());
        let words = ["load", "--url", &url, "--model", FREE_MODEL, "--keys-file", &keys_file.to_string_lossy()]
            .map(str::to_owned)
            .into_iter()
            .chain(["--rate", &rate.to_string(), "--connections", &connections].map(str::to_owned))
            .chain(["--seconds", &seconds.to_string()].map(str::to_owned))
            .collect::<Vec<_>>();
        let command = children.command(LOAD_CORE, &std::env::current_exe()?, &words);
        children.start("a load", command, &dir.join(format!("load-{}.log", node.listen.port())))?;
    }
    std::thread::sleep(Duration::from_secs(1));
    phases.push(phase(&format!("{rate} requests/s"), &nodes, revokes)?);
    children.stop();
    Ok(phases)
}

fn start(
    children: &mut Children,
    program: &Path,
    dir: &Path,
    database: &Database,
    upstream: std::net::SocketAddrV4,
    revokes: usize,
) -> anyhow::Result<Vec<Gateway>> {
    let url = database.url();
    let mut nodes: Vec<Gateway> = Vec::new();
    for number in 0..NODES {
        let dir = dir.join(format!("node-{number}"));
        fs::create_dir(&dir)?;
        let dir = fs::canonicalize(&dir)?;
        let place = Place {
            listen: free_address()?,
            private_listen: free_address()?,
            upstream,
            credential: UPSTREAM_CREDENTIAL,
            keys: revokes * 2 + 100,
            database: Some(&url),
        };
        let node = match nodes.first() {
            None => Gateway::prepare(program, &dir, &place)?,
            Some(first) => first.join(&dir, &place)?,
        };
        let command = children.command(number as u32 % 2, program, &node.serve_words());
        children.start(&format!("node {number}"), command, &dir.join("claviger.log"))?;
        let until = clock::now() + Duration::from_secs(30);
        while !node.is_up() {
            children.check()?;
            ensure!(clock::now() < until, "node {number} does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// Revokes as many keys, each through the next node.
fn phase(name: &str, nodes: &[Gateway], revokes: usize) -> anyhow::Result<Phase> {
    let mut clients = nodes.iter().map(|node| Client::connect(node.listen)).collect::<Result<Vec<_>, _>>()?;
    let mut phase = Phase { name: name.to_owned(), confirmed: Latencies::default(), answered: Latencies::default() };
    for number in 0..revokes {
        let (client, admin_key) = (&mut clients[number % NODES], nodes[0].admin_key());
        let key = client.json("POST", KEYS, admin_key, &json!({ "name": format!("{name} {number}") }))?;
        let id = key["id"].as_str().context("a key without its id")?.to_owned();
        std::thread::sleep(PAUSE);
        let began = clock::now();
        let reply = client.json("POST", &format!("{KEYS}/{id}/revoke"), admin_key, &json!({ "reason": "unused" }))?;
        phase.answered.record(clock::now().duration_since(began));
        let proof = &reply["confirmation"];
        let nodes: Vec<&Value> = proof["nodes"].as_array().into_iter().flatten().collect();
        let is_whole = nodes.len() == NODES && nodes.iter().all(|node| node["how"] == "acknowledged");
        ensure!(is_whole, "a confirmation that is not by {NODES} acknowledgements: {proof}");
        let took = proof["took_ms"].as_u64().context("a confirmation without its time")?;
        phase.confirmed.record(Duration::from_millis(took));
    }
    Ok(phase)
}

fn print(phases: Vec<Phase>, revokes: usize) {
    println!("{revokes} revocations each, {NODES} nodes on one Postgres; milliseconds\n");
    println!("| beside it | confirmed p50 | p99 | slowest | answered p50 | p99 | |\n|--|--|--|--|--|--|--|");
    for mut phase in phases {
        let mut at = |share: f64| phase.confirmed.percentile_ms(share).unwrap_or_default();
        let (p50, p99, slowest) = (at(0.50), at(0.99), at(1.0));
        let mut at = |share: f64| phase.answered.percentile_ms(share).unwrap_or_default();
        let (answered, answered_p99) = (at(0.50), at(0.99));
        let verdict = if answered_p99 <= BAR_MS { "met" } else { "**missed**" };
        let name = phase.name;
        println!("| {name} | {p50:.0} | {p99:.0} | {slowest:.0} | {answered:.1} | {answered_p99:.1} | {verdict} |");
    }
}
