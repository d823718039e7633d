//! One measurement: a generator on its core, the target's processor time and memory around it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::children::LOAD_CORE;
use super::figures::{Held, Round, Sample, Target};
use super::syncs::Syncs;
use super::{Bench, process};
use crate::clock;

/// Connections of the closed loop.
pub(super) const CLOSED_CONNECTIONS: usize = 64;
/// The open loop: calls a second, and the connections they may use.
const RATE: u32 = 500;
const OPEN_CONNECTIONS: usize = 64;
/// Streams a second of the open loop; each lasts some 160 ms.
pub(super) const STREAM_RATE: u32 = 50;
pub(super) const STREAM_CONNECTIONS: usize = 48;
/// Streams opened a second, and how long all of them are kept.
const RAMP: u32 = 500;
const HOLD_SECONDS: u32 = 5;
/// Beyond its own plan a generator gets this long.
const GENERATOR_GRACE: Duration = Duration::from_secs(60);

/// Fills pools and caches of every target; its figures are thrown away.
pub(crate) fn warm_up(bench: &Bench) -> anyhow::Result<()> {
    for target in &bench.options.targets {
        closed(bench, *target, 1.0, &mut Sample::default())?;
    }
    Ok(())
}

/// Measures every target once, in an order that rotates with the rounds.
pub(crate) fn round(bench: &Bench, number: usize) -> anyhow::Result<Round> {
    let mut targets = bench.options.targets.clone();
    let first = number % targets.len();
    targets.rotate_left(first);
    let mut round = Round::new();
    for target in targets {
        let mut sample = Sample::default();
        closed(bench, target, bench.options.seconds, &mut sample)?;
        let (fixed, sync_ms) = with_syncs(bench, target, || {
            open(bench, target, "load", target.model(), RATE, OPEN_CONNECTIONS, &mut sample)
        })?;
        (sample.p50_ms, sample.p99_ms) = fixed;
        sample.sync_ms = sync_ms;
        let first = open(bench, target, "sse", target.stream_model(), STREAM_RATE, STREAM_CONNECTIONS, &mut sample)?;
        (sample.first_p50_ms, sample.first_p99_ms) = first;
        if let Some(fault) = &sample.fault {
            eprintln!("{}: {} calls went wrong, the last: {fault}", target.name(), sample.bad);
        }
        round.insert(target, sample);
    }
    Ok(round)
}

fn closed(bench: &Bench, target: Target, seconds: f64, sample: &mut Sample) -> anyhow::Result<()> {
    let words = [("connections", CLOSED_CONNECTIONS.to_string()), ("seconds", seconds.to_string())];
    let before = bench.pid(target).map(process::cpu_seconds);
    let begin = clock::now();
    let line = generate(bench, target, "load", target.model(), &words, seconds)?;
    sample.wall_seconds = clock::now().duration_since(begin).as_secs_f64();
    sample.cpu_seconds = bench.pid(target).zip(before).map(|(pid, before)| process::cpu_seconds(pid) - before);
    sample.answers = number(&line, "/ok")?;
    sample.per_second = number(&line, "/per_second")?;
    count_faults(&line, sample)
}

/// Median and 99th percentile of an open loop, milliseconds.
fn open(
    bench: &Bench,
    target: Target,
    verb: &str,
    model: &str,
    rate: u32,
    connections: usize,
    sample: &mut Sample,
) -> anyhow::Result<(f64, f64)> {
    let seconds = bench.options.seconds;
    let words =
        [("rate", rate.to_string()), ("connections", connections.to_string()), ("seconds", seconds.to_string())];
    let line = generate(bench, target, verb, model, &words, seconds)?;
    count_faults(&line, sample)?;
    Ok((number(&line, "/latency/p50_ms")?, number(&line, "/latency/p99_ms")?))
}

