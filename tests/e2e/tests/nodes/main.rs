//! Several real processes on one real Postgres: P3, and credit that no number of nodes overspends.

#![expect(clippy::disallowed_methods, reason = "tests are drivers: they read the clock and start tasks themselves")]

mod bugs;
mod clocks;
mod cluster;
mod dead;
mod fork;
mod leaving;
mod providers;
mod rates;
mod tasks;
mod wire;

use claviger_e2e::{Client, Engine, Plan, Result, World, eventually, is_long_run, now, text};
use cluster::Node;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// S of these worlds.
const S: Duration = Duration::from_secs(1);

fn plan() -> Plan {
    // The table `storage` is the last one before what is added.
    Plan::default().on(Engine::Postgres).more("validity_lease = \"1s\"\n")
}

fn free() -> Value {
    json!({ "model": "free/echo", "messages": [{ "role": "user", "content": "hi" }] })
}

async fn call(client: &Client, key: &str) -> Result<u16> {
    Ok(client.post("/v1/chat/completions", key, &free()).await?.status)
}

/// Clients of one key on one node until they are told to stop: when each call that was served had been sent.
struct Callers {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    running: tokio::task::JoinSet<Vec<Instant>>,
}

impl Callers {
    fn begin(nodes: &[Client], key: &str, calls: &Arc<AtomicU64>) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::clone(calls));
        let mut running = tokio::task::JoinSet::new();
        for client in nodes.iter().flat_map(|client| std::iter::repeat_n(client, 3)) {
            let (client, key, stop, calls) = (client.clone(), key.to_owned(), Arc::clone(&stop), Arc::clone(&calls));
            running.spawn(async move {
                let mut served = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = now();
                    let answer = tokio::time::timeout(Duration::from_secs(8), call(&client, &key)).await;
                    calls.fetch_add(1, Ordering::Relaxed);
                    if matches!(answer, Ok(Ok(200))) {
                        served.push(sent);
                    }
                    tokio::time::sleep(Duration::from_millis(6)).await;
                }
                served
            });
        }
        Self { stop, calls, running }
    }

    /// Calls that were sent after `answered` and served all the same, and those that were served at all.
    async fn end(mut self, answered: Instant) -> Result<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut slips, mut all) = (0, 0);
        while let Some(served) = self.running.join_next().await {
            let served = served?;
            all += served.len();
            slips += served.iter().filter(|sent| **sent > answered).count();
        }
        let _ = self.calls;
        Ok((slips, all))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Stall,
    Cut,
    Pause,
}

/// A small generator, so that a failure can be replayed from its printed seed.
fn roll(seed: &mut u64, sides: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % sides
}

/// What a run of revocations showed.
#[derive(Default)]
struct Tally {
    healthy: Vec<u64>,
    faulty: Vec<u64>,
    acknowledged: u64,
    silenced: u64,
    calls: Arc<AtomicU64>,
}

impl Tally {
    fn count(&mut self, fault: Fault, reply: &Value) {
        let confirmation = &reply["confirmation"];
        let nodes = confirmation["nodes"].as_array().cloned().unwrap_or_default();
        assert_eq!(nodes.len(), 3, "{reply}");
        self.acknowledged += nodes.iter().filter(|node| node["how"] == "acknowledged").count() as u64;
        self.silenced += nodes.iter().filter(|node| node["how"] == "silenced").count() as u64;
        let took = confirmation["took_ms"].as_u64().unwrap_or(u64::MAX);
        if fault == Fault::None { self.healthy.push(took) } else { self.faulty.push(took) }
    }

    fn judge(mut self, begun: Instant) -> Result<()> {
        self.healthy.sort_unstable();
        self.faulty.sort_unstable();
        let at = |list: &[u64], percent: usize| list.get(list.len().saturating_sub(1) * percent / 100).copied();
        let (calls, seconds) = (self.calls.load(Ordering::Relaxed), begun.elapsed().as_secs().max(1));
        println!(
            "{} revocations, {calls} calls in {seconds} s ({}/s), 0 slips; healthy p50 {:?} p99 {:?} ms, one node \
             unreachable p50 {:?} max {:?} ms; acknowledged {}, silenced {}",
            self.healthy.len() + self.faulty.len(),
            calls / seconds,
            at(&self.healthy, 50),
            at(&self.healthy, 99),
            at(&self.faulty, 50),
            self.faulty.last(),
            self.acknowledged,
            self.silenced,
        );
        assert!(self.silenced > 0, "some node was silenced");
        // The slowest healthy one tells what this machine and its disk take for the same work meanwhile; what a silent
        // node adds is the protocol's, and bounded.
        let limit = u64::try_from((S * 5 / 2).as_millis())? + self.healthy.last().copied().unwrap_or(0);
        assert!(self.faulty.iter().all(|took| *took <= limit), "one unreachable node: {:?} > {limit}", self.faulty);
        Ok(())
    }
}

