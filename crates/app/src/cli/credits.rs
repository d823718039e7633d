//! `claviger credits`, `claviger grants create`.

use super::Failure;
use super::arguments::GrantOptions;
use super::output::{Output, printable, text};
use super::transport::Transport;
use serde_json::json;
use std::process::ExitCode;

/// The organization's wallet.
pub(super) async fn show(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let wallet = transport.get("/v1/organization/credits").await?.body;
    if !output.json(&wallet) {
        let currency = text(&wallet, "currency");
        println!("{}", printable(text(&wallet["organization"], "slug")));
        println!("  balance  {} {currency}", text(&wallet, "balance"));
        println!("  funded   {} {currency}", text(&wallet, "total_credits"));
        println!("  charged  {} {currency}", text(&wallet, "total_usage"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds credit.
pub(super) async fn grant(transport: &Transport, output: &Output, options: &GrantOptions) -> Result<ExitCode, Failure> {
    let body = json!({ "organization": options.to, "amount": options.amount, "reason": options.reason });
    let grant = transport.post("/api/operator/grants", &body).await?.body;
    if output.is_quiet {
        println!("{}", text(&grant, "id"));
    } else if !output.json(&grant) {
        println!(
            "Granted {} {} to {}   balance {}   {}",
            text(&grant, "amount"),
            text(&grant, "currency"),
            printable(&options.to),
            text(&grant, "balance"),
            text(&grant, "id")
        );
    }
    Ok(ExitCode::SUCCESS)
}
