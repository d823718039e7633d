//! `claviger organizations …`, `claviger environments …`, `claviger agents …`.

use super::arguments::Global;
use super::keys::{confirm, find_environment, pages};
use super::output::{Output, printable, say, text, time, words};
use super::profiles::Profiles;
use super::transport::{Transport, target};
use super::{Failure, Kind};
use crate::config::Variables;
use crate::percent::encoded;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const OPERATOR: &str = "/api/operator/organizations";
const ORGANIZATION: &str = "/v1/organization";
const PROJECTS: &str = "/v1/organization/projects";

#[derive(Clone, Debug, Subcommand)]
pub(super) enum OrganizationsCommand {
    /// Every organization of the instance
    List,
    /// The organization, and what it asks of its keys
    Get,
    /// Mean this one on this data directory from now on
    Use {
        /// Its slug or id
        #[arg(value_name = "ORGANIZATION")]
        slug: String,
    },
    /// Make an organization
    Create {
        /// Its name
        name: String,
        /// What it is called in paths [default: made of the name]
        #[arg(long)]
        slug: Option<String>,
        /// How many keys it may have
        #[arg(long, value_name = "N")]
        max_keys: Option<u32>,
    },
    /// Change the organization's name, slug or reporting zone
    Edit {
        /// Its name
        #[arg(long)]
        name: Option<String>,
        /// What it is called in paths
        #[arg(long)]
        slug: Option<String>,
        /// The zone of its days and months, such as Asia/Shanghai
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum EnvironmentsCommand {
    /// List environments
    List {
        /// Also archived ones
        #[arg(long)]
        all: bool,
    },
    /// Show one
    Get {
        /// Id or name
        environment: String,
    },
    /// Make one
    Create {
        /// Its name
        name: String,
    },
    /// End one for ever
    Archive {
        /// Id or name
        environment: String,
        /// Revoke the keys that live in it
        #[arg(long)]
        revoke_keys: bool,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum AgentsCommand {
    /// List agents
    List(Place),
    /// Show one
    Get {
        /// Its id
        agent: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make one, without a key: keys create --agent makes its keys
    Create {
        /// Its name
        name: String,
        /// What its admin keys may be: owner, admin, member, billing, reader or none
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// End one for ever, with its keys
    End {
        /// Its id
        agent: String,
        #[command(flatten)]
        place: Place,
    },
    /// Tokens of other issuers that become its keys
    #[command(subcommand)]
    Trust(TrustCommand),
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum TrustCommand {
    /// List whom an agent trusts
    List {
        /// Its id
        agent: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let an agent trust tokens
    Create(CreateTrust),
    /// End a trust, with the keys that came from it
    Delete {
        /// The agent's id
        agent: String,
        /// The trust's id
        trust: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct CreateTrust {
    /// The agent's id
    agent: String,
    /// The issuer's URL, as in its tokens
    #[arg(long)]
    issuer: String,
    /// For whom the tokens are
    #[arg(long)]
    audience: String,
    /// About whom; ends in * where only the beginning counts
    #[arg(long)]
    subject: String,
    /// A claim the tokens must have; may come several times
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// How long a key lives, such as 15m
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// A token becomes a key as often as it is brought while it holds
    #[arg(long)]
    many_times: bool,
    /// Billing label of the keys
    #[arg(long)]
    tag: Option<String>,
    /// Models the keys may call; may come several times
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Requests a minute of each key
    #[arg(long)]
    rpm: Option<u32>,
    #[command(flatten)]
    place: Place,
}

/// Where an agent lives.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// Environment, by name or id [default: the organization's default one]
    #[arg(long)]
    environment: Option<String>,
}

/// Organizations: the operator's list, or the one that the credential belongs to.
pub(super) async fn organizations(
    transport: &Transport,
    output: &Output,
    variables: &Variables,
    command: OrganizationsCommand,
) -> Result<ExitCode, Failure> {
    let (path, body) = match command {
        OrganizationsCommand::List => {
            let rows = pages(transport, &target(OPERATOR, &[("limit", Some("100"))]), usize::MAX).await?;
            let columns = [words("ID"), words("SLUG"), words("NAME"), words("STATE"), words("CREATED")];
            output.rows(&rows, &columns, |row| {
                let of = |name| printable(text(row, name));
                vec![of("id"), of("slug"), of("name"), of("state"), time(&row["created_at"])]
            });
            return Ok(ExitCode::SUCCESS);
        }
        OrganizationsCommand::Get => {
            let found = transport.get(ORGANIZATION).await?.body;
            show(output, &found, &["id", "slug", "name", "state", "reporting_zone", "default_environment_id"]);
            return Ok(ExitCode::SUCCESS);
        }
        OrganizationsCommand::Use { slug } => {
            let found = transport.get_in(&slug, ORGANIZATION).await;
            let found = found.map_err(|failure| {
                let wanted = format!("There is no organization `{}` for you here.", printable(&slug));
                failure.looking_for(wanted, "claviger organizations list, or claviger login for another key")
            })?;
            // A key belongs to one organization: there is nothing to remember.
            if let Some(place) = transport.place() {
                Profiles::of(variables)?.use_organization(place, text(&found.body, "slug"))?;
            }
            tell(output, "Using", &found.body);
            return Ok(ExitCode::SUCCESS);
        }
        OrganizationsCommand::Create { name, slug, max_keys } => {
            (OPERATOR, members(vec![("name", Some(json!(name))), ("slug", some(slug)), ("max_keys", some(max_keys))]))
        }
        OrganizationsCommand::Edit { name, slug, time_zone } => (
            ORGANIZATION,
            members(vec![("name", some(name)), ("slug", some(slug)), ("reporting_zone", some(time_zone))]),
        ),
    };
    let made = transport.post(path, &body).await?.body;
    tell(output, if path == OPERATOR { "Created" } else { "Changed" }, &made);
    Ok(ExitCode::SUCCESS)
}

/// Environments of the organization.
pub(super) async fn environments(
    transport: &Transport,
    output: &Output,
    global: &Global,
    command: EnvironmentsCommand,
) -> Result<ExitCode, Failure> {
    match command {
        EnvironmentsCommand::List { all } => {
            let archived = all.then_some("true");
            let first = target(PROJECTS, &[("limit", Some("100")), ("include_archived", archived)]);
            let rows = pages(transport, &first, usize::MAX).await?;
            let columns = [words("ID"), words("NAME"), words("STATUS"), words("CREATED")];
            output.rows(&rows, &columns, |row| {
                let of = |name| printable(text(row, name));
                vec![of("id"), of("name"), of("status"), time(&row["created_at"])]
            });
        }
        EnvironmentsCommand::Get { environment } => {
            let found = transport.get(&place_of(transport, &environment).await?).await?.body;
            show(output, &found, &["id", "name", "status", "version"]);
        }
        EnvironmentsCommand::Create { name } => {
            tell(output, "Created", &transport.post(PROJECTS, &json!({ "name": name })).await?.body);
        }
        EnvironmentsCommand::Archive { environment, revoke_keys } => {
            let path = place_of(transport, &environment).await?;
            if !global.yes {
                let with = if revoke_keys { " and revoke its keys" } else { "" };
                confirm(&format!("Archive {} for ever{with}?", printable(&environment)))?;
            }
            let body = json!({ "revoke_keys": revoke_keys });
            tell(output, "Archived", &transport.post(&format!("{path}/archive"), &body).await?.body);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Agents of one environment, and whom they trust.
pub(super) async fn agents(
    transport: &Transport,
    output: &Output,
    global: &Global,
    command: AgentsCommand,
) -> Result<ExitCode, Failure> {
    match command {
        AgentsCommand::List(place) => {
            let path = accounts(transport, &place).await?;
            let rows = pages(transport, &target(&path, &[("limit", Some("100"))]), usize::MAX).await?;
            let columns = [words("ID"), words("NAME"), words("ROLE"), words("CREATED")];
            output.rows(&rows, &columns, |row| {
                let of = |name| printable(text(row, name));
                vec![of("id"), of("name"), of("role"), time(&row["created_at"])]
            });
        }
        AgentsCommand::Get { agent, place } => {
            let found = transport.get(&account(transport, &place, &agent).await?).await;
            show(
                output,
                &found.map_err(|failure| no_agent(failure, &agent))?.body,
                &["id", "name", "role", "environment_id"],
            );
        }
        AgentsCommand::Create { name, role, place } => {
            let path = accounts(transport, &place).await?;
            let body = members(vec![
                ("name", Some(json!(name))),
                ("role", some(role)),
                ("create_service_account_only", Some(json!(true))),
            ]);
            tell(output, "Created", &transport.post(&path, &body).await?.body);
        }
        AgentsCommand::End { agent, place } => {
            let path = account(transport, &place, &agent).await?;
            if !global.yes {
                confirm(&format!("End {} for ever, with its keys?", printable(&agent)))?;
            }
            let ended = transport.delete(&path).await.map_err(|failure| no_agent(failure, &agent))?;
            tell(output, "Ended", &ended.body);
        }
        AgentsCommand::Trust(command) => return trust(transport, output, global, command).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn trust(
    transport: &Transport,
    output: &Output,
    global: &Global,
    command: TrustCommand,
) -> Result<ExitCode, Failure> {
    match command {
        TrustCommand::List { agent, place } => {
            let path = format!("{}/trusts", account(transport, &place, &agent).await?);
            let rows = pages(transport, &target(&path, &[("limit", Some("100"))]), usize::MAX).await?;
            let columns = [words("ID"), words("ISSUER"), words("AUDIENCE"), words("SUBJECT"), words("TTL")];
            output.rows(&rows, &columns, |row| {
                let of = |name| printable(text(row, name));
                vec![of("id"), of("issuer"), of("audience"), of("subject"), format!("{}s", row["ttl_seconds"])]
            });
        }
        TrustCommand::Create(options) => {
            let path = format!("{}/trusts", account(transport, &options.place, &options.agent).await?);
            let made = transport.post(&path, &trust_body(&options)?).await;
            tell(output, "Created", &made.map_err(|failure| no_agent(failure, &options.agent))?.body);
        }
        TrustCommand::Delete { agent, trust, place } => {
            let path = format!("{}/trusts/{}", account(transport, &place, &agent).await?, encoded(&trust));
            if !global.yes {
                confirm(&format!("End {} for ever, with the keys that came from it?", printable(&trust)))?;
            }
            tell(output, "Ended", &transport.delete(&path).await?.body);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn trust_body(options: &CreateTrust) -> Result<Value, Failure> {
    let mut claims = Map::new();
    for claim in &options.claims {
        let wrong = || Failure::new(Kind::Usage, format!("--claim {}: NAME=VALUE", printable(claim)));
        let (name, value) = claim.split_once('=').ok_or_else(wrong)?;
        claims.insert(name.to_owned(), json!(value));
    }
    let ttl = match &options.ttl {
        None => None,
        Some(text) => {
            let wrong = || Failure::new(Kind::Usage, format!("--ttl {}: a duration such as 15m", printable(text)));
            Some(json!(super::civil::seconds(text).ok_or_else(wrong)?))
        }
    };
    let policy = (!options.models.is_empty()).then(|| json!({ "models": options.models }));
    Ok(members(vec![
        ("issuer", Some(json!(options.issuer))),
        ("audience", Some(json!(options.audience))),
        ("subject", Some(json!(options.subject))),
        ("claims", Some(Value::Object(claims))),
        ("ttl_seconds", ttl),
        ("single_use", Some(json!(!options.many_times))),
        ("source_tag", some(options.tag.clone())),
        ("policy", policy),
        ("limits", options.rpm.map(|rpm| json!({ "rpm": rpm }))),
    ]))
}

fn some(value: Option<impl Into<Value>>) -> Option<Value> {
    value.map(Into::into)
}

/// An object of what is there.
fn members(all: Vec<(&str, Option<Value>)>) -> Value {
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

async fn place_of(transport: &Transport, environment: &str) -> Result<String, Failure> {
    Ok(format!("{PROJECTS}/{}", find_environment(transport, environment).await?))
}

/// The agents of the named environment, or of the default one.
async fn accounts(transport: &Transport, place: &Place) -> Result<String, Failure> {
    let environment = match &place.environment {
        Some(named) => place_of(transport, named).await?,
        None => {
            let organization = transport.get(ORGANIZATION).await?.body;
            format!("{PROJECTS}/{}", text(&organization, "default_environment_id"))
        }
    };
    Ok(format!("{environment}/service_accounts"))
}

async fn account(transport: &Transport, place: &Place, agent: &str) -> Result<String, Failure> {
    Ok(format!("{}/{}", accounts(transport, place).await?, encoded(agent)))
}

fn no_agent(failure: Failure, agent: &str) -> Failure {
    failure.looking_for(format_args!("There is no agent `{}`.", printable(agent)), "claviger agents list")
}

fn tell(output: &Output, done: &str, object: &Value) {
    if output.is_quiet {
        say(text(object, "id"));
    } else if !output.json(object) {
        say(format_args!("{done} {}  {}", text(object, "id"), printable(text(object, "name"))).to_string().trim_end());
    }
}

fn show(output: &Output, object: &Value, fields: &[&str]) {
    if output.is_quiet {
        say(text(object, "id"));
    } else if !output.json(object) {
        let line = |name: &&str| {
            let shown = object[*name].as_str().map_or_else(|| object[*name].to_string(), printable);
            vec![name.replace('_', " "), shown]
        };
        output.table(&[words(""), words("")], fields.iter().map(line).collect());
    }
}
