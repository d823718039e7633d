//! `keys list` and `keys get`.

use super::arguments::ListOptions;
use super::{EVERY_STATE, KEYS, PAGE, duration, find, find_environment, load, pages, seconds_now};
use crate::cli::Failure;
use crate::cli::output::{Output, say, text, time, words};
use crate::cli::transport::{Transport, target};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Flags that say what a key lacks, which most keys do: shown by `get`, noise in a table.
const USUAL: [&str; 2] = ["no_expiry", "no_budget"];

/// Lists keys, all pages.
pub(super) async fn list(transport: &Transport, output: &Output, options: &ListOptions) -> Result<ExitCode, Failure> {
    let environment = match &options.environment {
        None => None,
        Some(named) => Some(find_environment(transport, named).await?),
    };
    let states = options.all.then_some(EVERY_STATE);
    let first = target(
        KEYS,
        &[
            ("limit", Some(PAGE)),
            ("source_tag", options.tag.as_deref()),
            ("environment_id", environment.as_deref()),
            ("state", states),
            ("q", options.search.as_deref()),
        ],
    );
    let mut keys = pages(transport, &first, usize::MAX).await?;
    narrow(&mut keys, options, seconds_now())?;
    let titles = ["ID", "NAME", "KEY", "SOURCE TAG", "STATE", "CREATED", "LAST USED", "FLAGS"];
    output.rows(&keys, &titles.map(words), |key| {
        vec![
            text(key, "id").to_owned(),
            text(key, "name").to_owned(),
            text(key, "redacted_value").to_owned(),
            text(key, "source_tag").to_owned(),
            state(key),
            time(&key["created_at"]),
            time(&key["last_used_at"]),
            flags(key).into_iter().filter(|flag| !USUAL.contains(flag)).collect::<Vec<_>>().join(", "),
        ]
    });
    Ok(ExitCode::SUCCESS)
}

/// The API's filters count whole days; a command line says hours too.
fn narrow(keys: &mut Vec<Value>, options: &ListOptions, now: i64) -> Result<(), Failure> {
    if let Some(text) = &options.unused {
        let limit = now - duration("--unused", text)?;
        // A key that was never used counts from its making.
        keys.retain(|key| key["last_used_at"].as_i64().or(key["created_at"].as_i64()).is_some_and(|at| at <= limit));
    }
    if let Some(text) = &options.expiring {
        let limit = now + duration("--expiring", text)?;
        keys.retain(|key| key["expires_at"].as_i64().is_some_and(|at| at <= limit));
    }
    if let Some(text) = &options.older_than {
        let limit = now - duration("--older-than", text)?;
        keys.retain(|key| {
            newest(key).is_some_and(|secret| secret["created_at"].as_i64().is_some_and(|at| at <= limit))
        });
    }
    Ok(())
}

/// The text that new callers have.
fn newest(key: &Value) -> Option<&Value> {
    let secrets = key["secrets"].as_array()?.iter();
    secrets.filter(|secret| secret["end_reason"] != json!("reissued")).max_by_key(|secret| secret["number"].as_u64())
}

fn flags(key: &Value) -> Vec<&str> {
    key["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn state(key: &Value) -> String {
    let mut shown = text(key, "state").to_owned();
    if text(key, "class") == "admin" {
        shown.push_str(", admin");
    }
    for word in ["test", "canary"] {
        if key[word] == json!(true) {
            shown = format!("{shown}, {word}");
        }
    }
    shown
}

/// Shows one key.
pub(super) async fn get(transport: &Transport, output: &Output, named: &str) -> Result<ExitCode, Failure> {
    let id = find(transport, named).await?;
    let key = load(transport, &id).await?;
    if output.is_quiet {
        say(text(&key, "id"));
    } else if !output.json(&key) {
        output.table(&[words(""), words("")], lines(&key));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is there, line by line; what is not has none.
fn lines(key: &Value) -> Vec<Vec<String>> {
    let mut lines = vec![
        ("id", text(key, "id").to_owned()),
        ("name", text(key, "name").to_owned()),
        ("key", text(key, "redacted_value").to_owned()),
        ("class", text(key, "class").to_owned()),
        ("role", text(key, "role").to_owned()),
        ("state", state(key)),
        ("flags", flags(key).join(", ")),
        ("environment", text(key, "environment_id").to_owned()),
        ("source tag", text(key, "source_tag").to_owned()),
        ("owner", text(&key["owner"], "id").to_owned()),
        ("stored in", text(key, "stored_in").to_owned()),
        ("expires", time(&key["expires_at"])),
        ("created", time(&key["created_at"])),
        ("last used", time(&key["last_used_at"])),
    ];
    for (name, restricted) in [("limits", &key["limits"]), ("policy", &key["policy"]), ("shadow", &key["shadow"])] {
        lines.push((name, restrictions(restricted)));
    }
    let mut rows: Vec<Vec<String>> = lines
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    for secret in key["secrets"].as_array().into_iter().flatten() {
        rows.push(vec![format!("secret {}", secret["number"]), secret_line(secret)]);
    }
    rows
}

/// `rpm 60, models acme/*`: members that restrict something.
fn restrictions(of: &Value) -> String {
    let mut said = Vec::new();
    for (name, value) in of.as_object().into_iter().flatten() {
        match value {
            Value::Number(number) => said.push(format!("{name} {number}")),
            Value::Array(items) if !items.is_empty() => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                said.push(format!("{name} {}", items.join(" ")));
            }
            Value::String(word) if word != "organization" => said.push(format!("{name} {word}")),
            _ => {}
        }
    }
    said.join(", ")
}

fn secret_line(secret: &Value) -> String {
    let mut line = format!("{}  {}", text(secret, "id"), text(secret, "redacted_value"));
    let moments = [("made", "created_at"), ("ends", "ends_at"), ("ended", "ended_at"), ("last used", "last_used_at")];
    for (word, member) in moments {
        // What has ended needs no end.
        if secret[member].is_i64() && !(member == "ends_at" && secret["ended_at"].is_i64()) {
            line.push_str(&format!("  {word} {}", time(&secret[member])));
        }
    }
    if secret["safe_to_end"] == json!(true) {
        line.push_str("  quiet: safe to end");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_restricts_is_said() {
        let limits = json!({ "rpm": 60, "tpm": null, "budgets": [] });
        assert_eq!(restrictions(&limits), "rpm 60");
        let policy = json!({ "models": ["acme/*", "gpt-4"], "ips": null, "reach": "organization", "permissions": [] });
        assert_eq!(restrictions(&policy), "models acme/* gpt-4");
        assert_eq!(restrictions(&Value::Null), "");
    }
}
