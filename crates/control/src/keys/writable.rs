//! What a body may say of a key: names, expiry, owner, limits, policy and shadow, for create and update alike.

use crate::authorize::Member;
use crate::body::Fields;
use crate::respond::Refusal;
use claviger_domain::address::Cidr;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::key::{
    Edit, EditedRestrictions, ModelPattern, Name, Owner, Reach, Restrictions, Set, SourceTag, StoredIn,
};
use claviger_domain::limits;
use claviger_domain::right::Permission;
use claviger_domain::time::{Now, Timestamp};
use std::str::FromStr;

/// Members of the key object that a body must not set.
pub(crate) const READ_ONLY: &[&str] = &[
    "id",
    "object",
    "redacted_value",
    "value",
    "created_at",
    "last_used_at",
    "owner_project_access",
    "state",
    "flags",
    "secrets",
    "created_by",
    "state_changed",
    "version",
    "reissue_until",
];

/// Everything that both create and update take.
pub(crate) fn edit(fields: &mut Fields, now: Now) -> Result<Edit, Refusal> {
    let name = match fields.text("name")? {
        None => None,
        Some(text) => Some(Name::parse(&text).map_err(|code| Refusal::from(code).about("name"))?),
    };
    let tag = set(fields, "source_tag", |fields| {
        let text = fields.required_text("source_tag")?;
        SourceTag::parse(&text).map_err(|code| Refusal::from(code).about("source_tag"))
    })?;
    let stored_in = set(fields, "stored_in", |fields| {
        let text = fields.required_text("stored_in")?;
        StoredIn::parse(&text).map_err(|_| Refusal::invalid("stored_in", "1 to 200 characters"))
    })?;
    let owner = set(fields, "owner", owner)?;
    let mut edit = Edit {
        name,
        source_tag: tag,
        stored_in,
        owner,
        expires_at: expiry(fields, now)?,
        shadow: set(fields, "shadow", shadow)?,
        ..Edit::default()
    };
    if let Some(mut limits) = fields.fields("limits")? {
        rates(&mut limits, &mut edit.enforced)?;
        limits.finish(&["budgets"])?;
    }
    if let Some(mut policy) = fields.fields("policy")? {
        lists(&mut policy, &mut edit.enforced)?;
        edit.reach = match policy.text("reach")? {
            None => None,
            Some(text) => Some(
                Reach::from_name(&text)
                    .ok_or_else(|| Refusal::invalid("policy.reach", "'organization' or 'environment'"))?,
            ),
        };
        edit.permissions = policy.texts("permissions")?.map(|names| permissions(&names)).transpose()?;
        policy.finish(&[])?;
    }
    Ok(edit)
}

/// Absent leaves, `null` clears.
fn set<T>(
    fields: &mut Fields,
    name: &str,
    read: impl FnOnce(&mut Fields) -> Result<T, Refusal>,
) -> Result<Set<T>, Refusal> {
    if !fields.has(name) {
        return Ok(Set::Keep);
    }
    if fields.take_null(name) {
        return Ok(Set::Clear);
    }
    read(fields).map(Set::To)
}

fn owner(fields: &mut Fields) -> Result<Owner, Refusal> {
    let expected = || Refusal::invalid("owner", "the id of a member or of an agent");
    let id = match fields.object_or_text("owner")? {
        Ok(text) => text,
        Err(mut object) => {
            let id = object.required_text("id")?;
            object.text("type")?;
            object.finish(&[])?;
            id
        }
    };
    id.parse().map_err(|_| expected())
}

/// `expires_at` in seconds since 1970, or `expires_in_seconds`; not both.
pub(crate) fn expiry(fields: &mut Fields, now: Now) -> Result<Set<Timestamp>, Refusal> {
    let within = fields.integer("expires_in_seconds")?;
    let at = set(fields, "expires_at", |fields| {
        fields.integer("expires_at")?.ok_or_else(|| Refusal::invalid("expires_at", "a whole number"))
    })?;
    let (param, at) = match (at, within) {
        (Set::Keep, None) => return Ok(Set::Keep),
        (Set::Clear, None) => return Ok(Set::Clear),
        (Set::To(at), None) => ("expires_at", Timestamp::from_seconds(at)),
        (Set::Keep, Some(seconds)) => {
            let at = now.wall.0.checked_add(Timestamp::from_seconds(seconds).0).map(Timestamp);
            ("expires_in_seconds", at.unwrap_or(Timestamp(i64::MAX)))
        }
        (_, Some(_)) => return Err(Refusal::invalid("expires_in_seconds", "nothing beside 'expires_at'")),
    };
    let is_possible = at >= now.wall.plus(limits::KEY_LIFE_MIN) && at <= now.wall.plus(limits::KEY_LIFE_MAX);
    if is_possible { Ok(Set::To(at)) } else { Err(Refusal::invalid(param, "an expiry in 60 seconds to 10 years")) }
}

