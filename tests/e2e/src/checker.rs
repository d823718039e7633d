//! Compares three records of the same requests: what clients received, what the upstream saw, what the books say.
//!
//! The checker has no opinion about how the server works. A fault is a sentence; none means the books are right. It
//! counts only because it also runs against builds with seeded bugs and finds them there.

use crate::plan::{PAID_INPUT, PAID_OUTPUT};
use crate::world::World;
use crate::{eventually, token_cost};
use anyhow::Result;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What a client knows about one request it sent.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Our id, if the head of the answer arrived.
    pub request: Option<String>,
    /// The words that make this request unlike any other; they arrive upstream.
    pub marker: String,
    /// Whether the last byte of a good answer arrived.
    pub is_complete: bool,
    /// Whether the client left on purpose.
    pub has_left: bool,
    /// What the whole answer costs.
    pub expected: Expected,
}

/// The meters of the whole answer.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
}

impl Expected {
    /// In nano-units, at the price of the models `paid/…`.
    pub fn cost(self) -> i64 {
        token_cost(self.input, PAID_INPUT, self.output, PAID_OUTPUT)
    }
}

/// Every fault in the books for these requests. `balance_before` is the wallet before the first of them.
///
/// # Errors
/// When a record cannot be read at all.
pub async fn check_books(world: &World, facts: &[Fact], balance_before: i64) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let held = eventually(8, "holds are given back", async || {
        let held = world.held().await?;
        Ok((held == 0).then_some(held))
    })
    .await;
    if held.is_err() {
        faults.push(format!("an open hold stays: {} nano", world.held().await?));
    }
    let seen = upstream_ids(world).await?;
    let mut records = records_of(world, facts).await?;
    let known: HashSet<&String> =
        facts.iter().filter_map(|fact| fact.request.as_ref()).chain(seen.values().map(|(id, _)| id)).collect();
    records.retain(|id, _| known.contains(id));
    let in_doubt: HashSet<String> = world.in_doubt().await?.into_iter().collect();
    let mut charged = 0_i64;
    for (id, record) in &records {
        charged += charge(record);
        if charge(record) > 0 && !seen.values().any(|(request, _)| request == id) {
            faults.push(format!("{id} was charged, but the upstream never saw it"));
        }
    }
    for fact in facts {
        judge(fact, &seen, &records, &in_doubt, &mut faults);
    }
    let balance = world.balance().await?;
    if balance_before - balance != charged {
        faults.push(format!("the wallet lost {} nano, the records charge {charged}", balance_before - balance));
    }
    if let Err(error) = world.verify_ledger().await {
        faults.push(format!("ledger verify: {error}"));
    }
    Ok(faults)
}

fn judge(
    fact: &Fact,
    seen: &HashMap<String, (String, usize)>,
    records: &HashMap<String, Value>,
    in_doubt: &HashSet<String>,
    faults: &mut Vec<String>,
) {
    let arrived = seen.get(&fact.marker).map(|(id, _)| id.clone());
    let Some(id) = fact.request.clone().or(arrived) else {
        if fact.is_complete {
            faults.push(format!("{} was answered without the upstream", fact.marker));
        }
        return;
    };
    let cost = fact.expected.cost();
    let charged = records.get(&id).map(charge);
    match charged {
        None | Some(0) if fact.is_complete => faults.push(format!("{id} was delivered, but not charged")),
        Some(charged) if fact.is_complete && charged != cost => {
            faults.push(format!("{id} was charged {charged}, its price is {cost}"));
        }
        Some(charged) if charged > cost => {
            faults.push(format!("{id} was charged {charged}, the whole answer costs {cost}"))
        }
        Some(charged) if charged > 0 && !fact.is_complete && !fact.has_left && !in_doubt.contains(&id) => {
            let record = records.get(&id).map(Value::to_string).unwrap_or_default();
            faults.push(format!("{id} was charged, did not fully arrive and is not listed in doubt: {record}"));
        }
        _ => {}
    }
}

/// What a record charges, in nano-units.
fn charge(record: &Value) -> i64 {
    match &record["charge"] {
        Value::Number(number) => number.as_i64().unwrap_or_default(),
        Value::String(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            format!("{whole}{fraction:0<9}").parse().unwrap_or_default()
        }
        other => charge_object(other),
    }
}

fn charge_object(value: &Value) -> i64 {
    value.get("value").map_or(0, |value| charge(&serde_json::json!({ "charge": value })))
}

/// Marker → our request id and how often it came, by the upstream's own record.
async fn upstream_ids(world: &World) -> Result<HashMap<String, (String, usize)>> {
    let mut found: HashMap<String, (String, usize)> = HashMap::new();
    for request in world.upstream.seen().await? {
        let body = request.json();
        let text = body["messages"][0]["content"].as_str().unwrap_or_default();
        if let Some(marker) = text.split(' ').next() {
            let entry = found.entry(marker.to_owned()).or_insert_with(|| (request.header("x-request-id"), 0));
            entry.1 += 1;
        }
    }
    Ok(found)
}

async fn records_of(world: &World, facts: &[Fact]) -> Result<HashMap<String, Value>> {
    let records = world.records(facts.len() + 200).await?;
    Ok(records.into_iter().filter_map(|record| Some((record["id"].as_str()?.to_owned(), record))).collect())
}
