//! `keys check`: what is wrong with a text that shall be a key, by prefix, shape and checksum alone (`keys.md` §2.2).
//!
//! No server is asked: whether a well-formed key exists, and whether it may be used, is not known here. The text is read
//! from standard input and never printed.

use crate::cli::arguments::Global;
use crate::cli::output::{Output, say};
use crate::cli::secret_in;
use crate::cli::{Failure, scan};
use crate::config::Variables;
use clap::Args;
use claviger_domain::key::{KeyText, mask};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckOptions {
    /// Take this prefix too; those of the configuration are always taken
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
}

/// Reads a text and judges it; exit 1 says that it is no key.
pub(crate) fn run(global: &Global, variables: &Variables, options: &CheckOptions) -> Result<ExitCode, Failure> {
    let prefixes = scan::prefixes(global, variables, &options.prefix)?;
    let text = secret_in::read("Key: ")?;
    let text = text.expose().as_bytes();
    let shown = mask(text, &prefixes);
    let parsed = KeyText::parse(text, &prefixes);
    let said = match &parsed {
        Ok(key) => json!({ "ok": true, "id": key.id.to_string(), "test": key.is_test, "redacted_value": shown }),
        Err(diagnosis) => json!({ "ok": false, "problem": diagnosis.sentence(), "redacted_value": shown }),
    };
    let output = Output::new(global);
    if output.is_quiet {
        if let Some(id) = said["id"].as_str() {
            say(id);
        }
    } else if !output.json(&said) {
        say(sentence(&said, KeyText::may_be_foreign(text)));
    }
    Ok(if parsed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sentence(said: &Value, may_be_foreign: bool) -> String {
    let word = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    if said["ok"] == json!(true) {
        let kind = if said["test"] == json!(true) { "test" } else { "live" };
        return format!("ok  {}  {kind}  {}", word("id"), word("redacted_value"));
    }
    // The shape of a key made elsewhere is anybody's: only a server that imported it knows.
    let foreign = if may_be_foreign { " Only the server knows whether it was imported from elsewhere." } else { "" };
    format!("no key of this server: {}. {}{foreign}", word("redacted_value"), word("problem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_key_is_told_by_its_id_and_kind() {
        let said = json!({ "ok": true, "id": "key_0000000000AZ", "test": true, "redacted_value": "clv_****eFg4" });
        assert_eq!(sentence(&said, true), "ok  key_0000000000AZ  test  clv_****eFg4");
        let said = json!({ "ok": false, "problem": "Keys here start with 'clv_'.", "redacted_value": "****" });
        assert_eq!(sentence(&said, false), "no key of this server: ****. Keys here start with 'clv_'.");
    }
}
