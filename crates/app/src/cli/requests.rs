//! `claviger requests …`.

use super::Failure;
use super::arguments::ListRequestsOptions;
use super::keys;
use super::output::{Output, figures, printable, say, text, time, words};
use super::transport::{Transport, target};
use crate::percent::encoded;
use serde_json::Value;
use std::process::ExitCode;

const REQUESTS: &str = "/v1/organization/requests";

/// Lists request records, newest first.
pub(super) async fn list(
    transport: &Transport,
    output: &Output,
    options: &ListRequestsOptions,
) -> Result<ExitCode, Failure> {
    let key = match &options.key {
        None => None,
        Some(named) => Some(keys::find(transport, named).await?),
    };
    let limit = options.limit.clamp(1, 100).to_string();
    let first = target(
        REQUESTS,
        &[
            ("limit", Some(&limit)),
            ("api_key_id", key.as_deref()),
            ("source_tag", options.tag.as_deref()),
            ("model", options.model.as_deref()),
        ],
    );
    let rows = keys::pages(transport, &first, options.limit.max(1)).await?;
    let columns = [
        words("REQUEST"),
        words("AT"),
        words("KEY"),
        words("MODEL"),
        figures("STATUS"),
        words("OUTCOME"),
        figures("CHARGE"),
        figures("MS"),
    ];
    output.rows(&rows, &columns, |row| {
        vec![
            text(row, "id").to_owned(),
            time(&row["created_at"]),
            text(row, "api_key_name").to_owned(),
            text(row, "model").to_owned(),
            row["status"].to_string(),
            row["error_code"].as_str().unwrap_or_else(|| text(row, "outcome")).to_owned(),
            text(row, "charge").to_owned(),
            row["duration_ms"].to_string(),
        ]
    });
    Ok(ExitCode::SUCCESS)
}

/// Shows one record, every member of it.
pub(super) async fn get(transport: &Transport, output: &Output, id: &str) -> Result<ExitCode, Failure> {
    let record = transport.get(&format!("{REQUESTS}/{}", encoded(id))).await;
    let record = record.map_err(|failure| unknown(failure, id))?.body;
    if output.is_quiet {
        say(text(&record, "id"));
    } else if !output.json(&record) {
        let members =
            record.as_object().into_iter().flatten().filter(|(name, value)| *name != "object" && !value.is_null());
        output.table(&[words(""), words("")], members.map(|(name, value)| vec![name.clone(), shown(value)]).collect());
    }
    Ok(ExitCode::SUCCESS)
}

/// There is no record of this id; one is written when the request has ended.
pub(super) fn unknown(failure: Failure, id: &str) -> Failure {
    failure.looking_for(format_args!("There is no request `{}`.", printable(id)), "claviger requests list")
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), printable)
}
