//! `keys revoke`, `keys disable`, `keys enable`.

use super::arguments::RevokeOptions;
use super::{act, confirm, find, load, print_done};
use crate::cli::Failure;
use crate::cli::arguments::Global;
use crate::cli::output::{Output, printable, text};
use crate::cli::transport::Transport;
use serde_json::json;
use std::process::ExitCode;

/// Ends a key for ever, after asking.
pub(super) async fn run(
    transport: &Transport,
    output: &Output,
    global: &Global,
    options: &RevokeOptions,
) -> Result<ExitCode, Failure> {
    let id = find(transport, &options.key).await?;
    if !global.yes {
        let key = load(transport, &id).await?;
        confirm(&format!("Revoke {id} ({}) for ever?", printable(text(&key, "name"))))?;
    }
    let body = options.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let key = act(transport, &id, "/revoke", &body).await?;
    print_done(output, &key, "Revoked");
    Ok(ExitCode::SUCCESS)
}

/// Disables or enables a key; can be undone, so nobody is asked.
pub(super) async fn turn(transport: &Transport, output: &Output, named: &str, verb: &str) -> Result<ExitCode, Failure> {
    let id = find(transport, named).await?;
    let key = act(transport, &id, &format!("/{verb}"), &json!({})).await?;
    print_done(output, &key, if verb == "disable" { "Disabled" } else { "Enabled" });
    Ok(ExitCode::SUCCESS)
}
