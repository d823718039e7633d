//! What the wire costs beside a short chat: the first byte of a stream and the pace of its chunks, vectors of 15 KB of text, and
//! a form of 2 MB. Each target in each round, every ratio and every "added" within its round, like the large table.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::figures::{Spread, Target};
use super::gateway::{SOUND_MODEL, VECTOR_MODEL};
use super::measure::{CLOSED_CONNECTIONS, STREAM_CONNECTIONS, STREAM_RATE, generate, number};
use super::table::cell;
use super::{Bench, Options, process};
use crate::arguments::Arguments;

/// Forms in flight: of 2 MB each, more would measure memory.
const FORM_CONNECTIONS: usize = 8;

/// The figures of one target in one round, by their names.
type Sample = BTreeMap<&'static str, f64>;

/// Starts everything, measures, prints one table.
///
/// # Errors
/// When something does not start, or one call goes wrong.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut options = Options::from_arguments(arguments)?;
    options.targets.retain(|target| *target != Target::ClavigerFree);
    std::fs::create_dir_all(&options.dir)?;
    options.dir = std::fs::canonicalize(&options.dir)?;
    let (dir, rounds, keep) = (options.dir.clone(), options.rounds, options.keep);
    let mut bench = Bench::start(options).with_context(|| format!("logs are in {}", dir.display()))?;
    let mut all = Vec::new();
    // The first round fills pools and caches; its figures are thrown away.
    for number in 0..=rounds {
        let mut targets = bench.options.targets.clone();
        let first = number % targets.len();
        targets.rotate_left(first);
        let samples = targets.into_iter().map(|target| Ok((target, sample(&bench, target)?)));
        let round = samples.collect::<anyhow::Result<BTreeMap<Target, Sample>>>()?;
        if number > 0 {
            all.push(round);
        }
    }
    bench.children.stop();
    println!("{}", render(&bench.options.targets, &all));
    if !keep {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

fn sample(bench: &Bench, target: Target) -> anyhow::Result<Sample> {
    let mut sample = Sample::new();
    let words = [
        ("rate", STREAM_RATE.to_string()),
        ("connections", STREAM_CONNECTIONS.to_string()),
        ("seconds", bench.options.seconds.to_string()),
    ];
    let line = generate(bench, target, "sse", target.stream_model(), &words, bench.options.seconds)?;
    all_went_well(&line)?;
    for (name, pointer) in [
        ("first SSE byte p50, ms", "/latency/p50_ms"),
        ("first SSE byte p99, ms", "/latency/p99_ms"),
        ("between two chunks of 20 ms p50, ms", "/gap/p50_ms"),
        ("between two chunks of 20 ms p99, ms", "/gap/p99_ms"),
    ] {
        sample.insert(name, number(&line, pointer)?);
    }
    let loads = [
        (
            "embeddings",
            "embeddings",
            VECTOR_MODEL,
            CLOSED_CONNECTIONS,
            ["15 KB embeddings/s", "15 KB embeddings: CPU, µs"],
        ),
        ("form", "audio/transcriptions", SOUND_MODEL, FORM_CONNECTIONS, ["2 MB forms/s", "2 MB forms: CPU, µs"]),
    ];
    for (ask, path, model, connections, [rate, cpu]) in loads {
        let words = [
            ("connections", connections.to_string()),
            ("seconds", bench.options.seconds.to_string()),
            ("ask", ask.to_owned()),
            ("path", path.to_owned()),
        ];
        let before = bench.pid(target).map(process::cpu_seconds);
        let line = generate(bench, target, "load", model, &words, bench.options.seconds)?;
        all_went_well(&line)?;
        sample.insert(rate, number(&line, "/per_second")?);
        if let Some((pid, before)) = bench.pid(target).zip(before) {
            sample.insert(cpu, (process::cpu_seconds(pid) - before) * 1e6 / number(&line, "/ok")?);
        }
    }
    Ok(sample)
}

fn all_went_well(line: &Value) -> anyhow::Result<()> {
    ensure!(number(line, "/bad")? == 0.0 && number(line, "/ok")? > 0.0, "calls went wrong: {line}");
    Ok(())
}

/// Figures of each target, then what it adds to the bare upstream or is of nginx's.
fn render(targets: &[Target], rounds: &[BTreeMap<Target, Sample>]) -> String {
    let spread = |figure: &dyn Fn(&BTreeMap<Target, Sample>) -> Option<f64>| {
        cell(Spread::of(rounds.iter().filter_map(figure).collect()), 2)
    };
    let names: Vec<&str> =
        rounds.first().into_iter().flatten().flat_map(|(_, sample)| sample.keys().copied()).collect();
    let names: std::collections::BTreeSet<&str> = names.into_iter().collect();
    let heads: Vec<&str> = targets.iter().map(|target| target.name()).collect();
    let mut text = format!("| figure | {} |\n|--|{}\n", heads.join(" | "), "--|".repeat(heads.len()));
    for name in names {
        let own = targets.iter().map(|target| spread(&|round| round.get(target)?.get(name).copied()));
        text += &format!("| {name} | {} |\n", own.collect::<Vec<_>>().join(" | "));
        let is_delay = name.ends_with("ms");
        let against = targets.iter().map(|target| match (is_delay, target) {
            (true, Target::Direct) | (false, Target::Direct | Target::Nginx) => "–".to_owned(),
            (true, _) => spread(&|round| Some(round.get(target)?.get(name)? - round.get(&Target::Direct)?.get(name)?)),
            (false, _) => spread(&|round| Some(round.get(target)?.get(name)? / round.get(&Target::Nginx)?.get(name)?)),
        });
        let label = if is_delay { "— added" } else { "— times nginx's" };
        text += &format!("| {label} | {} |\n", against.collect::<Vec<_>>().join(" | "));
    }
    text
}
