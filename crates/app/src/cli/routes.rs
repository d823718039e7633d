//! `claviger routes list`: which targets serve which model, as the running node has it in force.

use super::Failure;
use super::output::{Output, printable, text, words};
use super::transport::Transport;
use clap::Subcommand;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum RoutesCommand {
    /// Every model and alias of the platform, with its targets
    List,
}

pub(super) async fn run(transport: &Transport, output: &Output, command: &RoutesCommand) -> Result<ExitCode, Failure> {
    match command {
        RoutesCommand::List => {
            let rows =
                transport.get("/api/operator/routes").await?.body["data"].as_array().cloned().unwrap_or_default();
            let columns = [words("MODEL"), words("STANDS FOR"), words("TARGETS"), words("PRICE")];
            output.rows(&rows, &columns, |row| {
                let of = |name| printable(text(row, name));
                let other = if text(row, "id") == text(row, "model") { String::new() } else { of("model") };
                vec![of("id"), other, targets(&row["tiers"]), of("pricing")]
            });
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `a/x (80) · b/x (20) | c/x`: tiers parted by a stroke, weights where there are several targets.
fn targets(tiers: &Value) -> String {
    let tier = |tier: &Value| {
        let all: Vec<&Value> = tier.as_array().into_iter().flatten().collect();
        let of = |target: &&Value| {
            let place = format!("{}/{}", text(target, "provider"), text(target, "model"));
            if all.len() > 1 { format!("{place} ({})", target["weight"]) } else { place }
        };
        all.iter().map(of).collect::<Vec<_>>().join(" · ")
    };
    let tiers: Vec<String> = tiers.as_array().into_iter().flatten().map(tier).collect();
    printable(&tiers.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tiers_stand_in_order_and_weights_where_they_decide() {
        let target = |provider: &str, weight: u32| json!({ "provider": provider, "model": "x", "weight": weight });
        let tiers = json!([[target("a", 80), target("b", 20)], [target("c", 1)]]);
        assert_eq!(targets(&tiers), "a/x (80) · b/x (20) | c/x");
    }
}
