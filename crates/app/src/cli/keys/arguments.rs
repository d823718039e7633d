//! The grammar of `claviger keys …`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; its text is shown once
    Create(CreateOptions),
    /// List keys, active and disabled ones unless asked otherwise
    List(ListOptions),
    /// Show one key
    Get {
        /// Id or name
        key: String,
    },
    /// Show who uses a key: networks and clients, of each of its texts
    Callers {
        /// Id or name
        key: String,
    },
    /// Change what a key is called, whom it belongs to, what it may do
    Edit(EditOptions),
    /// Give a key a new text; older ones work on for the overlap
    Rotate(RotateOptions),
    /// Give a key whose text was lost before its first use another one
    Reissue(ReissueOptions),
    /// End the older texts of a key now, for ever
    EndOverlap(EndOverlapOptions),
    /// Let the older text of a key work longer
    #[command(visible_alias = "extend")]
    ExtendOverlap(ExtendOverlapOptions),
    /// Refuse a key until it is enabled
    Disable {
        /// Id or name
        key: String,
    },
    /// Let a disabled key in again
    Enable {
        /// Id or name
        key: String,
    },
    /// End a key for ever
    Revoke(RevokeOptions),
    /// Say what is wrong with a text that shall be a key; reads standard input, asks nobody
    Check(super::check::CheckOptions),
    /// Ask the server whether it would take a key now; reads standard input
    Verify(VerifyOptions),
    /// Say which of your own keys leaked: by their ids, or by what is pasted on standard input
    Lookup(LookupOptions),
    /// Find keys in files, offline; exit 1 if there is one
    Scan(crate::cli::scan::ScanOptions),
    /// Print how scanners find keys of this server
    Pattern(crate::cli::scan::PatternOptions),
}

/// Where a text that is shown once goes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlaceOptions {
    /// Write the key to this new file, mode 0600
    #[arg(long, value_name = "FILE", conflicts_with = "to_env")]
    pub(super) to_file: Option<PathBuf>,
    /// Write OPENAI_API_KEY=… to this new file, mode 0600
    #[arg(long, value_name = "FILE")]
    pub(super) to_env: Option<PathBuf>,
    /// Hand the key to the clipboard
    #[arg(long, conflicts_with_all = ["to_file", "to_env"])]
    pub(super) clipboard: bool,
}

