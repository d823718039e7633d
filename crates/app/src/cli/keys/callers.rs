//! `keys callers`: who uses a key, by network and kind of client, of each of its secrets.

use super::{KEYS, find, load, pages};
use crate::cli::Failure;
use crate::cli::output::{Output, figures, printable, say, text, time, words};
use crate::cli::transport::Transport;
use crate::percent::encoded;
use serde_json::Value;
use std::process::ExitCode;

/// Prints them, the latest first. During a rotation the number of the secret says who still has the older text.
pub(super) async fn run(transport: &Transport, output: &Output, named: &str) -> Result<ExitCode, Failure> {
    let id = find(transport, named).await?;
    let key = load(transport, &id).await?;
    let callers = pages(transport, &format!("{KEYS}/{}/callers", encoded(&id)), usize::MAX).await?;
    if output.is_quiet {
        callers.iter().for_each(|caller| say(printable(text(caller, "network"))));
    } else {
        let titles = ["NETWORK", "CLIENT", "SECRET", "FIRST SEEN", "LAST SEEN", "LAST MODEL"].map(words);
        let columns: Vec<_> = titles.into_iter().chain([figures("STATUS"), figures("REQUESTS")]).collect();
        output.rows(&callers, &columns, |caller| cells(&key, caller));
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(key: &Value, caller: &Value) -> Vec<String> {
    let mut secrets = key["secrets"].as_array().into_iter().flatten();
    let secret = secrets.find(|secret| secret["id"] == caller["secret_id"]);
    vec![
        text(caller, "network").to_owned(),
        printable(text(caller, "client")).to_string(),
        // A secret that ended long ago is not shown any more.
        secret.map_or_else(String::new, |secret| secret["number"].to_string()),
        time(&caller["first_seen"]),
        time(&caller["last_seen"]),
        printable(text(caller, "last_model")).to_string(),
        caller["last_status"].as_u64().map_or_else(String::new, |status| status.to_string()),
        caller["requests"].to_string(),
    ]
}
