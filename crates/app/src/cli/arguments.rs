//! The grammar of the command line.

use crate::config::Flags;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Gives keys to model servers: an API platform in one program.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Global {
    /// Data directory [default: ./claviger-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Postgres instead of SQLite in the data directory; never with a password
    #[arg(long, global = true, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// Configuration file [default: ./claviger.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Who `login` signed in [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// A server elsewhere; needs --admin-key-file, or a login there
    #[arg(long, global = true, value_name = "URL")]
    pub(super) url: Option<String>,
    /// File with the admin key for --url
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) admin_key_file: Option<PathBuf>,
    /// The organization, by slug or id, when there are several
    #[arg(long, global = true, value_name = "SLUG")]
    pub(super) organization: Option<String>,
    /// Print JSON, all fields or only these
    #[arg(long, global = true, value_name = "FIELDS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) json: Option<String>,
    /// Print for a program, in this format; beside --json FIELDS only these fields
    #[arg(id = "output", short = 'o', long = "output", global = true, value_enum)]
    pub(super) format: Option<super::output::Format>,
    /// Print what this expression of jq makes of the JSON; texts bare
    #[arg(long, global = true, value_name = "EXPRESSION", conflicts_with = "output")]
    pub(super) jq: Option<String>,
    /// Print tab-separated values
    #[arg(long, global = true)]
    pub(super) plain: bool,
    /// Print ids only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Do not ask
    #[arg(short, long, global = true)]
    pub(super) yes: bool,
    /// Print the first change that would be asked for, and change nothing
    #[arg(long, global = true)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server
    Serve(ServeOptions),
    /// Run the simulator as a model server of its own
    Simulate(crate::simulate::Options),
    /// Name the first organization and make its owner and an admin key
    Setup(SetupOptions),
    /// Print a new set-up link; the old one is dead
    SetupLink {
        /// Also where an owner exists: the link adds one
        #[arg(long)]
        force: bool,
    },
    /// Get an admin key of one's own for this command line, by a page in the browser
    Login,
    /// Revoke that key and forget it
    Logout,
    /// Who is signed in, and where
    Whoami,
    /// Make people, and help them back in
    #[command(subcommand, visible_alias = "user")]
    Users(UsersCommand),
    /// Members of the organization
    #[command(subcommand, visible_alias = "member")]
    Members(MembersCommand),
    /// Organizations of the instance, and the one that is meant
    #[command(subcommand, visible_alias = "organization")]
    Organizations(super::places::OrganizationsCommand),
    /// Environments of the organization
    #[command(subcommand, visible_alias = "environment")]
    Environments(super::places::EnvironmentsCommand),
    /// Agents, and whom they trust
    #[command(subcommand, visible_alias = "agent")]
    Agents(super::places::AgentsCommand),
    /// Create, list, revoke keys
    #[command(subcommand, visible_alias = "key")]
    Keys(super::keys::arguments::KeysCommand),
    /// Fund an organization
    #[command(subcommand, visible_alias = "grant")]
    Grants(GrantsCommand),
    /// The organization's balance
    Credits,
    /// What was used, and what it cost
    Usage(UsageOptions),
    /// Why one request cost what it cost, or why it was refused
    Explain {
        /// The x-request-id of the answer
        #[arg(value_name = "REQUEST_ID")]
        request: String,
    },
    /// Request records
    #[command(subcommand, visible_alias = "request")]
    Requests(RequestsCommand),
    /// Prove the ledger, list charges in doubt
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Take keys over from another system; clients keep theirs
    Import(super::import::ImportOptions),
    /// The audit log, its export, its proof
    #[command(subcommand)]
    Audit(super::audit::AuditCommand),
    /// Have the running server read providers, models, routes and prices again
    Reload(ReloadOptions),
    /// Model servers that the organization brings along
    #[command(subcommand, visible_alias = "provider")]
    Providers(super::providers::ProvidersCommand),
    /// Which targets serve which model
    #[command(subcommand, visible_alias = "route")]
    Routes(super::routes::RoutesCommand),
    /// Nodes that serve this database
    #[command(subcommand, visible_alias = "node")]
    Nodes(super::nodes::NodesCommand),
    /// Credit that nodes have drawn, and what dead ones left
    #[command(subcommand, visible_alias = "leases")]
    Lease(super::nodes::LeaseCommand),
    /// Check the installation; each finding with its repair
    Doctor,
    /// Print the version
    Version,
    /// Explain a command, an error code, exit codes
    Help {
        /// A command, `error CODE` or `exit-codes`
        topic: Vec<String>,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct ServeOptions {
    /// Address of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    /// Address of health and metrics [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) private_listen: Option<String>,
    /// What clients use as base URL
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<String>,
    /// Print a simulator-only test key also when bound wider than loopback
    #[arg(long)]
    pub(super) quickstart: bool,
    /// Serve plain HTTP beyond loopback: something in front ends TLS
    #[arg(long)]
    pub(super) plain_http: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ReloadOptions {
    /// Only say what would change
    #[arg(long)]
    pub(super) check: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SetupOptions {
    /// The owner's e-mail
    #[arg(long)]
    pub(super) email: String,
    /// File with the owner's password, 12 characters or more; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: PathBuf,
    /// Credit to begin with
    #[arg(long, value_name = "AMOUNT")]
    pub(super) credit: Option<String>,
    /// Also make an inference key of this name
    #[arg(long, value_name = "NAME")]
    pub(super) key_name: Option<String>,
    /// Write the inference key to this file instead of printing it
    #[arg(long, value_name = "FILE", requires = "key_name")]
    pub(super) to_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// Everybody of the instance
    List,
    /// Make a person; prints a link to their password
    Create {
        /// Their address
        email: String,
    },
    /// Print a link to a new password
    ResetPassword {
        /// Their address
        email: String,
    },
    /// Make a person an owner of the organization
    MakeOwner {
        /// Their address
        email: String,
    },
    /// Make a person an operator of the instance
    MakeOperator {
        /// Their address
        email: String,
    },
    /// End every session of a person
    EndSessions {
        /// Their address
        email: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MembersCommand {
    /// List members
    List,
    /// Invite somebody; prints the link where no mail goes out
    Invite {
        /// Their address
        email: String,
        /// owner, admin, developer, billing or viewer
        #[arg(long, default_value = "developer")]
        role: String,
    },
    /// Remove a member
    Remove {
        /// Their address or id
        member: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum GrantsCommand {
    /// Add credit to a wallet
    Create(GrantOptions),
}

#[derive(Clone, Debug, Args)]
pub(super) struct GrantOptions {
    /// Slug or id
    #[arg(value_name = "ORGANIZATION")]
    pub(super) to: String,
    /// Such as 10.00
    pub(super) amount: String,
    /// Why; kept in the audit record
    #[arg(long)]
    pub(super) reason: String,
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct UsageOptions {
    #[command(subcommand)]
    pub(super) command: Option<UsageCommand>,
    /// A calendar month, such as 2026-11 [default: the running one]
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(super) month: Option<String>,
    /// First day, such as 2026-11-01
    #[arg(long, value_name = "DAY")]
    pub(super) from: Option<String>,
    /// Last day, included
    #[arg(long, value_name = "DAY")]
    pub(super) to: Option<String>,
    /// source_tag, model, key, environment; several with commas
    #[arg(long, value_name = "FIELDS", default_value = "model")]
    pub(super) by: String,
    /// Only this source tag
    #[arg(long)]
    pub(super) tag: Option<String>,
    /// Only this key, by id or name
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Only this model
    #[arg(long)]
    pub(super) model: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum UsageCommand {
    /// Make all sums again from the records
    Rebuild,
}

#[derive(Debug, Subcommand)]
pub(super) enum RequestsCommand {
    /// List request records, newest first
    List(ListRequestsOptions),
    /// Show one request record
    Get {
        /// The x-request-id of the answer
        request: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct ListRequestsOptions {
    /// Only this source tag
    #[arg(long)]
    pub(super) tag: Option<String>,
    /// Only this key, by id or name
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Only this model
    #[arg(long)]
    pub(super) model: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20)]
    pub(super) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Recompute everything from zero
    Verify,
    /// Charges whose delivery is not known
    InDoubt,
}

impl Global {
    /// What flags say to configuration.
    pub(super) fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            data: self.data.clone(),
            database_url: self.database_url.clone(),
            ..Flags::default()
        }
    }

    /// As [`Self::flags`], with those of `serve`.
    pub(super) fn flags_for(&self, options: &ServeOptions) -> Flags {
        Flags {
            listen: options.listen.clone(),
            private_listen: options.private_listen.clone(),
            public_url: options.public_url.clone(),
            plain_http: options.plain_http,
            quickstart: options.quickstart,
            ..self.flags()
        }
    }
}

/// Fields that `--json` may be followed by; anything else behind it is an argument of its own.
const FIELDS: &[&str] = &[
    "id",
    "email",
    "url",
    "operator",
    "name",
    "redacted_value",
    "created_at",
    "last_used_at",
    "class",
    "test",
    "state",
    "flags",
    "environment_id",
    "source_tag",
    "expires_at",
    "role",
    "limits",
    "policy",
    "secrets",
    "state_changed",
    "version",
    "value",
    "canary",
    "shadow",
    "stored_in",
    "created_by",
    "reissue_until",
    "problem",
    "valid",
    "code",
    "detail",
    "keyId",
    "match",
    "is_live",
    "spend",
    "api_key_id",
    "api_key_name",
    "model",
    "status",
    "outcome",
    "charge",
    "hold",
    "absorbed",
    "meters",
    "error_code",
    "duration_ms",
    "num_model_requests",
    "input_tokens",
    "input_cached_tokens",
    "output_tokens",
    "project_id",
    "balance",
    "total_credits",
    "total_usage",
    "currency",
    "organization",
    "owner",
    "admin_key",
    "key",
    "ok",
    "transfers",
    "organizations",
    "faults",
    "amount",
    "reason",
    "request",
    "lines",
    "exact",
    "charged",
    "held",
    "released",
    "confirmation",
    "delivery",
    "rule",
    "attempts",
    "price_version",
    "usage_source",
    "first_byte_ms",
    "slug",
    "archived_at",
    "ended_at",
    "issuer",
    "audience",
    "subject",
    "claims",
    "ttl_seconds",
    "single_use",
    "service_account_id",
    "seat",
    "open",
    "granted",
    "returned",
    "node",
    "renewed_at",
    "applied_epoch",
    "registry_id",
    "dialect",
    "base_url",
    "enabled",
    "models",
    "credential",
    "message",
    "tiers",
    "pricing",
];

/// Words behind which `--json` may have fields.
const COMMANDS: &[&str] = &[
    "setup",
    "setup-link",
    "users",
    "user",
    "members",
    "member",
    "organizations",
    "organization",
    "environments",
    "environment",
    "agents",
    "agent",
    "keys",
    "key",
    "grants",
    "grant",
    "credits",
    "usage",
    "explain",
    "requests",
    "request",
    "ledger",
    "providers",
    "provider",
    "routes",
    "route",
    "nodes",
    "node",
    "lease",
    "leases",
];

/// `--json id,name` becomes `--json=id,name`, which is the form the parser can tell from `--json KEY`.
pub(super) fn with_json_fields(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let mut has_command = false;
    for argument in arguments {
        let is_fields =
            has_command && argument.to_str().is_some_and(|text| text.split(',').all(|part| FIELDS.contains(&part)));
        match out.last_mut() {
            Some(last) if last == "--json" && is_fields => {
                last.push("=");
                last.push(&argument);
            }
            _ => {
                has_command |= argument.to_str().is_some_and(|text| COMMANDS.contains(&text));
                out.push(argument);
            }
        }
    }
    out
}
