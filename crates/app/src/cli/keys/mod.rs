//! `claviger keys …`: one file per command or two; here is what they share, and how a key is found by its name.

pub(super) mod arguments;
mod callers;
pub(super) mod check;
mod create;
mod edit;
mod list;
mod lookup;
mod overlap;
mod revoke;
mod rotate;
mod shown_once;
mod verify;
mod writable;

use super::arguments::Global;
use super::output::{Output, printable, say, text};
use super::transport::{Transport, target};
use super::{Failure, Kind};
use crate::clock::MachineClock;
use crate::config::Variables;
use crate::percent::encoded;
use arguments::KeysCommand;
use claviger_domain::time::Clock as _;
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

const KEYS: &str = "/v1/organization/api_keys";
/// Rows of one page.
const PAGE: &str = "100";
const EVERY_STATE: &str = "active,disabled,expired,revoked";

/// What the server is asked for. `check`, `scan` and `pattern` ask nobody and are done before.
pub(super) async fn run(
    transport: &Transport,
    output: &Output,
    global: &Global,
    variables: &Variables,
    command: KeysCommand,
) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Create(options) => create::run(transport, output, &options).await,
        KeysCommand::List(options) => list::list(transport, output, &options).await,
        KeysCommand::Get { key } => list::get(transport, output, &key).await,
        KeysCommand::Callers { key } => callers::run(transport, output, &key).await,
        KeysCommand::Edit(options) => edit::run(transport, output, &options).await,
        KeysCommand::Rotate(options) => rotate::rotate(transport, output, &options).await,
        KeysCommand::Reissue(options) => rotate::reissue(transport, output, &options).await,
        KeysCommand::EndOverlap(options) => overlap::end(transport, output, global, &options).await,
        KeysCommand::ExtendOverlap(options) => overlap::extend(transport, output, &options).await,
        KeysCommand::Disable { key } => revoke::turn(transport, output, &key, "disable").await,
        KeysCommand::Enable { key } => revoke::turn(transport, output, &key, "enable").await,
        KeysCommand::Revoke(options) => revoke::run(transport, output, global, &options).await,
        KeysCommand::Verify(options) => verify::run(transport, output, &options).await,
        KeysCommand::Lookup(options) => {
            let trails = lookup::Trails::read(global, variables, &options)?;
            lookup::run(transport, output, &options, &trails).await
        }
        KeysCommand::Check(_) | KeysCommand::Scan(_) | KeysCommand::Pattern(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Acts on one key, which must be there.
async fn act(transport: &Transport, id: &str, rest: &str, body: &Value) -> Result<Value, Failure> {
    let key = transport.post(&format!("{KEYS}/{}{rest}", encoded(id)), body).await;
    Ok(key.map_err(|failure| unknown(failure, id))?.body)
}

/// The key as it is now.
async fn load(transport: &Transport, id: &str) -> Result<Value, Failure> {
    let key = transport.get(&format!("{KEYS}/{}", encoded(id))).await;
    Ok(key.map_err(|failure| unknown(failure, id))?.body)
}

/// A key after an act: all of it as JSON, its id, or a sentence.
fn print_done(output: &Output, key: &Value, done: &str) {
    if output.is_quiet {
        say(text(key, "id"));
    } else if !output.json(key) {
        let (id, name) = (text(key, "id"), printable(text(key, "name")));
        say(format_args!("{done} {id} ({name}). {}", confirmed(&key["confirmation"])));
    }
}

fn duration(flag: &str, text: &str) -> Result<i64, Failure> {
    let seconds = super::civil::seconds(text);
    seconds.ok_or_else(|| Failure::new(Kind::Usage, format!("{flag} {text}: a duration such as 90d or 12h")))
}

fn seconds_now() -> i64 {
    MachineClock::new().now().wall.seconds()
}

fn confirmed(confirmation: &Value) -> String {
    let nodes = confirmation["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pending = nodes.iter().filter(|node| text(node, "how") == "pending").count();
    match nodes.len() {
        0 => "No server is running.".to_owned(),
        all => format!(
            "Confirmed by {} of {all} nodes in {} ms{}.",
            all - pending,
            confirmation["took_ms"],
            met(confirmation)
        ),
    }
}

/// What became of the requests that ran with the key on the node that answered.
fn met(confirmation: &Value) -> String {
    let is_cut = confirmation["cut"] == json!(true);
    match (confirmation["running_here"].as_u64().unwrap_or(0), is_cut) {
        (0, _) => String::new(),
        (1, true) => "; 1 running stream was cut".to_owned(),
        (many, true) => format!("; {many} running streams were cut"),
        (1, false) => "; 1 running request is finished".to_owned(),
        (many, false) => format!("; {many} running requests are finished"),
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

/// For what destroys: the name itself is typed, or given by `--confirm`; `-y` is not enough.
pub(super) fn confirm_named(question: &str, name: &str, given: Option<&str>) -> Result<(), Failure> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None => {
            let stdin = std::io::stdin();
            if !stdin.is_terminal() {
                let hint = format!("{question} Nobody is there to answer: add --confirm {name}");
                return Err(Failure::new(Kind::Usage, hint));
            }
            eprint!("{question} Type {name} to go on: ");
            let _ = std::io::stderr().flush();
            let mut line = String::new();
            stdin.lock().read_line(&mut line).map_err(|_| Failure::new(Kind::Failed, "nothing was done"))?;
            line.trim().to_owned()
        }
    };
    if typed == name { Ok(()) } else { Err(Failure::new(Kind::Failed, "that is not its name; nothing was done")) }
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
    one_of("key", named, &candidates, "claviger keys list --all")
}

/// The id of the one object that bears a name.
fn one_of(kind: &str, named: &str, candidates: &[&Value], next: &str) -> Result<String, Failure> {
    match candidates {
        [object] => Ok(text(object, "id").to_owned()),
        [] => {
            let what = format!("no {kind} is named `{}`", printable(named));
            Err(Failure::new(Kind::NotFound, what).next(next))
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|object| text(object, "id")).collect();
            let what =
                format!("several {kind}s are named `{}`: use one of the ids {}", printable(named), ids.join(", "));
            Err(Failure::new(Kind::Conflict, what).next(next))
        }
    }
}

/// The id that an id or a name of an environment means.
pub(super) async fn find_environment(transport: &Transport, named: &str) -> Result<String, Failure> {
    if named.parse::<claviger_domain::id::EnvironmentId>().is_ok() {
        return Ok(named.to_owned());
    }
    let list = pages(transport, "/v1/organization/projects?limit=100", usize::MAX).await?;
    let found: Vec<&Value> = list.iter().filter(|row| text(row, "name") == named).collect();
    one_of("environment", named, &found, "claviger environments list")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_says_what_became_of_running_requests() {
        let told = |running: u64, cut: bool| {
            let nodes = json!([{ "how": "acknowledged" }, { "how": "acknowledged" }, { "how": "silenced" }]);
            confirmed(&json!({ "nodes": nodes, "took_ms": 41, "running_here": running, "cut": cut }))
        };
        assert_eq!(told(0, true), "Confirmed by 3 of 3 nodes in 41 ms.");
        assert_eq!(told(1, true), "Confirmed by 3 of 3 nodes in 41 ms; 1 running stream was cut.");
        assert_eq!(told(2, false), "Confirmed by 3 of 3 nodes in 41 ms; 2 running requests are finished.");
    }

    #[test]
    fn what_destroys_wants_the_name_itself() {
        assert!(confirm_named("Sure?", "seat_1", Some("seat_1")).is_ok());
        assert!(confirm_named("Sure?", "seat_1", Some("y")).is_err());
    }
}
