//! The command line: what was asked ([`arguments`]), by which way it reaches the management endpoints ([`transport`]),
//! what is printed ([`output`]).
//!
//! Every command but `serve`, `simulate` and `doctor` is an HTTP request to a management endpoint; there is no second
//! way to do anything.

mod arguments;
mod audit;
mod civil;
mod connection;
mod credits;
mod explain;
mod failure;
mod help;
mod import;
mod keys;
mod ledger;
mod login;
mod nodes;
mod output;
mod people;
mod places;
mod profiles;
mod providers;
mod reload;
mod requests;
mod routes;
mod scan;
mod secret_in;
mod secret_out;
mod setup;
mod transport;
mod usage;

#[cfg(test)]
mod tests;

pub(crate) use failure::{Failure, Kind};
pub(crate) use output::{note, say};

use crate::config::{self, Flags, Variables};
use arguments::{Cli, Command, LedgerCommand};
use clap::Parser as _;
use keys::arguments::KeysCommand;
use output::Output;
use std::process::ExitCode;
use transport::Transport;

/// Reads the arguments, does what they say, and gives the exit code of `cli.md` §5.
pub(crate) fn run() -> ExitCode {
    let variables = Variables::of_process();
    let arguments = arguments::with_json_fields(std::env::args_os());
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version to standard output, everything else to standard error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(cli, &variables) {
        Ok(code) => code,
        Err(failure) => {
            note(&failure);
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli, variables: &Variables) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    if global.dry_run && matches!(command, Command::Serve(_) | Command::Simulate(_)) {
        return Err(Failure::new(Kind::Usage, "this command asks for no change, so it has no dry run"));
    }
    match command {
        Command::Serve(options) => {
            let flags = global.flags_for(&options);
            let done = crate::serve::run(&flags, variables).map(|()| ExitCode::SUCCESS);
            done.map_err(|failure| other_address(failure, &flags, variables))
        }
        Command::Simulate(options) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(Kind::Failed, format!("no runtime: {error}")))?;
            let done = runtime.block_on(crate::simulate::run(options)).map(|()| ExitCode::SUCCESS);
            done.map_err(|error| Failure::from(error).next_if_address_taken("--listen"))
        }
        Command::Doctor => crate::doctor::run(&global.flags(), variables),
        Command::Version => {
            say(format_args!("claviger {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(audit::AuditCommand::Verify(audit::VerifyOptions {
            export: Some(file),
            public_key: Some(key),
        })) => audit::verify_export(&file, &key, &Output::new(&global)),
        Command::Keys(KeysCommand::Check(options)) => keys::check::run(&global, variables, &options),
        Command::Keys(KeysCommand::Pattern(options)) => scan::pattern(&global, variables, &options),
        Command::Keys(KeysCommand::Scan(options)) => {
            crate::telemetry::start_quiet();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(Kind::Failed, format!("no runtime: {error}")))?;
            runtime.block_on(scan::run(&global, variables, &options))
        }
        Command::Help { topic } => help::run(&topic).map(|()| ExitCode::SUCCESS),
        other => {
            crate::telemetry::start_quiet();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(Kind::Failed, format!("no runtime: {error}")))?;
            runtime.block_on(act(global, other, variables))
        }
    }
}

/// Names the option that moves the listener whose address is taken.
fn other_address(failure: Failure, flags: &Flags, variables: &Variables) -> Failure {
    let is_private = config::load_for_serving(flags, variables)
        .is_ok_and(|config| failure.tells(&format!("cannot listen on {}:", config.private_listen)));
    failure.next_if_address_taken(if is_private { "--private-listen" } else { "--listen" })
}

async fn act(mut global: arguments::Global, command: Command, variables: &Variables) -> Result<ExitCode, Failure> {
    // For set-up alone the flag is the name that the organization shall have, not one to look for.
    let setup_name = if matches!(command, Command::Setup(_)) { global.organization.take() } else { None };
    let output = Output::new(&global);
    output.check()?;
    // Where nothing is done, nobody need be asked.
    global.yes |= global.dry_run;
    match command {
        Command::Login | Command::Logout if global.dry_run => {
            return Err(Failure::new(Kind::Usage, "signing in and out has no dry run"));
        }
        Command::Login => return login::login(&global, variables, &output).await,
        Command::Logout => return login::logout(&global, variables).await,
        Command::Whoami => return login::whoami(&global, variables, &output).await,
        _ => {}
    }
    let may_make = matches!(command, Command::Setup(_));
    let mut transport = Transport::choose(&global, variables, may_make).await?;
    let done = match command {
        Command::Setup(options) => setup::run(&transport, &output, &options, setup_name.as_deref()).await,
        Command::SetupLink { force } => people::setup_link(&transport, &output, force).await,
        Command::Organizations(command) => places::organizations(&transport, &output, variables, command).await,
        Command::Environments(command) => places::environments(&transport, &output, &global, command).await,
        Command::Agents(command) => places::agents(&transport, &output, &global, command).await,
        Command::Users(command) => people::users(&transport, &output, &global, command).await,
        Command::Members(command) => people::members(&transport, &output, &global, command).await,
        Command::Keys(command) => keys::run(&transport, &output, &global, variables, command).await,
        Command::Grants(arguments::GrantsCommand::Create(options)) => {
            credits::grant(&transport, &output, &options).await
        }
        Command::Credits => credits::show(&transport, &output).await,
        Command::Usage(options) => usage::run(&transport, &output, &options).await,
        Command::Explain { request } => explain::run(&transport, &output, &request).await,
        Command::Requests(arguments::RequestsCommand::List(options)) => {
            requests::list(&transport, &output, &options).await
        }
        Command::Requests(arguments::RequestsCommand::Get { request }) => {
            requests::get(&transport, &output, &request).await
        }
        Command::Import(mut options) => {
            options.dry_run = global.dry_run;
            transport.send_changes();
            import::run(&transport, &output, &options).await
        }
        Command::Audit(command) => audit::run(&transport, &output, &command).await,
        Command::Reload(options) => reload::run(&transport, &output, &options).await,
        Command::Providers(command) => providers::run(&transport, &output, &global, variables, command).await,
        Command::Routes(command) => routes::run(&transport, &output, &command).await,
        Command::Nodes(command) => nodes::run(&transport, &output, global.yes, &command).await,
        Command::Lease(command) => nodes::leases(&transport, &output, &command).await,
        Command::Ledger(LedgerCommand::Verify) => ledger::verify(&transport, &output).await,
        Command::Ledger(LedgerCommand::InDoubt) => ledger::in_doubt(&transport, &output).await,
        Command::Login | Command::Logout | Command::Whoami => Ok(ExitCode::SUCCESS),
        Command::Serve(_) | Command::Simulate(_) | Command::Doctor | Command::Version | Command::Help { .. } => {
            Ok(ExitCode::SUCCESS)
        }
    };
    transport.close().await;
    done
}