fn shadow(fields: &mut Fields) -> Result<Restrictions, Refusal> {
    let mut edited = EditedRestrictions::default();
    let mut members = fields.fields("shadow")?.ok_or_else(|| Refusal::invalid("shadow", "an object or null"))?;
    lists(&mut members, &mut edited)?;
    rates(&mut members, &mut edited)?;
    members.finish(&[])?;
    let mut shadow = Restrictions::default();
    edited.onto(&mut shadow);
    Ok(shadow)
}

fn lists(fields: &mut Fields, edited: &mut EditedRestrictions) -> Result<(), Refusal> {
    edited.models = list::<ModelPattern>(fields, "models", 100, "model ids, or prefixes that end in '/*'")?;
    edited.ips = list::<Cidr>(fields, "ips", 50, "addresses or networks such as '10.0.0.0/8'")?;
    edited.ips_denied = list::<Cidr>(fields, "ips_denied", 50, "addresses or networks such as '10.0.0.0/8'")?;
    edited.endpoints = set(fields, "endpoints", |fields| {
        let names = fields.texts("endpoints")?.unwrap_or_default();
        let known = |name: &String| EndpointName::from_name(name).filter(|name| *name != EndpointName::Account);
        let read: Option<Vec<EndpointName>> = names.iter().map(known).collect();
        let read = read.filter(|list| (1..=40).contains(&list.len()));
        read.ok_or_else(|| restricts("endpoints", 40, "names of endpoints"))
    })?;
    Ok(())
}

fn list<T: FromStr>(fields: &mut Fields, name: &str, most: usize, of: &str) -> Result<Set<Vec<T>>, Refusal> {
    set(fields, name, |fields| {
        let texts = fields.texts(name)?.unwrap_or_default();
        let read: Option<Vec<T>> = texts.iter().map(|text| text.parse().ok()).collect();
        read.filter(|list| (1..=most).contains(&list.len())).ok_or_else(|| restricts(name, most, of))
    })
}

/// An empty list would be a key that can do nothing.
fn restricts(name: &str, most: usize, of: &str) -> Refusal {
    Refusal::invalid(name, format_args!("1 to {most} {of}, or null for no restriction. To stop a key, disable it"))
}

fn rates(fields: &mut Fields, edited: &mut EditedRestrictions) -> Result<(), Refusal> {
    let rate = |fields: &mut Fields, name: &str| {
        set(fields, name, |fields| {
            fields.count(name, 1, i32::MAX.unsigned_abs())?.ok_or_else(|| Refusal::invalid(name, "a whole number"))
        })
    };
    edited.rpm = rate(fields, "rpm")?;
    edited.tpm = rate(fields, "tpm")?;
    edited.concurrency = rate(fields, "concurrency")?;
    edited.burst = rate(fields, "burst")?;
    Ok(())
}

fn permissions(names: &[String]) -> Result<Vec<Permission>, Refusal> {
    let is_extra = |name: &String| (name == Permission::KeysVerify.name()).then_some(Permission::KeysVerify);
    let read: Option<Vec<Permission>> = names.iter().map(is_extra).collect();
    let mut read = read.ok_or_else(|| Refusal::invalid("policy.permissions", "a list of 'keys.verify'"))?;
    read.dedup();
    Ok(read)
}

/// Whether the owner of a key is one of the organization's.
pub(crate) async fn check_owner(call: &crate::serve::Call<Member>, owner: Option<Owner>) -> Result<(), Refusal> {
    let Some(owner) = owner else { return Ok(()) };
    let is_known = call.control.store().has_owner(call.actor.scope(), owner).await?;
    if is_known { Ok(()) } else { Err(Refusal::invalid("owner", "the id of a member or of an agent")) }
}
