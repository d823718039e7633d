//! `claviger keys …`.

use super::arguments::{CreateKeyOptions, Global, ListKeysOptions, RevokeKeyOptions};
use super::output::{Output, note, printable, say, text, time, words};
use super::secret_out::Place;
use super::transport::{Transport, target};
use super::{Failure, Kind};
use crate::clock::MachineClock;
use crate::percent::encoded;
use claviger_domain::time::Clock as _;
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

const KEYS: &str = "/v1/organization/api_keys";
/// Rows of one page.
const PAGE: &str = "100";
const EVERY_STATE: &str = "active,disabled,expired,revoked";

/// Makes a key and hands its text out once.
pub(super) async fn create(
    transport: &Transport,
    output: &Output,
    options: &CreateKeyOptions,
) -> Result<ExitCode, Failure> {
    let mut place = Place::open(options.to_file.as_deref(), options.to_env.as_deref())?;
    if output.is_quiet && !place.is_file() {
        return Err(Failure::new(Kind::Usage, "-q prints the id only, and the key is shown once: add --to-file FILE"));
    }
    let mut body = json!({ "name": options.name });
    if let Some(tag) = &options.tag {
        body["source_tag"] = json!(tag);
    }
    if let Some(environment) = &options.environment {
        body["environment_id"] = json!(find_environment(transport, environment).await?);
    }
    if let Some(expires) = &options.expires {
        let seconds = duration("--expires", expires)?;
        body["expires_in_seconds"] = json!(seconds);
    }
    if options.admin {
        body["class"] = json!("admin");
    }
    if let Some(role) = &options.role {
        body["role"] = json!(role);
    }
    if options.test {
        body["test"] = json!(true);
    }
    let mut key = transport.post(KEYS, &body).await?.body;
    let value = text(&key, "value").to_owned();
    place.take(&value)?;
    if place.is_file()
        && let Some(members) = key.as_object_mut()
    {
        members.remove("value");
    }
    if output.is_quiet {
        say(text(&key, "id"));
    } else if !output.json(&key) {
        print_created(output, &key, &value, place.path());
    }
    Ok(ExitCode::SUCCESS)
}

fn print_created(output: &Output, key: &Value, value: &str, file: Option<&std::path::Path>) {
    let mut line = format!("Created {}  {}", text(key, "id"), printable(text(key, "name")));
    if let Some(tag) = key["source_tag"].as_str() {
        line.push_str(&format!("   source tag {}", printable(tag)));
    }
    if key["expires_at"].is_i64() {
        line.push_str(&format!("   expires {}", time(&key["expires_at"])));
    }
    match file {
        Some(file) => {
            note(&line);
            note(format_args!("Key in            {}", file.display()));
        }
        // Piped: the secret alone, so that it can go straight where it is wanted.
        None if !output.is_terminal => {
            note(&line);
            say(value);
        }
        None => {
            say(&line);
            say(format_args!("Key (shown once)  {value}"));
            say(format_args!("First use         claviger requests list --key {}", text(key, "id")));
        }
    }
}

/// Lists keys, all pages.
pub(super) async fn list(
    transport: &Transport,
    output: &Output,
    options: &ListKeysOptions,
) -> Result<ExitCode, Failure> {
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
    let now = MachineClock::new().now().wall.seconds();
    if let Some(text) = &options.unused {
        let limit = now - duration("--unused", text)?;
        // A key that was never used counts from its making.
        keys.retain(|key| key["last_used_at"].as_i64().or(key["created_at"].as_i64()).is_some_and(|at| at <= limit));
    }
    if let Some(text) = &options.expiring {
        let limit = now + duration("--expiring", text)?;
        keys.retain(|key| key["expires_at"].as_i64().is_some_and(|at| at <= limit));
    }
    let columns = [
        words("ID"),
        words("NAME"),
        words("KEY"),
        words("SOURCE TAG"),
        words("STATE"),
        words("CREATED"),
        words("LAST USED"),
    ];
    output.rows(&keys, &columns, |key| {
        vec![
            text(key, "id").to_owned(),
            text(key, "name").to_owned(),
            text(key, "redacted_value").to_owned(),
            text(key, "source_tag").to_owned(),
            state(key),
            time(&key["created_at"]),
            time(&key["last_used_at"]),
        ]
    });
    Ok(ExitCode::SUCCESS)
}

fn duration(flag: &str, text: &str) -> Result<i64, Failure> {
    let seconds = super::civil::seconds(text);
    seconds.ok_or_else(|| Failure::new(Kind::Usage, format!("{flag} {text}: a duration such as 90d or 12h")))
}

fn state(key: &Value) -> String {
    let mut shown = text(key, "state").to_owned();
    if text(key, "class") == "admin" {
        shown.push_str(", admin");
    }
    if key["test"] == json!(true) {
        shown.push_str(", test");
    }
    shown
}

