//! The one table of a run, in Markdown: a row for each figure, a column for each target.

use std::time::Duration;

use serde_json::Value;

use super::figures::{Figures, Sample, Spread, Target};

/// A figure's name and its cell for each target.
struct Row {
    name: String,
    cells: Vec<String>,
}

/// Renders the figures; every cell with several rounds is `median [least–greatest]`.
pub(crate) fn render(figures: &Figures, machine: &[String], took: Duration) -> String {
    let targets: Vec<Target> = Target::ALL
        .into_iter()
        .filter(|target| figures.rounds.first().is_some_and(|round| round.contains_key(target)))
        .collect();
    let mut rows = capacity(figures, &targets);
    rows.extend(latency(figures, &targets));
    rows.extend(memory(figures, &targets));
    let mut text: String = machine.iter().map(|line| format!("- {line}\n")).collect();
    text += &format!("- took {} s\n\n", took.as_secs());
    text += &layout(&targets, &rows);
    text += &format!(
        "
Other processes used {:.0} % of the machine during the rounds.
",
        figures.neighbours * 100.0
    );
    if let Some(ledger) = &figures.ledger {
        let transfers = ledger.pointer("/transfers").and_then(Value::as_u64);
        text += &format!("\n`ledger verify` behind the load: {ledger}");
        text += &transfers.map_or_else(String::new, |count| format!(" ({count} transfers)"));
        text.push('\n');
    }
    for held in figures.held.iter().filter(|held| held.lost > 0) {
        let fault = held.fault.as_deref().unwrap_or("unknown");
        text += &format!("\n{}: {} of {} streams lost, the last: {fault}\n", held.target.name(), held.lost, held.asked);
    }
    text
}

fn capacity(figures: &Figures, targets: &[Target]) -> Vec<Row> {
    let own = |name: &str, digits, figure: fn(&Sample) -> Option<f64>| {
        row(name, targets, |target| cell(figures.own(target, figure), digits))
    };
    let share = |name: &str, figure: fn(&Sample) -> Option<f64>| {
        row(name, targets, |target| {
            let ratio = figures.against(target, Target::Nginx, |own, nginx| Some(figure(own)? / figure(nginx)?));
            cell(ratio, 2)
        })
    };
    vec![
        own("requests/s, 64 connections", 0, |sample| Some(sample.per_second)),
        own("core used", 2, |sample| Some(sample.cpu_seconds? / sample.wall_seconds)),
        own("requests per core-second", 0, Sample::per_core_second),
        share("— of nginx's", Sample::per_core_second),
        own("CPU per request, µs", 1, Sample::cpu_microseconds),
        share("— times nginx's", Sample::cpu_microseconds),
        own("calls gone wrong (all loads)", 0, |sample| Some(sample.bad as f64)),
    ]
}

fn latency(figures: &Figures, targets: &[Target]) -> Vec<Row> {
    let own = |name: &str, figure: fn(&Sample) -> f64| {
        row(name, targets, |target| cell(figures.own(target, |sample| Some(figure(sample))), 2))
    };
    let added = |name: &str, figure: fn(&Sample) -> f64| {
        row(name, targets, |target| {
            let spread = figures.against(target, Target::Direct, |own, direct| Some(figure(own) - figure(direct)));
            cell(spread.filter(|_| target != Target::Direct), 2)
        })
    };
    let beyond_sync = row("added p50 beyond the disk's sync, ms", targets, |target| {
        cell(added_beyond_sync(figures, target).filter(|_| target == Target::Claviger), 2)
    });
    vec![
        own("p50 at 500 requests/s, ms", |sample| sample.p50_ms),
        own("p99 at 500 requests/s, ms", |sample| sample.p99_ms),
        added("added p50, ms", |sample| sample.p50_ms),
        row("of which the journal's sync p50, ms", targets, |target| {
            cell(figures.own(target, |sample| sample.sync_ms), 2)
        }),
        beyond_sync,
        added("added p99, ms", |sample| sample.p99_ms),
        own("first SSE byte p50, ms", |sample| sample.first_p50_ms),
        added("added first SSE byte p50, ms", |sample| sample.first_p50_ms),
        added("added first SSE byte p99, ms", |sample| sample.first_p99_ms),
    ]
}

/// The added median less the median of the journal's own syncs meanwhile.
pub(crate) fn added_beyond_sync(figures: &Figures, target: Target) -> Option<Spread> {
    figures.against(target, Target::Direct, |own, direct| Some(own.p50_ms - direct.p50_ms - own.sync_ms?))
}

fn memory(figures: &Figures, targets: &[Target]) -> Vec<Row> {
    let plain = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
    let mut rows = vec![
        row("memory with 1,000 keys, idle, MiB", targets, |target| plain(figures.idle_mib.get(&target).copied())),
        row("memory behind the rounds, MiB", targets, |target| plain(figures.loaded_mib.get(&target).copied())),
    ];
    let mut counts: Vec<usize> = figures.held.iter().map(|held| held.asked).collect();
    counts.dedup();
    for count in counts {
        let held = |target| figures.held.iter().find(|held| held.target == target && held.asked == count);
        rows.push(row(&format!("{count} streams: alive / lost"), targets, |target| {
            held(target).map_or_else(|| "–".to_owned(), |held| format!("{} / {}", held.alive, held.lost))
        }));
        rows.push(row(&format!("{count} streams: memory, MiB"), targets, |target| {
            plain(held(target).and_then(|held| held.memory_mib).map(|(_, during)| during))
        }));
        rows.push(row(&format!("{count} streams: KiB per stream"), targets, |target| {
            plain(held(target).and_then(|held| held.kibibytes_per_stream()))
        }));
    }
    rows
}

fn row(name: &str, targets: &[Target], cell: impl Fn(Target) -> String) -> Row {
    Row { name: name.to_owned(), cells: targets.iter().map(|target| cell(*target)).collect() }
}

pub(super) fn cell(spread: Option<Spread>, digits: usize) -> String {
    match spread {
        None => "–".to_owned(),
        Some(Spread { median, least, greatest }) if least == greatest => format!("{median:.digits$}"),
        Some(Spread { median, least, greatest }) => format!("{median:.digits$} [{least:.digits$}–{greatest:.digits$}]"),
    }
}

fn layout(targets: &[Target], rows: &[Row]) -> String {
    let mut lines =
        vec![std::iter::once("figure").chain(targets.iter().map(|target| target.name())).collect::<Vec<_>>()];
    lines.extend(
        rows.iter().map(|row| std::iter::once(row.name.as_str()).chain(row.cells.iter().map(String::as_str)).collect()),
    );
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..=targets.len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            text += &format!("| {cell:<width$} ");
        }
        text += "|\n";
        if number == 0 {
            for width in &widths {
                text += &format!("|{}", "-".repeat(width + 2));
            }
            text += "|\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_shows_the_spread_and_a_missing_figure_a_dash() {
        assert_eq!(cell(Some(Spread { median: 1.5, least: 1.25, greatest: 2.0 }), 2), "1.50 [1.25–2.00]");
        assert_eq!(cell(Some(Spread { median: 1.0, least: 1.0, greatest: 1.0 }), 0), "1");
        assert_eq!(cell(None, 2), "–");
    }
}
