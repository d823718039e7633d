//! `keys verify`: whether the server would take a key now, for what is named. The key is read from standard input.

use super::arguments::VerifyOptions;
use crate::cli::output::{Output, printable, say, text};
use crate::cli::transport::Transport;
use crate::cli::{Failure, Kind, secret_in};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit 0 for a valid key; else the code that a refused request of that kind has.
pub(super) async fn run(transport: &Transport, output: &Output, options: &VerifyOptions) -> Result<ExitCode, Failure> {
    let key = secret_in::read("Key: ")?;
    let mut body = json!({ "key": key.expose(), "credits": { "cost": u8::from(options.count) } });
    for (member, value) in [("model", &options.model), ("ip", &options.ip)] {
        if let Some(value) = value {
            body[member] = json!(value);
        }
    }
    if !options.permission.is_empty() {
        body["permissions"] = json!(options.permission);
    }
    let data = transport.post("/v1/keys/verify", &body).await?.body["data"].take();
    if output.is_quiet {
        say(text(&data, "keyId"));
    } else if !output.json(&data) {
        say(sentence(&data));
    }
    Ok(exit(text(&data, "code")))
}

fn sentence(data: &Value) -> String {
    let mut said = text(data, "code").to_owned();
    if let Some(detail) = data["detail"].as_str() {
        said.push_str(&format!(" ({detail})"));
    }
    if data["keyId"].is_string() {
        said.push_str(&format!("  {}  {}", text(data, "keyId"), printable(text(data, "name"))));
    }
    for limit in data["ratelimits"].as_array().into_iter().flatten() {
        said.push_str(&format!("   {} {} of {} left", text(limit, "name"), limit["remaining"], limit["limit"]));
    }
    said
}

fn exit(code: &str) -> ExitCode {
    match code {
        "VALID" => ExitCode::SUCCESS,
        "NOT_FOUND" => ExitCode::from(Kind::NotFound as u8),
        "RATE_LIMITED" | "USAGE_EXCEEDED" => ExitCode::from(Kind::Limit as u8),
        _ => ExitCode::from(Kind::NotAllowed as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_line() {
        let data = json!({ "code": "NOT_FOUND" });
        assert_eq!(sentence(&data), "NOT_FOUND");
        let data = json!({
            "code": "RATE_LIMITED", "detail": "rate_limit_exceeded", "keyId": "key_0", "name": "ci",
            "ratelimits": [{ "name": "requests", "remaining": 0, "limit": 6 }],
        });
        assert_eq!(sentence(&data), "RATE_LIMITED (rate_limit_exceeded)  key_0  ci   requests 0 of 6 left");
    }
}
