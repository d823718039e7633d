//! `keys lookup`: which of our own keys leaked, and what they spent since. Ids and SHA-256 hashes go to the server, never
//! a text.

use super::arguments::LookupOptions;
use super::{KEYS, duration, seconds_now};
use crate::cli::arguments::Global;
use crate::cli::output::{Output, figures, note, text, time, words};
use crate::cli::transport::Transport;
use crate::cli::{Failure, Kind, scan};
use crate::config::Variables;
use claviger_domain::key::leak;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::ExitCode;

/// What is looked through at most; `keys scan` takes more.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The server takes so many at once.
const PIECE: usize = 100;

/// What is to be looked up: ids as they were typed, or hashes of the keys in what was pasted.
pub(super) struct Trails {
    ids: Vec<String>,
    hashes: Vec<String>,
}

impl Trails {
    /// Reads them before any server is asked.
    pub(super) fn read(global: &Global, variables: &Variables, options: &LookupOptions) -> Result<Self, Failure> {
        if !options.ids.is_empty() {
            return Ok(Self { ids: options.ids.clone(), hashes: Vec::new() });
        }
        let prefixes = scan::prefixes(global, variables, &options.prefix)?;
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| Failure::new(Kind::Usage, format!("standard input cannot be read: {error}")))?;
        let hashes: BTreeSet<String> = leak::find(&bytes, &prefixes)
            .into_iter()
            .filter_map(|found| bytes.get(found.range))
            .map(|key| Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        if hashes.is_empty() {
            return Err(Failure::new(Kind::NotFound, "there is no key in what was pasted").next("claviger keys check"));
        }
        Ok(Self { ids: Vec::new(), hashes: hashes.into_iter().collect() })
    }
}

/// Prints our own among them; exit 3 if there is none.
pub(super) async fn run(
    transport: &Transport,
    output: &Output,
    options: &LookupOptions,
    trails: &Trails,
) -> Result<ExitCode, Failure> {
    let since = match &options.since {
        None => None,
        Some(text) => Some(seconds_now() - duration("--since", text)?),
    };
    let mut found: Vec<Value> = Vec::new();
    for (member, list) in [("ids", &trails.ids), ("sha256", &trails.hashes)] {
        for piece in list.chunks(PIECE) {
            let mut body = json!({ member: piece });
            if let Some(since) = since {
                body["since"] = json!(since);
            }
            let reply = transport.post(&format!("{KEYS}/lookup"), &body).await?.body;
            found.extend(reply["data"].as_array().into_iter().flatten().cloned());
        }
    }
    let asked = trails.ids.len() + trails.hashes.len();
    if !output.is_quiet {
        note(format_args!("{} of {asked} are keys of this organization", found.len()));
    }
    if output.is_quiet {
        found.iter().for_each(|row| crate::cli::say(text(&row["key"], "id")));
    } else {
        let titles = ["ID", "NAME", "MATCH", "STATE", "OPENS", "LAST USED"].map(words);
        let columns: Vec<_> = titles.into_iter().chain([figures("SPEND")]).collect();
        output.rows(&found, &columns, cells);
    }
    Ok(if found.is_empty() { ExitCode::from(Kind::NotFound as u8) } else { ExitCode::SUCCESS })
}

fn cells(row: &Value) -> Vec<String> {
    let key = &row["key"];
    vec![
        text(key, "id").to_owned(),
        text(key, "name").to_owned(),
        text(row, "match").to_owned(),
        text(key, "state").to_owned(),
        if row["is_live"] == json!(true) { "yes" } else { "no" }.to_owned(),
        time(&key["last_used_at"]),
        text(row, "spend").to_owned(),
    ]
}
