//! `keys end-overlap` and `keys extend-overlap`: how long older texts of a key work.

use super::arguments::{EndOverlapOptions, ExtendOverlapOptions};
use super::{act, confirm, duration, find, load, print_done, seconds_now};
use crate::cli::arguments::Global;
use crate::cli::output::{Output, printable, text, time};
use crate::cli::transport::Transport;
use crate::cli::{Failure, Kind};
use crate::percent::encoded;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Texts that still work, but for the newest.
pub(super) fn older(key: &Value) -> Vec<&Value> {
    let secrets = key["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let newest = secrets.iter().filter_map(|secret| secret["number"].as_u64()).max();
    let is_live = |secret: &&Value| secret["ended_at"].is_null() && secret["number"].as_u64() != newest;
    secrets.iter().filter(is_live).collect()
}

/// Ends them, after asking: what ended does not come back.
pub(super) async fn end(
    transport: &Transport,
    output: &Output,
    global: &Global,
    options: &EndOverlapOptions,
) -> Result<ExitCode, Failure> {
    let id = find(transport, &options.key).await?;
    let key = load(transport, &id).await?;
    let ids = chosen(&key, options.secret_id.as_deref())?;
    if !global.yes {
        let told: Vec<String> =
            older(&key).into_iter().filter(|secret| ids.iter().any(|id| text(secret, "id") == id)).map(told).collect();
        confirm(&format!("End {} for ever?", told.join(" and ")))?;
    }
    let mut ended = key;
    for secret in ids {
        ended = act(transport, &id, &format!("/secrets/{}/end", encoded(&secret)), &json!({})).await?;
    }
    print_done(output, &ended, "Ended the older text of");
    Ok(ExitCode::SUCCESS)
}

/// Lets them work longer.
pub(super) async fn extend(
    transport: &Transport,
    output: &Output,
    options: &ExtendOverlapOptions,
) -> Result<ExitCode, Failure> {
    let until = seconds_now() + duration("--for", &options.duration)?;
    let id = find(transport, &options.key).await?;
    let key = load(transport, &id).await?;
    let ids = chosen(&key, options.secret_id.as_deref())?;
    let mut extended = key;
    for secret in ids {
        let rest = format!("/secrets/{}/extend", encoded(&secret));
        extended = act(transport, &id, &rest, &json!({ "ends_at": until })).await?;
    }
    let done = format!("Until {} works the older text of", time(&json!(until)));
    print_done(output, &extended, &done);
    Ok(ExitCode::SUCCESS)
}

/// The one named, whatever the server will say to it, or every older one that works.
fn chosen(key: &Value, named: Option<&str>) -> Result<Vec<String>, Failure> {
    if let Some(named) = named {
        return Ok(vec![named.to_owned()]);
    }
    let all: Vec<String> = older(key).into_iter().map(|secret| text(secret, "id").to_owned()).collect();
    if all.is_empty() {
        let what = format!("no older text of {} works any more", text(key, "id"));
        return Err(Failure::new(Kind::Conflict, what));
    }
    Ok(all)
}

/// A text with what speaks for and against ending it.
fn told(secret: &Value) -> String {
    let used = match secret["last_used_at"].is_i64() {
        true => format!("last used {}", time(&secret["last_used_at"])),
        false => "never used".to_owned(),
    };
    let quiet = if secret["safe_to_end"] == json!(true) { ", quiet since" } else { "" };
    format!("{} ({used}{quiet})", printable(text(secret, "redacted_value")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_and_ended_ones_are_not_older_ones() {
        let key = json!({ "id": "key_0", "secrets": [
            { "id": "sec_3", "number": 3, "ended_at": null },
            { "id": "sec_2", "number": 2, "ended_at": null },
            { "id": "sec_1", "number": 1, "ended_at": 5 },
        ]});
        assert_eq!(chosen(&key, None).ok(), Some(vec!["sec_2".to_owned()]));
        assert_eq!(chosen(&key, Some("sec_1")).ok(), Some(vec!["sec_1".to_owned()]));
        let alone = json!({ "id": "key_0", "secrets": [{ "id": "sec_1", "number": 1, "ended_at": null }] });
        assert!(chosen(&alone, None).is_err());
    }
}
