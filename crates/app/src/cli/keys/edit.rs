//! `keys edit`: what is not named stays, `--clear` takes away, `--promote-shadow` lets the shadow refuse.

use super::arguments::EditOptions;
use super::{KEYS, find, load, print_done, unknown, writable};
use crate::cli::output::Output;
use crate::cli::transport::Transport;
use crate::cli::{Failure, Kind};
use crate::percent::encoded;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// What `--clear` takes, and the member that `null` clears.
const CLEARABLE: &[(&str, &str)] = &[
    ("tag", "source_tag"),
    ("expires", "expires_at"),
    ("owner", "owner"),
    ("stored-in", "stored_in"),
    ("shadow", "shadow"),
    ("models", "policy.models"),
    ("endpoints", "policy.endpoints"),
    ("ips", "policy.ips"),
    ("deny-ips", "policy.ips_denied"),
    ("permissions", "policy.permissions"),
    ("rpm", "limits.rpm"),
    ("tpm", "limits.tpm"),
    ("concurrency", "limits.concurrency"),
    ("burst", "limits.burst"),
];

const LISTS: [&str; 4] = ["models", "endpoints", "ips", "ips_denied"];
const RATES: [&str; 4] = ["rpm", "tpm", "concurrency", "burst"];

pub(super) async fn run(transport: &Transport, output: &Output, options: &EditOptions) -> Result<ExitCode, Failure> {
    let mut body = json!({});
    if let Some(name) = &options.name {
        body["name"] = json!(name);
    }
    let id = find(transport, &options.key).await?;
    let mut version = options.if_version;
    if options.promote_shadow {
        let key = load(transport, &id).await?;
        // What was looked at is what is promoted, or nothing.
        version = key["version"].as_i64();
        promote(&key, &mut body)?;
    }
    let mut written = json!({});
    writable::fill(transport, &options.writable, &mut written).await?;
    merge(&mut body, written);
    for what in &options.clear {
        clear(&mut body, what)?;
    }
    if body.as_object().is_none_or(Map::is_empty) {
        return Err(Failure::new(Kind::Usage, "nothing to change was named").next("claviger help keys edit"));
    }
    let version = version.map(|version| version.to_string());
    let headers: Vec<(&str, &str)> = version.iter().map(|version| ("if-match", version.as_str())).collect();
    let key = transport.post_with(&format!("{KEYS}/{}", encoded(&id)), &headers, &body).await;
    print_done(output, &key.map_err(|failure| unknown(failure, &id))?.body, "Edited");
    Ok(ExitCode::SUCCESS)
}

/// The shadow's lists and limits as those that refuse, and no shadow any more. What it does not say stays as it is.
fn promote(key: &Value, body: &mut Value) -> Result<(), Failure> {
    if !key["shadow"].is_object() {
        return Err(
            Failure::new(Kind::Conflict, "this key has no shadow").next("claviger keys edit KEY --rpm N --shadow")
        );
    }
    for (part, members) in [("policy", LISTS), ("limits", RATES)] {
        for member in members.iter().filter(|member| !key["shadow"][**member].is_null()) {
            body[part][*member] = key["shadow"][*member].clone();
        }
    }
    body["shadow"] = Value::Null;
    Ok(())
}

fn clear(body: &mut Value, what: &str) -> Result<(), Failure> {
    let Some((_, member)) = CLEARABLE.iter().find(|(name, _)| *name == what) else {
        let names: Vec<&str> = CLEARABLE.iter().map(|(name, _)| *name).collect();
        return Err(Failure::new(Kind::Usage, format!("--clear {what}: one of {}", names.join(", "))));
    };
    let nothing = if *member == "policy.permissions" { json!([]) } else { Value::Null };
    let place = match member.split_once('.') {
        None => &mut body[*member],
        Some((part, member)) => &mut body[part][member],
    };
    if !place.is_null() {
        return Err(Failure::new(Kind::Usage, format!("--clear {what} beside a new value for it")));
    }
    *place = nothing;
    Ok(())
}

/// Members of objects are merged, everything else is replaced.
fn merge(into: &mut Value, from: Value) {
    let Value::Object(from) = from else { return };
    for (name, value) in from {
        match (&mut into[name.as_str()], value) {
            (Value::Object(known), Value::Object(new)) => known.extend(new),
            (place, value) => *place = value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_is_promoted_member_by_member() {
        let key = json!({ "shadow": { "models": ["a/*"], "ips": null, "rpm": 5, "tpm": null } });
        let mut body = json!({ "name": "x" });
        assert!(promote(&key, &mut body).is_ok());
        let expected = json!({
            "name": "x", "policy": { "models": ["a/*"] }, "limits": { "rpm": 5 }, "shadow": null,
        });
        assert_eq!(body, expected);
        assert!(promote(&json!({ "shadow": null }), &mut body).is_err());
    }

    #[test]
    fn what_is_cleared_is_null_in_its_place_and_not_set_beside() {
        let mut body = json!({ "limits": { "tpm": 7 } });
        assert!(clear(&mut body, "rpm").is_ok() && clear(&mut body, "tag").is_ok());
        assert!(clear(&mut body, "permissions").is_ok());
        let expected = json!({
            "limits": { "tpm": 7, "rpm": null }, "source_tag": null, "policy": { "permissions": [] },
        });
        assert_eq!(body, expected);
        assert!(clear(&mut body, "tpm").is_err() && clear(&mut body, "colour").is_err());
    }
}
