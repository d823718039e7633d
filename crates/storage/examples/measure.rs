//! Measurements of the charge path; not run with the tests. Prints a table.
//!
//! `cargo run --release -p claviger-storage --example measure`; with `CLAVIGER_TEST_POSTGRES` set, Postgres too.
#![expect(clippy::disallowed_methods, reason = "measuring needs a clock and tasks")]

#[path = "../tests/conformance/world.rs"]
#[expect(dead_code, reason = "shared with the conformance suite, which uses all of it")]
mod world;

use claviger_storage::Engine;
use std::time::{Duration, Instant};
use world::World;

/// CPU time of this process, all threads, in microseconds (Linux: clock ticks of 10 ms).
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10_000
}

async fn lone(world: &mut World, count: usize) {
    let charges = world.store().charges();
    let mut times = Vec::new();
    for _ in 0..count {
        let record = world.record(world.scope);
        let slot = charges.try_reserve().unwrap();
        let begin = Instant::now();
        slot.append(record).wait().await.unwrap().mark();
        times.push(begin.elapsed());
    }
    times.sort();
    println!(
        "  lone: {} charges, p50 {:?}, p99 {:?}, mean {:?}",
        count,
        times[count / 2],
        times[count * 99 / 100],
        times.iter().sum::<Duration>() / u32::try_from(count).unwrap()
    );
}

async fn queued(world: &mut World, submitters: usize, each: usize) {
    let charges = world.store().charges();
    // Dealt out like cards: in life requests come in the order of their ids, whoever brings them.
    let mut batches: Vec<Vec<_>> = (0..submitters).map(|_| Vec::with_capacity(each)).collect();
    for _ in 0..each {
        for batch in &mut batches {
            batch.push(world.record(world.scope));
        }
    }
    let (cpu, begin) = (cpu_us(), Instant::now());
    let tasks: Vec<_> = batches
        .into_iter()
        .map(|records| {
            let charges = charges.clone();
            tokio::spawn(async move {
                for record in records {
                    charges.try_reserve().unwrap().append(record).wait().await.unwrap().mark();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let elapsed = begin.elapsed();
    // What stands before the database is not done yet: reading waits until it is.
    world.store().wallet(world.scope).await.unwrap();
    let cpu = cpu_us() - cpu;
    let count = submitters * each;
    println!(
        "  {submitters} submitters: {count} charges in {elapsed:?}: {:.0}/s, {:.1} µs CPU a charge (whole process, database included)",
        count as f64 / elapsed.as_secs_f64(),
        cpu as f64 / count as f64
    );
}

async fn run(engine: Engine) {
    println!("{}", engine.name());
    let mut world = World::new(engine).await;
    world.fund(world.scope, 1_000_000_000_000).await;
    lone(&mut world, 500).await;
    lone(&mut world, 2000).await;
    queued(&mut world, 8, 500).await;
    queued(&mut world, 64, 300).await;
    queued(&mut world, 1000, 20).await;
    queued(&mut world, 1000, 100).await;
    let begin = Instant::now();
    let report = world.store().verify_ledger().await.unwrap();
    println!("  verify: {} transfers in {:?}", report.transfers, begin.elapsed());
    assert!(report.faults.is_empty(), "{:?}", report.faults.first());
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    run(Engine::Sqlite).await;
    if std::env::var_os("CLAVIGER_TEST_POSTGRES").is_some() {
        run(Engine::Postgres).await;
    }
}
