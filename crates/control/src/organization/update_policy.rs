//! Change what the organization asks of its keys: owners. The reply lists what the policy will stop, and when; with
//! `dry_run` nothing else happens.

use super::PolicyObject;
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::edited::{IfMatch, settle};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::key::Set;
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::limits;
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::Creators;
use claviger_domain::tenancy::{LeakAction, OrganizationPolicy, PolicyEdit};
use claviger_storage::OrganizationEdit;
use serde::Serialize;
use std::net::IpAddr;

const READ_ONLY: &[&str] = &["object", "max_lifetime_binds_at", "version"];

#[derive(Serialize)]
pub(crate) struct Reply {
    #[serde(flatten)]
    policy: PolicyObject,
    dry_run: bool,
    stops: Vec<Stop>,
    excludes_your_address: bool,
    confirmation: Option<Confirmation>,
}

/// A key that the policy ends earlier than it would end by itself.
#[derive(Serialize)]
struct Stop {
    id: String,
    name: String,
    stops_at: i64,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<Reply>, Refusal> {
    query.finish()?;
    let former = call.actor.organization();
    let dry_run = fields.flag("dry_run")?;
    let edit = read(fields)?;
    let next = edit.onto(&former.policy, call.now.wall);
    let stops = stops(&call, &former.policy.lifetimes, &next.lifetimes).await?;
    let excludes_your_address = is_excluded(&call, &next);
    if dry_run {
        let policy = PolicyObject::new(&next, former.version);
        return Ok(Json(Reply { policy, dry_run, stops, excludes_your_address, confirmation: None }));
    }
    let edit = OrganizationEdit { policy: Some(edit), ..OrganizationEdit::default() };
    let store = call.control.store();
    let edited = store.update_organization(former.id, edit, version, call.actor.attribution()).await;
    let (organization, epoch) = settle(edited.map_err(Refusal::of_write)?, Code::OrganizationClosed)?;
    let confirmation = Some(narrowed(&call, epoch, None).await?);
    let policy = PolicyObject::new(&organization.policy, organization.version);
    Ok(Json(Reply { policy, dry_run, stops, excludes_your_address, confirmation }))
}

/// What the body changes; `null` clears.
fn read(mut fields: Fields) -> Result<PolicyEdit, Refusal> {
    let mut edit = PolicyEdit::default();
    if let Some(text) = fields.text("creators")? {
        let expected = "'owners', 'admins' or 'developers'";
        let creators = Creators::from_name(&text).ok_or_else(|| Refusal::invalid("creators", expected))?;
        edit.creators = Some(creators);
    }
    let grace = fields.count("max_lifetime_grace_days", 0, 90)?;
    edit.lifetime_grace_days = grace.unwrap_or(limits::LIFETIME_GRACE_DAYS);
    edit.lifetime_days = set(&mut fields, "max_lifetime_days", |fields, name| fields.count(name, 1, 3660))?;
    edit.suggested_expiry_days = set(&mut fields, "suggested_expiry_days", |fields, name| fields.count(name, 1, 3660))?;
    edit.allowed_ips = set(&mut fields, "allowed_ips", Fields::networks)?;
    edit.finish_when_quiet_hours =
        set(&mut fields, "finish_when_quiet_hours", |fields, name| fields.count(name, 1, 720))?;
    if let Some(text) = fields.text("leak_action")? {
        let action = LeakAction::from_name(&text);
        edit.leak_action = Some(action.ok_or_else(|| Refusal::invalid("leak_action", "'revoke' or 'notify'"))?);
    }
    edit.require_source_tag = flag(&mut fields, "require_source_tag")?;
    edit.developers_see_all = flag(&mut fields, "developers_see_all")?;
    fields.finish(READ_ONLY)?;
    Ok(edit)
}

/// A member that `null` clears.
fn set<T>(
    fields: &mut Fields,
    name: &str,
    take: impl FnOnce(&mut Fields, &str) -> Result<Option<T>, Refusal>,
) -> Result<Set<T>, Refusal> {
    if !fields.has(name) {
        return Ok(Set::Keep);
    }
    Ok(take(fields, name)?.map_or(Set::Clear, Set::To))
}

fn flag(fields: &mut Fields, name: &str) -> Result<Option<bool>, Refusal> {
    if fields.has(name) { fields.flag(name).map(Some) } else { Ok(None) }
}

/// The keys that end earlier under the new policy than under the former, the soonest first.
async fn stops(call: &Call<Member>, former: &Lifetimes, next: &Lifetimes) -> Result<Vec<Stop>, Refusal> {
    if next.current.is_none() || former.current == next.current {
        return Ok(Vec::new());
    }
    let rows = limits::PAGE_ROWS;
    let secrets = call.control.store().live_secrets(call.actor.scope(), call.now.wall, rows).await?;
    let stops = secrets.into_iter().filter_map(|secret| {
        let (by_former, end) = (former.end_of(secret.created_at), next.end_of(secret.created_at));
        let own_end = [secret.expires_at, by_former.map(|(end, _)| end)].into_iter().flatten().min();
        let (end, _) = end.filter(|(end, _)| own_end.is_none_or(|own_end| *end < own_end))?;
        Some(Stop { id: secret.key.to_string(), name: secret.name, stops_at: end.seconds() })
    });
    Ok(stops.collect())
}

/// Whether the caller's own address is not among the allowed ones.
fn is_excluded(call: &Call<Member>, policy: &OrganizationPolicy) -> bool {
    let Some(allowed) = &policy.allowed_ips else { return false };
    let address: Option<IpAddr> = call.actor.attribution().address.parse().ok();
    address.is_some_and(|address| !allowed.iter().any(|network| network.contains(address)))
}
