//! `claviger ledger …`.

use super::Failure;
use super::output::{Output, figures, say, text, thousands, time, words};
use super::transport::Transport;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Recomputes everything; exit 1 with the faults if something does not add up.
pub(super) async fn verify(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let report = transport.post("/api/operator/ledger/verify", &json!({})).await?.body;
    let is_clean = report["ok"] == json!(true);
    if !output.json(&report) {
        let count = |name: &str| thousands(report[name].as_u64().unwrap_or_default());
        if is_clean {
            say(format_args!(
                "ledger verify ok ({} transfers, {} organizations)",
                count("transfers"),
                count("organizations")
            ));
        }
        for fault in report["faults"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(format_args!("fault  {fault}"));
        }
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Charges that stand although nobody knows whether their answer arrived.
pub(super) async fn in_doubt(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let list = transport.get("/api/operator/ledger/in_doubt").await?.body;
    let rows = list["data"].as_array().cloned().unwrap_or_default();
    let columns = [words("REQUEST"), words("ORGANIZATION"), figures("CHARGE"), words("AT")];
    output.rows(&rows, &columns, |row| {
        vec![
            text(row, "id").to_owned(),
            text(row, "organization").to_owned(),
            text(row, "charge").to_owned(),
            time(&row["created_at"]),
        ]
    });
    Ok(ExitCode::SUCCESS)
}
