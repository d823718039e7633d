//! `claviger nodes …` and `claviger lease …`: who serves a database, and what dead ones left.

use super::Failure;
use super::keys::{confirm, confirm_named};
use super::output::{Output, figures, say, text, time, words};
use super::transport::Transport;
use crate::percent::encoded;
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum NodesCommand {
    /// Nodes that serve this database
    List,
    /// Tell a node to let its requests end and to stop
    Drain {
        /// Its id
        node: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum LeaseCommand {
    /// Credit that nodes have drawn and not spent
    List,
    /// Give back what a dead node had drawn; waits until it is proved that it is dead
    WriteOff {
        /// The seat, as `lease list` shows it
        seat: String,
        /// The seat once more, instead of typing it when asked
        #[arg(long, value_name = "SEAT")]
        confirm: Option<String>,
    },
}

pub(super) async fn run(
    transport: &Transport,
    output: &Output,
    is_sure: bool,
    command: &NodesCommand,
) -> Result<ExitCode, Failure> {
    match command {
        NodesCommand::List => list(transport, output).await,
        NodesCommand::Drain { node } => {
            if !is_sure {
                confirm(&format!("Let {node} finish and stop?"))?;
            }
            drain(transport, output, node).await
        }
    }
}

async fn list(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let rows = rows(transport, "/api/operator/nodes").await?;
    let columns = [words("NODE"), words("SEAT"), words("STATE"), words("SINCE"), words("RENEWED"), figures("EPOCH")];
    output.rows(&rows, &columns, |row| {
        vec![
            text(row, "id").to_owned(),
            text(row, "seat").to_owned(),
            text(row, "state").to_owned(),
            time(&row["started_at"]),
            time(&row["renewed_at"]),
            row["applied_epoch"].to_string(),
        ]
    });
    Ok(ExitCode::SUCCESS)
}

async fn drain(transport: &Transport, output: &Output, node: &str) -> Result<ExitCode, Failure> {
    let told = transport.post(&format!("/api/operator/nodes/{}/drain", encoded(node)), &json!({})).await;
    let told =
        told.map_err(|failure| failure.looking_for(format_args!("There is no node `{node}`."), "claviger nodes list"))?;
    if !output.json(&told.body) && !output.is_quiet {
        say(format_args!("Told {} to leave. It stops when its requests have ended.", text(&told.body, "id")));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn leases(
    transport: &Transport,
    output: &Output,
    command: &LeaseCommand,
) -> Result<ExitCode, Failure> {
    match command {
        LeaseCommand::List => list_leases(transport, output).await,
        LeaseCommand::WriteOff { seat, confirm } => {
            let question =
                format!("Give back what {seat} had drawn? Its node, if it still runs, charges nothing more of it.");
            confirm_named(&question, seat, confirm.as_deref())?;
            write_off(transport, output, seat).await
        }
    }
}

async fn list_leases(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let rows = rows(transport, "/api/operator/leases").await?;
    let columns = [words("SEAT"), words("ORGANIZATION"), figures("OPEN"), figures("CHARGED"), words("NODE")];
    output.rows(&rows, &columns, |row| {
        vec![
            text(row, "seat").to_owned(),
            text(row, "organization").to_owned(),
            text(row, "open").to_owned(),
            text(row, "charged").to_owned(),
            row["node"].as_str().unwrap_or("none").to_owned(),
        ]
    });
    Ok(ExitCode::SUCCESS)
}

async fn write_off(transport: &Transport, output: &Output, seat: &str) -> Result<ExitCode, Failure> {
    let path = format!("/api/operator/leases/{}/write_off", encoded(seat));
    let done = transport.post(&path, &json!({})).await;
    let done = done.map_err(|failure| {
        failure.looking_for(format_args!("`{seat}` has nothing to give back."), "claviger lease list")
    })?;
    let done = done.body;
    if !output.json(&done) && !output.is_quiet {
        say(format_args!(
            "Given back {} of {} leases. Requests lost {}, charges in doubt {}.",
            text(&done, "returned"),
            done["leases"],
            done["requests_lost"],
            done["charges_in_doubt"],
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn rows(transport: &Transport, path: &str) -> Result<Vec<Value>, Failure> {
    Ok(transport.get(path).await?.body["data"].as_array().cloned().unwrap_or_default())
}
