//! `keys create`: makes a key and hands its text out once; or takes the digest of a text made elsewhere.

use super::arguments::CreateOptions;
use super::shown_once::{hand_out, place};
use super::{KEYS, find_environment, print_done, writable};
use crate::cli::Failure;
use crate::cli::output::{Output, printable, text, time};
use crate::cli::transport::Transport;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn run(transport: &Transport, output: &Output, options: &CreateOptions) -> Result<ExitCode, Failure> {
    let place = match &options.sha256 {
        None => Some(place(output, &options.place)?),
        Some(_) => None,
    };
    let mut body = json!({ "name": options.name });
    if let Some(environment) = &options.environment {
        body["environment_id"] = json!(find_environment(transport, environment).await?);
    }
    if options.admin {
        body["class"] = json!("admin");
    }
    for (member, is_set) in [("test", options.test), ("canary", options.canary)] {
        if is_set {
            body[member] = json!(true);
        }
    }
    if let Some(digest) = &options.sha256 {
        body["sha256"] = json!(digest);
    }
    writable::fill(transport, &options.writable, &mut body).await?;
    let key = transport.post(KEYS, &body).await?.body;
    match place {
        None => print_done(output, &key, "Created"),
        Some(place) => {
            let line = told(&key);
            hand_out(output, key, place, &line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(key: &Value) -> String {
    let mut line = format!("Created {}  {}", text(key, "id"), printable(text(key, "name")));
    if let Some(tag) = key["source_tag"].as_str() {
        line.push_str(&format!("   source tag {}", printable(tag)));
    }
    if key["expires_at"].is_i64() {
        line.push_str(&format!("   expires {}", time(&key["expires_at"])));
    }
    line
}
