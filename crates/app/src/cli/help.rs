//! `claviger help`: commands, error codes, exit codes; works without a network.

use super::arguments::Cli;
use super::{Failure, Kind, say};
use clap::CommandFactory as _;
use claviger_domain::error::{Code, Fault};

/// The page that has one entry for every code.
const ERRORS: &str = include_str!("../../../../docs/errors.md");

const EXIT_CODES: &str = "\
0  done
1  failed
2  wrong use or configuration
3  not found
4  not signed in or not allowed
5  conflict or stale
6  refused by a limit, a budget or credit
7  network or upstream
8  partly done, can be resumed
130  interrupted";

/// Prints what is known about a topic.
pub(super) fn run(topic: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = topic.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exit-codes"] => say(EXIT_CODES),
        ["error"] => {
            for code in Code::ALL.iter().filter(|code| !code.text().is_empty()) {
                say(format_args!("{:<28} {}", code.text(), code.summary()));
            }
        }
        ["error", code] => explain(code)?,
        path => command(path)?,
    }
    Ok(())
}

fn explain(text: &str) -> Result<(), Failure> {
    let code = Code::ALL.iter().find(|code| !text.is_empty() && code.text() == text);
    let code = code.ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("there is no error code `{text}`")).next("claviger help error")
    })?;
    let cause = match code.fault() {
        Fault::Caller => "the request",
        Fault::Credential => "the credential",
        Fault::Credit => "credit",
        Fault::Limit => "a limit",
        Fault::Upstream => "the model server",
        Fault::Ours => "Claviger",
    };
    say(code.text());
    say(format_args!("  {}", code.summary()));
    match code.status() {
        0 => say(format_args!("  in a stream that had begun   type {}", code.kind())),
        status => say(format_args!("  status {status}   type {}", code.kind())),
    }
    for (name, words) in entry(code.text()).into_iter().flat_map(points) {
        if name == "Repair" {
            say(format_args!("  {:<8} {cause}", "Cause"));
        }
        say(format_args!("  {name:<8} {words}"));
    }
    Ok(())
}

/// The entry of a code on the page, without its heading.
fn entry(code: &str) -> Option<&'static str> {
    let (_, rest) = ERRORS.split_once(&format!("\n### `{code}`\n"))?;
    rest.split("\n##").next()
}

/// The points of an entry: `- **Meaning.** words`, each on a line of its own.
fn points(entry: &str) -> Vec<(&str, String)> {
    let lines = entry.lines().filter_map(|line| line.strip_prefix("- **")?.split_once(".** "));
    lines.map(|(name, words)| (name, words.replace('`', ""))).collect()
}

fn command(path: &[&str]) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let mut found = &mut command;
    for word in path {
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            Failure::new(Kind::NotFound, format!("there is no command `{}`", path.join(" "))).next("claviger help")
        })?;
    }
    say(found.render_long_help());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_meaning_repair_and_retry() {
        for code in Code::ALL.iter().filter(|code| !code.text().is_empty()) {
            let found = entry(code.text()).map(points).unwrap_or_default();
            let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["Meaning", "Repair", "Retry"], "{}", code.text());
            assert!(found.iter().all(|(_, words)| !words.is_empty()), "{}", code.text());
        }
    }
}