/// What both create and edit may say.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WritableOptions {
    /// Billing label
    #[arg(long)]
    pub(super) tag: Option<String>,
    /// Ends by itself after this time, such as 90d
    #[arg(long, value_name = "DURATION")]
    pub(super) expires: Option<String>,
    /// Belongs to this agent, by name or id
    #[arg(long, conflicts_with = "owner")]
    pub(super) agent: Option<String>,
    /// Belongs to this member, by address or id
    #[arg(long, value_name = "MEMBER")]
    pub(super) owner: Option<String>,
    /// Where the key is kept, in your words
    #[arg(long, value_name = "TEXT")]
    pub(super) stored_in: Option<String>,
    /// May call this model, or all that begin with it: acme/*; repeat or separate with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) model: Vec<String>,
    /// May use this endpoint, such as chat.completions; repeat or separate with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) endpoint: Vec<String>,
    /// May be used from this address or network; repeat or separate with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) ip: Vec<String>,
    /// May not be used from this address or network; repeat or separate with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) deny_ip: Vec<String>,
    /// Requests a minute
    #[arg(long, value_name = "N")]
    pub(super) rpm: Option<u32>,
    /// Tokens a minute
    #[arg(long, value_name = "N")]
    pub(super) tpm: Option<u32>,
    /// Requests at once
    #[arg(long, value_name = "N")]
    pub(super) concurrency: Option<u32>,
    /// How many may come at once within the rate [default: ten seconds' worth]
    #[arg(long, value_name = "N")]
    pub(super) burst: Option<u32>,
    /// Lists and limits of this command refuse nothing yet: records tell what they would have refused
    #[arg(long)]
    pub(super) shadow: bool,
    /// Sees agents and registries of the organization, or of its environment only
    #[arg(long, value_name = "organization|environment")]
    pub(super) reach: Option<String>,
    /// Further permission: keys.verify
    #[arg(long, value_delimiter = ',')]
    pub(super) permission: Vec<String>,
    /// Role of an admin key
    #[arg(long)]
    pub(super) role: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CreateOptions {
    /// What the key is for
    pub(super) name: String,
    /// Environment, by name or id
    #[arg(long)]
    pub(super) environment: Option<String>,
    #[command(flatten)]
    pub(super) writable: Box<WritableOptions>,
    /// An admin key: management, no inference
    #[arg(long, conflicts_with = "test")]
    pub(super) admin: bool,
    /// A test key: the simulator only, costs nothing
    #[arg(long)]
    pub(super) test: bool,
    /// Bait: opens nothing, and its use alarms the owners
    #[arg(long, conflicts_with = "admin")]
    pub(super) canary: bool,
    /// SHA-256 of a text made elsewhere: nothing is shown, and that text is the key
    #[arg(long, value_name = "HEX", conflicts_with_all = ["to_file", "to_env", "clipboard"])]
    pub(super) sha256: Option<String>,
    #[command(flatten)]
    pub(super) place: PlaceOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListOptions {
    /// Only this source tag
    #[arg(long)]
    pub(super) tag: Option<String>,
    /// Only this environment, by name or id
    #[arg(long)]
    pub(super) environment: Option<String>,
    /// Only keys that nobody used for this long, such as 90d
    #[arg(long, value_name = "DURATION")]
    pub(super) unused: Option<String>,
    /// Only keys that end within this time, such as 14d
    #[arg(long, value_name = "DURATION")]
    pub(super) expiring: Option<String>,
    /// Only keys whose newest text is older than this, such as 365d
    #[arg(long, value_name = "DURATION")]
    pub(super) older_than: Option<String>,
    /// Also expired and revoked ones
    #[arg(long)]
    pub(super) all: bool,
    /// Name, tag, id or last four characters contain this
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EditOptions {
    /// Id or name
    pub(super) key: String,
    /// Another name
    #[arg(long)]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) writable: Box<WritableOptions>,
    /// Take this away: tag, expires, owner, stored-in, models, endpoints, ips, deny-ips, rpm, tpm, concurrency, burst,
    /// shadow, permissions; repeat or separate with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(super) clear: Vec<String>,
    /// Let the shadow refuse from now on
    #[arg(long, conflicts_with = "shadow")]
    pub(super) promote_shadow: bool,
    /// Only if the key still has this version
    #[arg(long, value_name = "N", conflicts_with = "promote_shadow")]
    pub(super) if_version: Option<i64>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RotateOptions {
    /// Id or name
    pub(super) key: String,
    /// How long older texts work on, at most 30d [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub(super) overlap: Option<String>,
    /// End them earlier, once they were quiet for so many hours
    #[arg(long, value_name = "HOURS")]
    pub(super) finish_when_quiet: Option<u32>,
    /// When the overlap is over and they are still used: end them, or give them another 24h
    #[arg(long, value_name = "end|extend")]
    pub(super) at_deadline: Option<String>,
    /// Why; kept in the audit record
    #[arg(long)]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) place: PlaceOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReissueOptions {
    /// Id or name
    pub(super) key: String,
    #[command(flatten)]
    pub(super) place: PlaceOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EndOverlapOptions {
    /// Id or name
    pub(super) key: String,
    /// Only this one, by its id [default: every text but the newest]
    #[arg(long, value_name = "ID")]
    pub(super) secret_id: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExtendOverlapOptions {
    /// Id or name
    pub(super) key: String,
    /// Until so long from now, such as 3d; at most 30d from the rotation
    #[arg(long = "for", value_name = "DURATION")]
    pub(super) duration: String,
    /// Only this one, by its id [default: every older text that works]
    #[arg(long, value_name = "ID")]
    pub(super) secret_id: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RevokeOptions {
    /// Id or name
    pub(super) key: String,
    /// unused, replaced, member_left, compromised or other
    #[arg(long)]
    pub(super) reason: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyOptions {
    /// For this model
    #[arg(long)]
    pub(super) model: Option<String>,
    /// Presented from this address
    #[arg(long)]
    pub(super) ip: Option<String>,
    /// For this permission or endpoint; repeat or separate with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) permission: Vec<String>,
    /// Count it as a request of the key, in its rate and its last use
    #[arg(long)]
    pub(super) count: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LookupOptions {
    /// Ids of keys; without any, whole keys are found in standard input, and only their SHA-256 is sent
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// Sum what they spent in this time [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub(super) since: Option<String>,
    /// Look for this prefix too; those of the configuration are always looked for
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Vec<String>,
}
