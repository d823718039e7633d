//! `keys rotate` and `keys reissue`: a new text for a key, handed out once.

use super::arguments::{ReissueOptions, RotateOptions};
use super::shown_once::{hand_out, place};
use super::{act, duration, find};
use crate::cli::Failure;
use crate::cli::output::{Output, printable, text, time};
use crate::cli::transport::Transport;
use serde_json::{Value, json};
use std::process::ExitCode;

/// A new text; older ones work on for the overlap.
pub(super) async fn rotate(
    transport: &Transport,
    output: &Output,
    options: &RotateOptions,
) -> Result<ExitCode, Failure> {
    let mut body = json!({});
    if let Some(overlap) = &options.overlap {
        // No overlap at all is a duration too, which others cannot be.
        let seconds =
            if overlap.trim_end_matches(['s', 'm', 'h', 'd']) == "0" { 0 } else { duration("--overlap", overlap)? };
        body["overlap_seconds"] = json!(seconds);
    }
    if let Some(hours) = options.finish_when_quiet {
        body["finish_when_quiet_hours"] = json!(hours);
    }
    for (member, value) in [("at_deadline", &options.at_deadline), ("reason", &options.reason)] {
        if let Some(value) = value {
            body[member] = json!(value);
        }
    }
    let place = place(output, &options.place)?;
    let id = find(transport, &options.key).await?;
    let key = act(transport, &id, "/rotate", &body).await?;
    let line = format!("Rotated {id}  {}   {}", printable(text(&key, "name")), older(&key));
    hand_out(output, key, place, &line)?;
    Ok(ExitCode::SUCCESS)
}

/// Another text in place of one that was lost before its first use.
pub(super) async fn reissue(
    transport: &Transport,
    output: &Output,
    options: &ReissueOptions,
) -> Result<ExitCode, Failure> {
    let place = place(output, &options.place)?;
    let id = find(transport, &options.key).await?;
    let key = act(transport, &id, "/reissue", &json!({})).await?;
    let line = format!("Issued {id} again  {}   the lost text has ended", printable(text(&key, "name")));
    hand_out(output, key, place, &line)?;
    Ok(ExitCode::SUCCESS)
}

/// How long older texts work on.
fn older(key: &Value) -> String {
    let ends: Vec<String> = super::overlap::older(key).iter().map(|secret| time(&secret["ends_at"])).collect();
    match ends.as_slice() {
        [] => "no older text works any more".to_owned(),
        ends => format!("older text works until {}", ends.join(" and ")),
    }
}
