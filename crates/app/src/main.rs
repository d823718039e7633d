//! `claviger`: server, operator's instrument and user's client in one program.
//!
//! This crate wires: it reads flags, variables and files, opens the store, joins the planes. Rules live elsewhere.

mod audit_sinks;
mod cli;
mod clock;
mod config;
mod data_directory;
mod detect;
mod doctor;
mod enable;
mod first_run;
mod https;
mod import;
mod instance;
mod issuer_client;
mod percent;
mod private;
mod provider_client;
mod random;
mod reload;
mod serve;
mod simulate;
mod smtp;
mod socket;
mod telemetry;

use std::process::ExitCode;

// Linked, it takes the place of `malloc`, for Rust as for SQLite. As Rust's allocator it would ask for each alignment by
// name, which costs the shortest path of every allocation above a kilobyte.
use mimalloc as _;

fn main() -> ExitCode {
    cli::run()
}
