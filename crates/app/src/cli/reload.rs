//! `claviger reload`: a running server reads its configuration again, or says what that would change.

use super::Failure;
use super::arguments::ReloadOptions;
use super::output::{Output, printable, say};
use super::transport::Transport;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Tells the server on the data directory, and prints in what the new configuration differs.
pub(super) async fn run(transport: &Transport, output: &Output, options: &ReloadOptions) -> Result<ExitCode, Failure> {
    let reloaded = transport.post("/api/operator/reload", &json!({ "check": options.check })).await?.body;
    if output.is_quiet || output.json(&reloaded) {
        return Ok(ExitCode::SUCCESS);
    }
    let lists = [("new", "models_added"), ("gone", "models_removed"), ("changed", "models_changed")];
    let mut is_same = true;
    for (word, member) in lists {
        for id in reloaded[member].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(format_args!("{word:<8} {}", printable(id)));
            is_same = false;
        }
    }
    match (is_same, options.check) {
        (true, _) => say("Nothing differs from what is in force."),
        (false, true) => say("The configuration reads. Nothing was changed."),
        (false, false) => say("In force. Requests that run keep the prices they were admitted under."),
    }
    Ok(ExitCode::SUCCESS)
}
