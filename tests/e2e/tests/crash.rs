//! SIGKILL at random moments under 32 clients, and the books afterwards.
//!
//! Clients send whole answers, streams, streams they leave, and calls whose first target fails. After each kill the
//! server starts again and the checker compares what clients received, what the upstream saw and what was charged. The
//! same checker then meets builds with seeded bugs: it counts only if it finds each of them.

use claviger_e2e::{Client, Engine, Expected, Fact, Plan, Result, World, check_books, is_long_run, tokens};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENTS: u64 = 32;

/// A small generator, so that a failure can be replayed from its printed seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() | 1
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_kills_lose_and_double_no_charge_on_sqlite() -> Result<()> {
    kills(Engine::Sqlite, if is_long_run() { 1_000 } else { 60 }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_kills_lose_and_double_no_charge_on_postgres() -> Result<()> {
    kills(Engine::Postgres, if is_long_run() { 300 } else { 60 }).await
}

async fn kills(engine: Engine, count: u64) -> Result<()> {
    let seed = fresh_seed();
    println!("seed={seed}");
    let mut world = Plan::default().on(engine).credit("1000000").with_broken_upstream().start().await?;
    let key = world.key("crash").await?;
    let mut dice = Dice(seed);
    let (mut requests, mut hit) = (0, 0);
    for round in 0..count {
        let (facts, faults) = round_with_kill(&mut world, &key, round, &mut dice).await?;
        assert!(faults.is_empty(), "seed={seed} round={round}:\n{}", faults.join("\n"));
        requests += facts.len();
        hit += facts.iter().filter(|fact| !fact.is_complete && !fact.has_left).count();
    }
    let in_doubt = world.in_doubt().await?.len();
    println!("{count} kills under {requests} requests, {hit} of them in flight: {in_doubt} in doubt, no fault");
    assert!(hit > usize::try_from(count * CLIENTS / 2)?, "the kills came under load: {hit}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_catches_an_answer_whose_last_byte_does_not_wait_for_the_charge() -> Result<()> {
    caught("no_fsync_before_last_byte", "delivered, but not charged", 12).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_catches_a_hold_that_is_not_released_on_cancel() -> Result<()> {
    caught("hold_not_released_on_cancel", "open hold", 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_catches_a_charge_on_retry() -> Result<()> {
    caught("charge_on_retry", "the wallet lost", 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_finds_nothing_in_the_same_build_without_a_bug() -> Result<()> {
    let mut world = Plan::default().with_bug("").credit("1000").with_broken_upstream().start().await?;
    let key = world.key("crash").await?;
    let mut dice = Dice(fresh_seed());
    for round in 0..3 {
        let (_, faults) = round_without_kill(&mut world, &key, round, &mut dice).await?;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
    Ok(())
}

/// The build with this bug awake must be found out: within `kills` kills, or without any.
async fn caught(bug: &str, expected: &str, kills: u64) -> Result<()> {
    let mut world = Plan::default().with_bug(bug).credit("1000").with_broken_upstream().start().await?;
    let key = world.key("crash").await?;
    let mut dice = Dice(fresh_seed());
    for round in 0..kills.max(3) {
        let (_, faults) = if kills > 0 {
            round_with_kill(&mut world, &key, round, &mut dice).await?
        } else {
            round_without_kill(&mut world, &key, round, &mut dice).await?
        };
        if faults.iter().any(|fault| fault.contains(expected)) {
            println!("{bug}: caught in round {round}: {}", faults.first().map_or("", String::as_str));
            return Ok(());
        }
    }
    anyhow::bail!("{bug} went unnoticed")
}

async fn round_with_kill(
    world: &mut World,
    key: &str,
    round: u64,
    dice: &mut Dice,
) -> Result<(Vec<Fact>, Vec<String>)> {
    let before = world.balance().await?;
    world.upstream.forget().await?;
    let load = Load::start(world, key, round, dice);
    tokio::time::sleep(Duration::from_millis(100 + dice.roll(900))).await;
    world.kill().await?;
    let facts = load.finish().await?;
    world.restart().await?;
    let faults = check_books(world, &facts, before).await?;
    Ok((facts, faults))
}

async fn round_without_kill(
    world: &mut World,
    key: &str,
    round: u64,
    dice: &mut Dice,
) -> Result<(Vec<Fact>, Vec<String>)> {
    let before = world.balance().await?;
    world.upstream.forget().await?;
    let load = Load::start(world, key, round, dice);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let facts = load.finish().await?;
    // A request that its client left may still be read to its end.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let faults = check_books(world, &facts, before).await?;
    Ok((facts, faults))
}

/// The clients of one round.
struct Load {
    clients: tokio::task::JoinSet<Vec<Fact>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    fn start(world: &World, key: &str, round: u64, dice: &mut Dice) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            // A client of its own each: a shared pool would be broken up by those that leave.
            let client = Client::new(&world.url);
            let (key, is_over, own) = (key.to_owned(), Arc::clone(&is_over), Dice(dice.roll(u64::MAX - 1) | 1));
            clients.spawn(async move { talk(&client, &key, number, round, own, &is_over).await });
        }
        Self { clients, is_over }
    }

    async fn finish(mut self) -> Result<Vec<Fact>> {
        self.is_over.store(true, Ordering::SeqCst);
        let mut facts = Vec::new();
        while let Some(done) = self.clients.join_next().await {
            facts.extend(done?);
        }
        Ok(facts)
    }
}

/// Sends one request after the other until the round is over or the server is gone.
async fn talk(client: &Client, key: &str, number: u64, round: u64, mut dice: Dice, is_over: &AtomicBool) -> Vec<Fact> {
    let mut facts = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let marker = format!("r{round}c{number}n{}", facts.len());
        let fact = match dice.roll(8) {
            0..=2 => whole(client, key, marker, "paid/echo", &mut dice).await,
            3 => whole(client, key, marker, "paid/retried", &mut dice).await,
            4 | 5 => streamed(client, key, marker, None, &mut dice).await,
            _ => {
                let leaves_after = dice.roll(12);
                streamed(client, key, marker, Some(leaves_after), &mut dice).await
            }
        };
        let is_gone = !fact.is_complete && !fact.has_left;
        facts.push(fact);
        if is_gone {
            break;
        }
    }
    facts
}

async fn whole(client: &Client, key: &str, marker: String, model: &str, dice: &mut Dice) -> Fact {
    let size = usize::try_from(dice.roll(400)).unwrap_or(0);
    let text = format!("{marker} {}", "x".repeat(size));
    let expected = Expected { input: tokens(&text) + 1, output: tokens(&text) };
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
    let answer = client.post("/v1/chat/completions", key, &body).await.ok();
    Fact {
        request: answer.as_ref().map(|answer| answer.header("x-request-id").to_owned()),
        marker,
        is_complete: answer.is_some_and(|answer| answer.status == 200),
        has_left: false,
        expected,
    }
}

async fn streamed(client: &Client, key: &str, marker: String, leaves_after: Option<u64>, dice: &mut Dice) -> Fact {
    let output = 10 + dice.roll(30);
    let text = format!("{marker} stream");
    let expected = Expected { input: tokens(&text) + 1, output };
    let body: Value = json!({
        "model": "paid/stream", "stream": true, "messages": [{ "role": "user", "content": text }],
        "sim": { "tokens": output, "first_ms": dice.roll(20), "gap_ms": dice.roll(8) },
    });
    let mut fact = Fact { request: None, marker, is_complete: false, has_left: false, expected };
    let Ok(mut events) = client.stream("/v1/chat/completions", key, &body).await else { return fact };
    fact.request = Some(events.request_id());
    let mut count = 0;
    while let Ok(Some(event)) = events.next().await {
        fact.is_complete = event == "[DONE]";
        count += 1;
        if leaves_after.is_some_and(|limit| count > limit) && !fact.is_complete {
            fact.has_left = true;
            break;
        }
    }
    fact
}