pub(super) fn count_faults(line: &Value, sample: &mut Sample) -> anyhow::Result<()> {
    sample.bad += number(line, "/bad")? as u64;
    if let Some(fault) = line.pointer("/fault").and_then(Value::as_str) {
        sample.fault = Some(fault.to_owned());
    }
    Ok(())
}

/// Keeps `count` streams open through `target` and looks at its memory meanwhile.
pub(crate) fn hold(bench: &Bench, target: Target, count: usize) -> anyhow::Result<Held> {
    let pid = bench.pid(target);
    let before = pid.map(process::memory_mib);
    let words = [("streams", count.to_string()), ("ramp", RAMP.to_string()), ("seconds", HOLD_SECONDS.to_string())];
    let mut child = start_generator(bench, target, "hold", target.stream_model(), &words)?;
    let mut lines = BufReader::new(child.stdout.take().context("the generator's output")?).lines();
    let opened = lines.next().context("the generator ended before its streams were open")??;
    ensure!(opened.contains("\"open\""), "the generator said {opened:?}");
    std::thread::sleep(Duration::from_secs(1));
    let during = pid.map(process::memory_mib);
    let end = lines.next().context("the generator ended early")??;
    ensure!(child.wait()?.success(), "the generator failed");
    let end: Value = serde_json::from_str(&end)?;
    Ok(Held {
        target,
        asked: count,
        alive: number(&end, "/alive")? as u64,
        lost: number(&end, "/lost")? as u64,
        fault: end.pointer("/fault").and_then(Value::as_str).map(str::to_owned),
        memory_mib: before.zip(during),
    })
}

/// Runs a generator to its end and reads its line.
pub(super) fn generate(
    bench: &Bench,
    target: Target,
    verb: &str,
    model: &str,
    words: &[(&str, String)],
    seconds: f64,
) -> anyhow::Result<Value> {
    let mut child = start_generator(bench, target, verb, model, words)?;
    let until = clock::now() + Duration::from_secs_f64(seconds) + GENERATOR_GRACE;
    while child.try_wait()?.is_none() {
        if clock::now() > until {
            child.kill()?;
            child.wait()?;
            bail!("the generator on {} did not end in time", target.name());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut text = String::new();
    child.stdout.take().context("the generator's output")?.read_to_string(&mut text)?;
    serde_json::from_str(&text).with_context(|| format!("the generator on {} printed {text:?}", target.name()))
}

fn start_generator(
    bench: &Bench,
    target: Target,
    verb: &str,
    model: &str,
    words: &[(&str, String)],
) -> anyhow::Result<Child> {
    let path = words.iter().find(|(name, _)| *name == "path").map_or("chat/completions", |(_, path)| path.as_str());
    let url = format!("http://{}/v1/{path}", bench.address(target)?);
    let keys = bench.keys_file.to_string_lossy().into_owned();
    let mut all = vec![verb.to_owned(), "--url".to_owned(), url, "--model".to_owned(), model.to_owned()];
    all.extend(["--keys-file".to_owned(), keys]);
    for (name, value) in words.iter().filter(|(name, _)| *name != "path") {
        all.extend([format!("--{name}"), value.clone()]);
    }
    let mut command = bench.children.command(LOAD_CORE, &bench.own, &all);
    let child = command.stdout(Stdio::piped()).spawn().context("starting the generator")?;
    bench.children.favour(child.id());
    Ok(child)
}

/// The median of the syncs that a gateway's own journal waited for while `work` ran; `None` where nothing is charged.
fn with_syncs<T>(
    bench: &Bench,
    target: Target,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Option<f64>)> {
    let Some((_, gateway)) = bench.gateway.as_ref().filter(|_| target == Target::Claviger) else {
        return Ok((work()?, None));
    };
    let before = Syncs::read(gateway.private_listen)?;
    let outcome = work()?;
    Ok((outcome, Syncs::read(gateway.private_listen)?.median_since(&before)?))
}

pub(super) fn number(line: &Value, pointer: &str) -> anyhow::Result<f64> {
    line.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no {pointer} in {line}"))
}
