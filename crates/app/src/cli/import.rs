//! `claviger import`: reads a source here, sends digests in batches of a thousand, and reports every row.
//!
//! A batch is one transaction and digests count once, so a broken import is run again; `--resume` goes on behind the last
//! batch that was confirmed, which a small file beside the source's name remembers.

use super::output::{Output, note, printable, say, text, thousands};
use super::transport::Transport;
use super::{Failure, Kind};
use crate::import::{Found, System, rows, systems};
use clap::Args;
use claviger_domain::limits;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Debug, Args)]
pub(super) struct ImportOptions {
    /// The system that the keys come from
    #[arg(value_enum)]
    system: System,
    /// A SQLite file, a postgres:// URL, a JSON or CSV export
    source: String,
    /// `--dry-run`: the server says what would happen.
    #[arg(skip)]
    pub(super) dry_run: bool,
    /// Go on behind the rows of an import that was broken off
    #[arg(long)]
    resume: bool,
}

#[derive(Default)]
struct Counts {
    imported: u64,
    existing: u64,
    refused: u64,
}

pub(super) async fn run(transport: &Transport, output: &Output, options: &ImportOptions) -> Result<ExitCode, Failure> {
    let found = rows::read(options.system, &options.source).await?;
    let mark = Mark::of(options);
    let begin = if options.resume { mark.read().min(found.len()) } else { 0 };
    let bar = bar(found.len());
    bar.set_position(u64::try_from(begin).unwrap_or_default());
    let mut counts = Counts::default();
    for (index, batch) in found[begin..].chunks(limits::IMPORT_ROWS).enumerate() {
        let first = begin + index * limits::IMPORT_ROWS;
        let sent = send(transport, options, batch).await;
        let rows = sent.inspect_err(|_| {
            let done = thousands(u64::try_from(first).unwrap_or_default());
            note(format_args!("{done} rows are done; the same command with --resume goes on behind them"));
        })?;
        for (offset, row) in rows.iter().enumerate() {
            counts.add(text(row, "outcome"));
            bar.suspend(|| show(output, first + offset + 1, row));
        }
        bar.inc(u64::try_from(batch.len()).unwrap_or_default());
        if !options.dry_run {
            mark.write(first + batch.len());
        }
    }
    bar.finish_and_clear();
    mark.remove();
    let Counts { imported, existing, refused } = &counts;
    let would = if options.dry_run { "would be " } else { "" };
    note(format_args!(
        "{} {would}imported, {} already here, {} not importable",
        thousands(*imported),
        thousands(*existing),
        thousands(*refused)
    ));
    Ok(if counts.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Counts {
    fn add(&mut self, outcome: &str) {
        match outcome {
            "imported" => self.imported += 1,
            "existing" => self.existing += 1,
            _ => self.refused += 1,
        }
    }
}

/// Sends what is importable of a batch; every row has a report, in its order.
async fn send(transport: &Transport, options: &ImportOptions, batch: &[Value]) -> Result<Vec<Value>, Failure> {
    let read: Vec<Result<Found, String>> = batch.iter().map(|row| systems::read(options.system, row)).collect();
    let good: Vec<&Value> = read.iter().filter_map(|row| row.as_ref().ok()).map(|found| &found.row).collect();
    let mut reports = Vec::new();
    if !good.is_empty() {
        let body = json!({ "source": options.system.name(), "dry_run": options.dry_run, "rows": good });
        let reply = transport.post("/v1/organization/api_keys/import", &body).await?.body;
        reports = reply["rows"].as_array().cloned().unwrap_or_default();
        if reports.len() != good.len() {
            return Err(Failure::new(Kind::Failed, "the server's report does not fit what was sent"));
        }
    }
    let mut reports = reports.into_iter();
    let rows = read.iter().map(|row| match row {
        Err(reason) => json!({ "outcome": "refused", "id": null, "reason": reason, "notes": [] }),
        Ok(found) => {
            let mut report = reports.next().unwrap_or_default();
            report["name"] = found.row["name"].clone();
            report["notes"] = json!(found.notes);
            report
        }
    });
    Ok(rows.collect())
}

fn show(output: &Output, number: usize, row: &Value) {
    if output.is_json() {
        let mut row = row.clone();
        row["row"] = json!(number);
        return say(row);
    }
    if output.is_quiet {
        if let Some(id) = row["id"].as_str() {
            say(id);
        }
        return;
    }
    let told = [row["id"].as_str(), row["name"].as_str(), row["reason"].as_str()];
    let notes = row["notes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let told: Vec<String> = told.into_iter().flatten().chain(notes).map(printable).collect();
    say(format_args!("row {number}  {}  {}", text(row, "outcome"), told.join("  ")));
}

/// On a terminal a bar; elsewhere nothing but the report.
fn bar(rows: usize) -> ProgressBar {
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(rows), target);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} keys  {per_sec}  {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How far an import came: a number in a file of this directory, named by what was imported.
struct Mark(PathBuf);

impl Mark {
    fn of(options: &ImportOptions) -> Self {
        let named = Sha256::digest(format!("{} {}", options.system.name(), options.source).as_bytes());
        let name: String = named.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self(PathBuf::from(format!(".claviger-import-{name}")))
    }

    fn read(&self) -> usize {
        std::fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Losing the mark costs time only: what is here already is not imported twice.
    fn write(&self, rows: usize) {
        let _ = std::fs::write(&self.0, format!("{rows}\n"));
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
