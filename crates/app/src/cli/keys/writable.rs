//! Flags of create and edit as members of the body (`keys.md` §10): lists and rates go into `limits` and `policy`, or all
//! of them into `shadow`.

use super::arguments::WritableOptions;
use super::{duration, one_of, pages};
use crate::cli::output::text;
use crate::cli::transport::Transport;
use crate::cli::{Failure, Kind};
use crate::percent::encoded;
use serde_json::{Map, Value, json};

/// Adds what was asked for to a body.
pub(super) async fn fill(transport: &Transport, options: &WritableOptions, body: &mut Value) -> Result<(), Failure> {
    let texts = [("source_tag", &options.tag), ("stored_in", &options.stored_in), ("role", &options.role)];
    for (member, value) in texts {
        if let Some(value) = value {
            body[member] = json!(value);
        }
    }
    if let Some(expires) = &options.expires {
        body["expires_in_seconds"] = json!(duration("--expires", expires)?);
    }
    let owner = match (&options.agent, &options.owner) {
        (Some(agent), _) => Some(find_agent(transport, agent, body).await?),
        (None, Some(member)) => Some(find_member(transport, member).await?),
        (None, None) => None,
    };
    if let Some(owner) = owner {
        body["owner"] = json!(owner);
    }
    let (lists, rates) = (lists(options), rates(options));
    let mut policy = Map::new();
    if options.shadow {
        let shadow: Map<String, Value> = lists.into_iter().chain(rates).collect();
        if shadow.is_empty() {
            return Err(Failure::new(Kind::Usage, "--shadow needs a list or a limit, such as --rpm or --model"));
        }
        body["shadow"] = Value::Object(shadow);
    } else {
        if !rates.is_empty() {
            body["limits"] = Value::Object(rates);
        }
        policy = lists;
    }
    if let Some(reach) = &options.reach {
        policy.insert("reach".to_owned(), json!(reach));
    }
    if !options.permission.is_empty() {
        policy.insert("permissions".to_owned(), json!(options.permission));
    }
    if !policy.is_empty() {
        body["policy"] = Value::Object(policy);
    }
    Ok(())
}

fn lists(options: &WritableOptions) -> Map<String, Value> {
    let lists = [
        ("models", &options.model),
        ("endpoints", &options.endpoint),
        ("ips", &options.ip),
        ("ips_denied", &options.deny_ip),
    ];
    lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name.to_owned(), json!(list))).collect()
}

fn rates(options: &WritableOptions) -> Map<String, Value> {
    let rates =
        [("rpm", options.rpm), ("tpm", options.tpm), ("concurrency", options.concurrency), ("burst", options.burst)];
    rates.into_iter().filter_map(|(name, rate)| Some((name.to_owned(), json!(rate?)))).collect()
}

/// The id of an agent; a new key is made in the environment of its agent, unless another was named.
async fn find_agent(transport: &Transport, named: &str, body: &mut Value) -> Result<String, Failure> {
    let is_id = named.parse::<claviger_domain::id::AgentId>().is_ok();
    let mut found = Vec::new();
    for environment in pages(transport, "/v1/organization/projects?limit=100", usize::MAX).await? {
        let list =
            format!("/v1/organization/projects/{}/service_accounts?limit=100", encoded(text(&environment, "id")));
        let agents = pages(transport, &list, usize::MAX).await?;
        found.extend(agents.into_iter().filter(|agent| text(agent, if is_id { "id" } else { "name" }) == named));
    }
    if let Some(environment) = body["environment_id"].as_str() {
        found.retain(|agent| text(agent, "environment_id") == environment);
    }
    let found: Vec<&Value> = found.iter().filter(|agent| agent["ended_at"].is_null()).collect();
    let id = one_of("agent", named, &found, "claviger agents list")?;
    if body["name"].is_string()
        && let [agent] = found.as_slice()
    {
        body["environment_id"] = agent["environment_id"].clone();
    }
    Ok(id)
}

async fn find_member(transport: &Transport, named: &str) -> Result<String, Failure> {
    if named.parse::<claviger_domain::id::UserId>().is_ok() {
        return Ok(named.to_owned());
    }
    let members = pages(transport, "/v1/organization/users?limit=100", usize::MAX).await?;
    let found: Vec<&Value> = members.iter().filter(|member| text(member, "email") == named).collect();
    one_of("member", named, &found, "claviger members list")
}
