//! `claviger usage`: what was used, summed over a month or a range of days, grouped.

use super::arguments::{UsageCommand, UsageOptions};
use super::keys;
use super::output::{Output, figures, note, say, text, thousands, words};
use super::transport::{Transport, target};
use super::{Failure, Kind, civil};
use claviger_domain::money::Nano;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// `--by` and the API's words.
const DIMENSIONS: [(&str, &str, &str); 4] = [
    ("source_tag", "source_tag", "SOURCE TAG"),
    ("model", "model", "MODEL"),
    ("key", "api_key_id", "KEY"),
    ("environment", "project_id", "ENVIRONMENT"),
];
const COUNTERS: [&str; 4] = ["num_model_requests", "input_tokens", "input_cached_tokens", "output_tokens"];

#[derive(Clone, Copy, Default)]
struct Sum {
    counters: [u64; COUNTERS.len()],
    charge: i128,
}

/// Asks for daily buckets and sums them, or has the server's own sums made again.
pub(super) async fn run(transport: &Transport, output: &Output, options: &UsageOptions) -> Result<ExitCode, Failure> {
    if let Some(UsageCommand::Rebuild) = options.command {
        let rebuilt = transport.post("/api/operator/usage/rebuild", &json!({})).await?.body;
        if !output.json(&rebuilt) {
            let records = thousands(rebuilt["records"].as_u64().unwrap_or_default());
            say(format_args!("usage rebuilt from {records} records"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let by = dimensions(&options.by)?;
    let (from, until) = range(options)?;
    let key = match &options.key {
        None => None,
        Some(named) => Some(keys::find(transport, named).await?),
    };
    let group_by: Vec<&str> = by.iter().map(|(_, field, _)| *field).collect();
    let (from, until) = (from.to_string(), until.map(|until| until.to_string()));
    let first = target(
        "/v1/organization/usage/requests",
        &[
            ("start_time", Some(&from)),
            ("end_time", until.as_deref()),
            ("bucket_width", Some("1d")),
            ("limit", Some("31")),
            ("group_by", Some(&group_by.join(","))),
            ("api_key_ids", key.as_deref()),
            ("models", options.model.as_deref()),
            ("source_tags", options.tag.as_deref()),
        ],
    );
    let (sums, currency) = collect(transport, &first, &group_by).await?;
    print(output, &by, sums, &currency);
    Ok(ExitCode::SUCCESS)
}

type Sums = BTreeMap<Vec<Option<String>>, Sum>;

async fn collect(transport: &Transport, first: &str, fields: &[&str]) -> Result<(Sums, String), Failure> {
    let mut sums = Sums::new();
    let mut next = first.to_owned();
    loop {
        let page = transport.get(&next).await?.body;
        let buckets = page["data"].as_array().into_iter().flatten();
        for result in buckets.flat_map(|bucket| bucket["results"].as_array().into_iter().flatten()) {
            let group = fields.iter().map(|field| result[*field].as_str().map(str::to_owned)).collect();
            let sum = sums.entry(group).or_default();
            for (slot, name) in sum.counters.iter_mut().zip(COUNTERS) {
                *slot = slot.saturating_add(result[name].as_u64().unwrap_or_default());
            }
            let charge: Nano = text(result, "charge").parse().unwrap_or_default();
            sum.charge = sum.charge.saturating_add(i128::from(charge.0));
        }
        match page["next_page"].as_str() {
            Some(token) => next = target(first, &[("page", Some(token))]),
            None => return Ok((sums, text(&page, "currency").to_owned())),
        }
    }
}

fn dimensions(by: &str) -> Result<Vec<(&'static str, &'static str, &'static str)>, Failure> {
    by.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            DIMENSIONS
                .into_iter()
                .find(|(name, _, _)| *name == part)
                .ok_or_else(|| Failure::new(Kind::Usage, format!("--by {part}: source_tag, model, key or environment")))
        })
        .collect()
}

/// Start and, if it is not now, end.
fn range(options: &UsageOptions) -> Result<(i64, Option<i64>), Failure> {
    if let Some(month) = &options.month {
        let (from, until) = civil::month(month)?;
        return Ok((from, Some(until)));
    }
    let until = options.to.as_deref().map(|day| civil::day("--to", day)).transpose()?.map(|(_, end)| end);
    let from = match &options.from {
        Some(day) => civil::day("--from", day)?.0,
        None => {
            use claviger_domain::time::Clock as _;
            let today = crate::clock::MachineClock::new().now().wall.date();
            civil::month(today.get(..7).unwrap_or_default())?.0
        }
    };
    if until.is_some_and(|until| until <= from) {
        return Err(Failure::new(Kind::Usage, "--to lies before --from"));
    }
    Ok((from, until))
}

fn print(output: &Output, by: &[(&'static str, &'static str, &'static str)], sums: Sums, currency: &str) {
    let mut rows: Vec<(Vec<Option<String>>, Sum)> = sums.into_iter().collect();
    rows.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.charge));
    if output.is_json() {
        let objects = rows.iter().map(|(group, sum)| object(by, group, sum, currency)).collect();
        output.json(&Value::Array(objects));
        return;
    }
    let mut total = Sum::default();
    for (_, sum) in &rows {
        total.charge = total.charge.saturating_add(sum.charge);
        for (slot, counter) in total.counters.iter_mut().zip(sum.counters) {
            *slot = slot.saturating_add(counter);
        }
    }
    let mut columns: Vec<_> = by.iter().map(|(_, _, title)| words(title)).collect();
    columns.extend(["SPEND", "SHARE", "REQUESTS", "INPUT", "CACHED", "OUTPUT"].map(figures));
    let mut lines: Vec<Vec<String>> = rows
        .iter()
        .map(|(group, sum)| {
            let names = group.iter().map(|name| name.clone().unwrap_or_else(|| "(none)".to_owned()));
            names.chain(cells(sum, total.charge)).collect()
        })
        .collect();
    if !by.is_empty() {
        let names = std::iter::once("total".to_owned()).chain(by.iter().skip(1).map(|_| String::new()));
        lines.push(names.chain(cells(&total, total.charge)).collect());
    }
    output.table(&columns, lines);
    note(format_args!("{currency}, zone UTC"));
}

fn cells(sum: &Sum, total: i128) -> Vec<String> {
    let share = if total == 0 { "–".to_owned() } else { format!("{} %", sum.charge.saturating_mul(100) / total) };
    let [requests, input, cached, generated] = sum.counters;
    let uncached = input.saturating_sub(cached);
    let mut cells = vec![amount(sum.charge), share];
    cells.extend([requests, uncached, cached, generated].map(thousands));
    cells
}

fn object(
    by: &[(&'static str, &'static str, &'static str)],
    group: &[Option<String>],
    sum: &Sum,
    currency: &str,
) -> Value {
    let mut object = json!({ "charge": amount(sum.charge), "currency": currency });
    for ((_, field, _), value) in by.iter().zip(group) {
        object[*field] = json!(value);
    }
    for (name, counter) in COUNTERS.iter().zip(sum.counters) {
        object[*name] = json!(counter);
    }
    object
}

fn amount(charge: i128) -> String {
    i64::try_from(charge).map_or_else(|_| charge.to_string(), |nano| Nano(nano).to_string())
}