/// Shows one key.
pub(super) async fn get(transport: &Transport, output: &Output, named: &str) -> Result<ExitCode, Failure> {
    let id = find(transport, named).await?;
    let key = transport.get(&format!("{KEYS}/{}", encoded(&id))).await;
    let key = key.map_err(|failure| unknown(failure, &id))?.body;
    if !output.json(&key) {
        show(output, &key);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, key: &Value) {
    if output.is_quiet {
        say(text(key, "id"));
        return;
    }
    let flags: Vec<&str> = key["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let lines = [
        ("id", text(key, "id").to_owned()),
        ("name", text(key, "name").to_owned()),
        ("key", text(key, "redacted_value").to_owned()),
        ("class", text(key, "class").to_owned()),
        ("role", text(key, "role").to_owned()),
        ("state", state(key)),
        ("flags", flags.join(", ")),
        ("environment", text(key, "environment_id").to_owned()),
        ("source tag", text(key, "source_tag").to_owned()),
        ("expires", time(&key["expires_at"])),
        ("created", time(&key["created_at"])),
        ("last used", time(&key["last_used_at"])),
    ];
    let rows =
        lines.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| vec![name.to_owned(), value]);
    output.table(&[words(""), words("")], rows.collect());
}

/// Ends a key for ever, after asking.
pub(super) async fn revoke(
    transport: &Transport,
    output: &Output,
    global: &Global,
    options: &RevokeKeyOptions,
) -> Result<ExitCode, Failure> {
    let id = find(transport, &options.key).await?;
    if !global.yes {
        confirm(&format!("Revoke {id} for ever?"))?;
    }
    let body = options.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let key = transport.post(&format!("{KEYS}/{}/revoke", encoded(&id)), &body).await;
    let key = key.map_err(|failure| unknown(failure, &id))?.body;
    if !output.json(&key) && !output.is_quiet {
        say(format_args!("Revoked {id} ({}). {}", printable(text(&key, "name")), confirmed(&key["confirmation"])));
    }
    Ok(ExitCode::SUCCESS)
}

/// Disables or enables a key; can be undone, so nobody is asked.
pub(super) async fn turn(transport: &Transport, output: &Output, named: &str, act: &str) -> Result<ExitCode, Failure> {
    let id = find(transport, named).await?;
    let key = transport.post(&format!("{KEYS}/{}/{act}", encoded(&id)), &json!({})).await;
    let key = key.map_err(|failure| unknown(failure, &id))?.body;
    if !output.json(&key) && !output.is_quiet {
        let done = if act == "disable" { "Disabled" } else { "Enabled" };
        say(format_args!("{done} {id} ({}). {}", printable(text(&key, "name")), confirmed(&key["confirmation"])));
    }
    Ok(ExitCode::SUCCESS)
}

fn confirmed(confirmation: &Value) -> String {
    match confirmation["nodes"].as_array().map_or(0, Vec::len) {
        0 => "No server is running.".to_owned(),
        nodes => format!("Confirmed by {nodes} of {nodes} nodes in {} ms.", confirmation["took_ms"]),
    }
}

pub(super) fn confirm(question: &str) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(Kind::Usage, format!("{question} Nobody is there to answer: add -y")));
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if read.is_ok() && line.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(Failure::new(Kind::Failed, "nothing was done"))
    }
}

fn unknown(failure: Failure, id: &str) -> Failure {
    failure.looking_for(format_args!("There is no key `{}`.", printable(id)), "claviger keys list --all")
}

/// The id that an id or a name means. A name must fit exactly one living key or, where none lives, exactly one that ended:
/// a new key often bears the name of the one it replaced.
pub(super) async fn find(transport: &Transport, named: &str) -> Result<String, Failure> {
    if named.parse::<claviger_domain::id::KeyId>().is_ok() {
        return Ok(named.to_owned());
    }
    let parameters = [("limit", Some(PAGE)), ("state", Some(EVERY_STATE)), ("q", Some(named))];
    let mut found = pages(transport, &target(KEYS, &parameters), usize::MAX).await?;
    found.retain(|key| text(key, "name") == named);
    let living: Vec<&Value> = found.iter().filter(|key| matches!(text(key, "state"), "active" | "disabled")).collect();
    let candidates = if living.is_empty() { found.iter().collect() } else { living };
    match candidates.as_slice() {
        [key] => Ok(text(key, "id").to_owned()),
        [] => {
            let what = format!("no key is named `{}`", printable(named));
            Err(Failure::new(Kind::NotFound, what).next("claviger keys list --all"))
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|key| text(key, "id")).collect();
            let what = format!("several keys are named `{}`: use one of the ids {}", printable(named), ids.join(", "));
            Err(Failure::new(Kind::Conflict, what).next("claviger keys list --all"))
        }
    }
}

async fn find_environment(transport: &Transport, named: &str) -> Result<String, Failure> {
    if named.parse::<claviger_domain::id::EnvironmentId>().is_ok() {
        return Ok(named.to_owned());
    }
    let list = transport.get("/v1/organization/projects?limit=100").await?.body;
    let found = list["data"].as_array().into_iter().flatten().find(|row| text(row, "name") == named);
    found
        .map(|row| text(row, "id").to_owned())
        .ok_or_else(|| Failure::new(Kind::NotFound, format!("no environment is named `{named}`")))
}

/// The rows of a list, page after page, at most `most`.
pub(super) async fn pages(transport: &Transport, first: &str, most: usize) -> Result<Vec<Value>, Failure> {
    let mut rows: Vec<Value> = Vec::new();
    let mut next = first.to_owned();
    loop {
        let page = transport.get(&next).await?.body;
        rows.extend(page["data"].as_array().cloned().unwrap_or_default());
        let last = page["last_id"].as_str().filter(|_| page["has_more"] == json!(true));
        match last {
            Some(last) if rows.len() < most => next = target(first, &[("after", Some(last))]),
            _ => break,
        }
    }
    rows.truncate(most);
    Ok(rows)
}
