//! `claviger explain`: the receipt of one request in the form of `money.md` §4, or its refusal.

use super::Failure;
use super::output::{Output, printable, say, text, thousands};
use super::requests;
use super::transport::Transport;
use crate::percent::encoded;
use claviger_domain::time::Timestamp;
use serde_json::Value;
use std::process::ExitCode;

/// Reads the receipt and prints it.
pub(super) async fn run(transport: &Transport, output: &Output, id: &str) -> Result<ExitCode, Failure> {
    let receipt = transport.get(&format!("/v1/organization/requests/{}/receipt", encoded(id))).await;
    let receipt = receipt.map_err(|failure| requests::unknown(failure, id))?.body;
    if !output.json(&receipt) {
        for line in lines(&receipt) {
            say(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The receipt as text.
pub(super) fn lines(receipt: &Value) -> Vec<String> {
    let request = &receipt["request"];
    let mut lines = vec![head(request)];
    if let Some(code) = request["error_code"].as_str() {
        lines.push(format!("  {} {code} · {}", request["status"], text(receipt, "refusal")));
    }
    if let Some(rule) = receipt["refused_by"].as_object() {
        let text = |name: &str| printable(rule.get(name).and_then(Value::as_str).unwrap_or_default());
        let at = rule.get("set_at").and_then(Value::as_i64).map(|at| Timestamp::from_seconds(at).date());
        let set = at.map(|at| format!("   set by {} on {at}", text("set_by"))).unwrap_or_default();
        lines.push(format!("  rule {} = {}{set}", text("rule"), text("value")));
    }
    if let Some(code) = request["would_refuse"].as_str() {
        lines.push(format!("  its key's shadow would have refused it with {code}"));
    }
    // A meter reported as 0 is a fact for programs and noise for people.
    let bill = receipt["lines"].as_array().into_iter().flatten();
    let bill: Vec<String> = bill.filter(|line| line["quantity"] != 0).map(bill_line).collect();
    // Two lines of the bill on one line of text, as on paper.
    lines.extend(bill.chunks(2).map(|pair| format!("  {}", pair.join("    "))));
    lines.push(format!(
        "  exact {}  rounding {}  charged {} {}    held {}, released {}, absorbed {}",
        text(receipt, "exact"),
        short(text(receipt, "rounding")),
        text(receipt, "charged"),
        text(receipt, "currency"),
        text(receipt, "held"),
        text(receipt, "released"),
        short(text(receipt, "absorbed")),
    ));
    lines.push(course(receipt, request));
    lines
}

fn head(request: &Value) -> String {
    let at = request["created_at"].as_i64().unwrap_or_default();
    let at = Timestamp::from_seconds(at).rfc3339().replace('T', " ").replace('Z', " UTC");
    let mut line = format!("{}  {at}  key {}", text(request, "id"), printable(text(request, "api_key_name")));
    if let Some(tag) = request["source_tag"].as_str() {
        line.push_str(&format!(" ({})", printable(tag)));
    }
    line.push_str(&format!("  {}", printable(text(request, "model"))));
    match request["price_version"].as_str() {
        Some(version) => line.push_str(&format!("  price {version}")),
        None => line.push_str("  no price (free, or refused before it)"),
    }
    line
}

/// `input 1,808 × 2.50/M = 0.004520000`
fn bill_line(line: &Value) -> String {
    let name = text(line, "meter");
    let quantity = thousands(line["quantity"].as_u64().unwrap_or_default());
    let Some(price) = line["price"].as_str() else { return format!("{} {quantity}", spoken(name)) };
    let stated = line["priced_as"].as_str().map(|meter| format!(" ({} price)", spoken(meter))).unwrap_or_default();
    format!("{} {quantity} × {price}/M = {}{stated}", spoken(name), text(line, "amount"))
}

/// Meters as receipts call them.
fn spoken(meter: &str) -> &str {
    match meter {
        "input_token" => "input",
        "cached_input_token" => "cached",
        "cache_write_token" => "cache write",
        "cache_write_1h_token" => "cache write 1 h",
        "output_token" => "output",
        "reasoning_token" => "reasoning",
        other => other,
    }
}

fn course(receipt: &Value, request: &Value) -> String {
    let attempts = request["attempts"].as_array().cloned().unwrap_or_default();
    let told = |attempt: &Value| match (attempt["status"].as_u64(), attempt["outcome"].as_str()) {
        (Some(0) | None, Some(outcome)) => outcome.replace('_', " "),
        (_, Some(outcome)) if outcome != "answered" => format!("{} {}", attempt["status"], outcome.replace('_', " ")),
        _ => attempt["status"].to_string(),
    };
    let tries: Vec<String> =
        attempts.iter().map(|attempt| format!("{} {}", text(attempt, "provider"), told(attempt))).collect();
    let mut line = format!(
        "  usage {}   outcome {}, {}   rule {}   attempts {}",
        text(request, "usage_source"),
        text(request, "outcome"),
        text(request, "delivery").replace('_', " "),
        request["rule"],
        attempts.len()
    );
    if !tries.is_empty() {
        line.push_str(&format!(" ({})", tries.join(", ")));
    }
    if let Some(transfer) = receipt["transfer"].as_str() {
        line.push_str(&format!("   transfer {transfer}"));
    }
    line
}

/// Nothing is written `0`.
fn short(amount: &str) -> &str {
    if amount.bytes().all(|byte| matches!(byte, b'0' | b'.')) { "0" } else { amount }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_receipt_reads_like_the_one_of_the_specification() {
        let receipt = json!({
            "request": {"id": "req_1", "created_at": 1_795_255_867, "api_key_name": "prod-backend", "source_tag": "checkout",
                "model": "acme/chat", "price_version": "pv_42", "usage_source": "upstream_final", "outcome": "complete",
                "delivery": "delivered", "rule": 1, "attempts": [{"provider": "vllm-a", "status": 200}], "status": 200,
                "error_code": null},
            "lines": [
                {"meter": "input_token", "quantity": 1808, "price": "2.50", "priced_as": null, "amount": "0.004520000"},
                {"meter": "cached_input_token", "quantity": 8192, "price": "1.25", "priced_as": null, "amount": "0.010240000"},
                {"meter": "output_token", "quantity": 180, "price": "10", "priced_as": null, "amount": "0.001800000"},
                {"meter": "reasoning_token", "quantity": 320, "price": "10", "priced_as": "output_token", "amount": "0.003200000"}],
            "exact": "0.019760000", "rounding": "0.000000000", "charged": "0.019760000", "currency": "USD",
            "held": "0.171400000", "released": "0.151640000", "absorbed": "0.000000000", "transfer": "t_9c"
        });
        assert_eq!(
            lines(&receipt),
            [
                "req_1  2026-11-21 10:11:07 UTC  key prod-backend (checkout)  acme/chat  price pv_42",
                "  input 1,808 × 2.50/M = 0.004520000    cached 8,192 × 1.25/M = 0.010240000",
                "  output 180 × 10/M = 0.001800000    reasoning 320 × 10/M = 0.003200000 (output price)",
                "  exact 0.019760000  rounding 0  charged 0.019760000 USD    held 0.171400000, released 0.151640000, absorbed 0",
                "  usage upstream_final   outcome complete, delivered   rule 1   attempts 1 (vllm-a 200)   transfer t_9c",
            ]
        );
    }
}
