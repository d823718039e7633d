//! `claviger help`: commands, error codes, exit codes; works without a network.

use super::arguments::Cli;
use super::{Failure, Kind};
use clap::CommandFactory as _;
use claviger_domain::error::{Code, Fault, Retry};

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
        ["exit-codes"] => println!("{EXIT_CODES}"),
        ["error"] => {
            for code in Code::ALL.iter().filter(|code| !code.text().is_empty()) {
                println!("{:<28} {}", code.text(), code.summary());
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
    let fault = match code.fault() {
        Fault::Caller => "the request",
        Fault::Credential => "the credential",
        Fault::Credit => "credit",
        Fault::Limit => "a limit",
        Fault::Upstream => "the model server",
        Fault::Ours => "Claviger",
    };
    let retry = match code.retry() {
        Retry::Never => "useless until something changes",
        Retry::Always => "safe at once",
        Retry::After(_) | Retry::AfterMilliseconds(_) => "after the time in Retry-After",
        Retry::Unsaid => match code.fault() {
            Fault::Ours | Fault::Upstream => "safe",
            _ => "useless with the same request",
        },
    };
    println!("{}", code.text());
    println!("  {}", code.summary());
    match code.status() {
        0 => println!("  in a stream that had begun   type {}", code.kind()),
        status => println!("  status {status}   type {}", code.kind()),
    }
    println!("  cause {fault}   a retry is {retry}");
    Ok(())
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
    println!("{}", found.render_long_help());
    Ok(())
}
