//! The policy of a key as one JSON cell, which no query looks into. What a restriction means is not known here.

use crate::error::Error;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::key::{Limits, Policy, Reach, Restrictions};
use claviger_domain::right::Permission;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::str::FromStr;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Lists {
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ips: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ips_denied: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Cell {
    #[serde(flatten)]
    enforced: Lists,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<Lists>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reach: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
}

/// The cell of a policy; none for one that restricts nothing, as most do.
pub(crate) fn cell(policy: &Policy) -> Option<String> {
    if *policy == Policy::default() {
        return None;
    }
    let cell = Cell {
        enforced: lists(&policy.enforced),
        shadow: policy.shadow.as_deref().map(lists),
        reach: (policy.reach != Reach::Organization).then(|| policy.reach.name().to_owned()),
        permissions: policy.permissions.iter().map(|permission| permission.name().to_owned()).collect(),
    };
    // Texts and numbers only: this cannot fail. A failure would restrict nothing, so it restricts everything.
    Some(serde_json::to_string(&cell).unwrap_or_else(|_| "unwritten".to_owned()))
}

/// Reads the cell back.
pub(crate) fn policy(cell: Option<&str>) -> Result<Policy, Error> {
    let Some(text) = cell else { return Ok(Policy::default()) };
    read(text).ok_or_else(|| crate::cells::corrupt("api_key.policy", text))
}

fn read(text: &str) -> Option<Policy> {
    let cell: Cell = serde_json::from_str(text).ok()?;
    let permissions: Option<Vec<Permission>> =
        cell.permissions.iter().map(|name| Permission::from_name(name)).collect();
    Some(Policy {
        enforced: restrictions(cell.enforced)?,
        shadow: match cell.shadow {
            None => None,
            Some(lists) => Some(Box::new(restrictions(lists)?)),
        },
        reach: cell.reach.map_or(Some(Reach::Organization), |name| Reach::from_name(&name))?,
        permissions: permissions?,
    })
}

fn lists(from: &Restrictions) -> Lists {
    fn texts<T: Display>(list: Option<&Vec<T>>) -> Option<Vec<String>> {
        list.map(|list| list.iter().map(ToString::to_string).collect())
    }
    let Limits { rpm, tpm, concurrency, burst } = from.limits;
    Lists {
        models: texts(from.models.as_ref()),
        endpoints: from.endpoints.as_ref().map(|list| list.iter().map(|name| name.name().to_owned()).collect()),
        ips: texts(from.ips.as_ref()),
        ips_denied: texts(from.ips_denied.as_ref()),
        rpm,
        tpm,
        concurrency,
        burst,
    }
}

fn restrictions(from: Lists) -> Option<Restrictions> {
    fn parsed<T: FromStr>(list: Option<Vec<String>>) -> Option<Option<Vec<T>>> {
        list.map(|list| list.iter().map(|text| text.parse().ok()).collect::<Option<Vec<T>>>())
            .map_or(Some(None), |list| list.map(Some))
    }
    let endpoints = match from.endpoints {
        None => None,
        Some(list) => Some(list.iter().map(|name| EndpointName::from_name(name)).collect::<Option<Vec<_>>>()?),
    };
    Some(Restrictions {
        models: parsed(from.models)?,
        endpoints,
        ips: parsed(from.ips)?,
        ips_denied: parsed(from.ips_denied)?,
        limits: Limits { rpm: from.rpm, tpm: from.tpm, concurrency: from.concurrency, burst: from.burst },
    })
}