/// Lets a fault happen to one node while a key is revoked; when the answer came.
async fn revoke_under(
    world: &World,
    id: &str,
    victim: &Node,
    fault: Fault,
    pause: Duration,
) -> Result<(Value, Instant)> {
    match fault {
        Fault::None => {}
        Fault::Stall => victim.wire.stall(),
        Fault::Cut => victim.wire.cut(),
        Fault::Pause => victim.pause().await?,
    }
    let revoke = async {
        let reply = world.revoke(id).await;
        Ok::<_, anyhow::Error>((reply?, now()))
    };
    let resume = async {
        if fault == Fault::Pause {
            tokio::time::sleep(pause).await;
            victim.resume().await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let (revoked, resumed) = tokio::join!(revoke, resume);
    resumed?;
    revoked
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_nobody_admits_what_was_answered_as_revoked_on_three_nodes() -> Result<()> {
    let revocations = if is_long_run() { 1_000 } else { 100 };
    let world = plan().start().await?;
    let nodes = [Node::added_to(&world, "second").await?, Node::added_to(&world, "third").await?];
    let clients = [world.client.clone(), nodes[0].client.clone(), nodes[1].client.clone()];
    let mut seed = u64::from(std::process::id()) | 1;
    println!("seed={seed}");
    let (mut tally, begun, mut revoked) = (Tally::default(), now(), Vec::new());
    for round in 0..revocations {
        let created = world.create_key(&json!({ "name": format!("k{round}") })).await?;
        let (id, key) = (text(&created["id"]), text(&created["value"]));
        everywhere(&clients, &key, 200).await?;
        let callers = Callers::begin(&clients, &key, &tally.calls);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let fault = match roll(&mut seed, 10) {
            0 => Fault::Stall,
            1 => Fault::Cut,
            2 => Fault::Pause,
            _ => Fault::None,
        };
        let victim = &nodes[roll(&mut seed, 2) as usize];
        let pause = Duration::from_millis(roll(&mut seed, 3_000));
        let (reply, answered) = revoke_under(&world, &id, victim, fault, pause).await?;
        tally.count(fault, &reply);
        tokio::time::sleep(Duration::from_millis(120)).await;
        victim.wire.heal();
        let (late, served) = callers.end(answered).await?;
        assert!(served > 0, "round {round}: the key was in use");
        assert_eq!(late, 0, "round {round}, {fault:?}: admitted after the answer {reply}");
        if fault != Fault::None {
            follows_again(&world, &clients).await?;
        }
        revoked.push(key);
    }
    for key in &revoked {
        for client in &clients {
            assert_eq!(call(client, key).await?, 401);
        }
    }
    tally.judge(begun)
}

async fn everywhere(clients: &[Client], key: &str, status: u16) -> Result<()> {
    for client in clients {
        eventually(15, "the key is known everywhere", async || {
            Ok((call(client, key).await.ok() == Some(status)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// After a fault a fresh key works on every node again.
async fn follows_again(world: &World, clients: &[Client]) -> Result<()> {
    let key = world.key("probe").await?;
    everywhere(clients, &key, 200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn respond_async_names_the_nodes_that_are_waited_for() -> Result<()> {
    let world = Plan::default().on(Engine::Postgres).more("validity_lease = \"4s\"\n").start().await?;
    let node = Node::added_to(&world, "second").await?;
    let created = world.create_key(&json!({ "name": "k" })).await?;
    node.wire.stall();
    let path = format!("/v1/organization/api_keys/{}", text(&created["id"]));
    let bearer = format!("Bearer {}", world.admin_key);
    let headers = [("authorization", bearer.as_str()), ("prefer", "respond-async")];
    let accepted = world.client.send("DELETE", &path, &headers, b"").await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    assert_eq!(accepted.json()["pending"].as_array().map(Vec::len), Some(1));
    let url = text(&accepted.json()["url"]);
    let path = url.find("/v1/").map(|at| url.split_at(at).1.to_owned()).unwrap_or_default();
    let waited = world.client.get(&format!("{path}?wait=10"), &world.admin_key).await?;
    assert_eq!(waited.status, 200, "{}", waited.text());
    let nodes = waited.json()["nodes"].clone();
    let hows: Vec<&str> = nodes.as_array().into_iter().flatten().filter_map(|node| node["how"].as_str()).collect();
    assert!(hows.contains(&"silenced") && hows.contains(&"acknowledged"), "{nodes}");
    Ok(())
}

fn paid() -> Value {
    json!({ "model": "paid/request", "messages": [{ "role": "user", "content": "hi" }] })
}

/// Calls until it is served or there is no credit, as a client does that honours `retry-after`.
async fn persistent(client: Client, key: String) -> Result<bool> {
    for _ in 0..30 {
        let answer = client.post("/v1/chat/completions", &key, &paid()).await?;
        match (answer.status, answer.code().as_str()) {
            (200, _) => return Ok(true),
            (429, "insufficient_quota") => return Ok(false),
            (429, "credit_on_hold") => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => anyhow::bail!("{}: {}", answer.status, answer.text()),
        }
    }
    anyhow::bail!("credit stayed on hold")
}

async fn at_once(clients: &[Client], key: &str, calls: usize) -> Result<usize> {
    let mut running = tokio::task::JoinSet::new();
    for number in 0..calls {
        running.spawn(persistent(clients[number % clients.len()].clone(), key.to_owned()));
    }
    let mut served = 0;
    while let Some(answer) = running.join_next().await {
        served += usize::from(answer??);
    }
    Ok(served)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_serve_exactly_what_the_credit_is_for() -> Result<()> {
    let world = Plan::default().on(Engine::Postgres).without_credit().start().await?;
    let nodes = [
        Node::added_to(&world, "second").await?,
        Node::added_to(&world, "third").await?,
        Node::added_to(&world, "fourth").await?,
    ];
    let mut clients = vec![world.client.clone()];
    clients.extend(nodes.iter().map(|node| node.client.clone()));
    let key = world.key("scarce").await?;
    for round in 0..if is_long_run() { 200 } else { 10 } {
        world.grant("0.000001").await?;
        world.upstream.forget().await?;
        assert_eq!(at_once(&clients, &key, 50).await?, 10, "round {round}");
        assert_eq!(world.balance().await?, 0, "round {round}");
        assert_eq!(world.upstream.count().await?, 10, "round {round}: no refused call reached the upstream");
    }
    // A limit for exactly one hundred, a thousand at once.
    world.grant("0.00001").await?;
    assert_eq!(at_once(&clients, &key, 1_000).await?, 100);
    assert_eq!(world.balance().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_overspends_nothing_and_its_credit_comes_back_with_it() -> Result<()> {
    let world = Plan::default().on(Engine::Postgres).without_credit().start().await?;
    let mut second = Node::added_to(&world, "second").await?;
    let clients = [world.client.clone(), second.client.clone()];
    let key = world.key("shared").await?;
    world.grant("0.00004").await?;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..300 {
        let (client, key) = (clients[number % 2].clone(), key.clone());
        running.spawn(async move { client.post("/v1/chat/completions", &key, &paid()).await });
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    second.server.kill().await?;
    let mut served = 0;
    while let Some(answer) = running.join_next().await {
        served += i64::from(answer?.is_ok_and(|answer| answer.status == 200));
    }
    let charged = 40_000 - world.balance().await?;
    assert!(served * 100 <= charged && charged <= 40_000, "served {served}, charged {charged}");
    world.verify_ledger().await?;
    second.start()?;
    second.ready().await?;
    // Everything that is left can be spent again, on either node.
    let left = usize::try_from((40_000 - charged) / 100)?;
    assert_eq!(at_once(&clients, &key, left + 50).await?, left);
    assert_eq!(world.balance().await?, 0);
    world.verify_ledger().await
}
