//! `claviger credits`, `claviger grants create`.

use super::Failure;
use super::arguments::GrantOptions;
use super::output::{Output, printable, say, text};
use super::transport::Transport;
use serde_json::json;
use std::process::ExitCode;

/// The organization's wallet.
pub(super) async fn show(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let wallet = transport.get("/v1/organization/credits").await?.body;
    if !output.json(&wallet) {
        let currency = text(&wallet, "currency");
        say(printable(text(&wallet["organization"], "slug")));
        say(format_args!("  balance  {} {currency}", text(&wallet, "balance")));
        say(format_args!("  funded   {} {currency}", text(&wallet, "total_credits")));
        say(format_args!("  charged  {} {currency}", text(&wallet, "total_usage")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds credit.
pub(super) async fn grant(transport: &Transport, output: &Output, options: &GrantOptions) -> Result<ExitCode, Failure> {
    let body = json!({ "organization": options.to, "amount": options.amount, "reason": options.reason });
    let grant = transport.post("/api/operator/grants", &body).await.map_err(|failure| {
        failure.looking_for(format_args!("There is no organization `{}`.", options.to), "claviger credits")
    })?;
    let grant = grant.body;
    if output.is_quiet {
        say(text(&grant, "id"));
    } else if !output.json(&grant) {
        say(format_args!(
            "Granted {} {} to {}   balance {}   {}",
            text(&grant, "amount"),
            text(&grant, "currency"),
            printable(&options.to),
            text(&grant, "balance"),
            text(&grant, "id")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
