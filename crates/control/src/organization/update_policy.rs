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
use claviger_domain::limits;
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::Creators;
use claviger_domain::tenancy::{LeakAction, Lifetime, OrganizationPolicy};
use claviger_domain::time::Timestamp;
use claviger_storage::OrganizationEdit;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

const DAY: u64 = 24 * 3600;
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
    let policy = read(fields, &former.policy, call.now.wall)?;
    let stops = stops(&call, &former.policy, &policy).await?;
    let excludes_your_address = is_excluded(&call, &policy);
    if dry_run {
        let policy = PolicyObject::new(&policy, former.version);
        return Ok(Json(Reply { policy, dry_run, stops, excludes_your_address, confirmation: None }));
    }
    let edit = OrganizationEdit { policy: Some(policy), ..OrganizationEdit::default() };
    let store = call.control.store();
    let edited = store.update_organization(former.id, edit, version, call.actor.attribution()).await;
    let (organization, epoch) = settle(edited.map_err(Refusal::of_write)?, Code::OrganizationClosed)?;
    let confirmation = Some(narrowed(&call, epoch, None).await?);
    let policy = PolicyObject::new(&organization.policy, organization.version);
    Ok(Json(Reply { policy, dry_run, stops, excludes_your_address, confirmation }))
}

/// The policy with what the body changes; `null` clears.
fn read(mut fields: Fields, former: &OrganizationPolicy, now: Timestamp) -> Result<OrganizationPolicy, Refusal> {
    let mut policy = former.clone();
    if let Some(text) = fields.text("creators")? {
        let expected = "'owners', 'admins' or 'developers'";
        policy.creators = Creators::from_name(&text).ok_or_else(|| Refusal::invalid("creators", expected))?;
    }
    let grace = fields.count("max_lifetime_grace_days", 0, 90)?.unwrap_or(limits::LIFETIME_GRACE_DAYS);
    if fields.has("max_lifetime_days") {
        let days = fields.count("max_lifetime_days", 1, 3660)?;
        if days != former.lifetime.map(|lifetime| lifetime.days) {
            let binds_at = now.plus(Duration::from_secs(DAY.saturating_mul(u64::from(grace))));
            policy.lifetime = days.map(|days| Lifetime { days, set_at: now, binds_at });
        }
    }
    if fields.has("suggested_expiry_days") {
        policy.suggested_expiry_days = fields.count("suggested_expiry_days", 1, 3660)?;
    }
    if fields.has("require_source_tag") {
        policy.require_source_tag = fields.flag("require_source_tag")?;
    }
    if fields.has("allowed_ips") {
        policy.allowed_ips = fields.networks("allowed_ips")?;
    }
    if let Some(text) = fields.text("leak_action")? {
        let action = LeakAction::from_name(&text);
        policy.leak_action = action.ok_or_else(|| Refusal::invalid("leak_action", "'revoke' or 'notify'"))?;
    }
    if fields.has("finish_when_quiet_hours") {
        policy.finish_when_quiet_hours = fields.count("finish_when_quiet_hours", 1, 720)?;
    }
    if fields.has("developers_see_all") {
        policy.developers_see_all = fields.flag("developers_see_all")?;
    }
    fields.finish(READ_ONLY)?;
    Ok(policy)
}

/// The keys that end earlier under the new policy than under the former, the soonest first.
async fn stops(
    call: &Call<Member>,
    former: &OrganizationPolicy,
    next: &OrganizationPolicy,
) -> Result<Vec<Stop>, Refusal> {
    let Some(lifetime) = next.lifetime.filter(|lifetime| former.lifetime != Some(*lifetime)) else {
        return Ok(Vec::new());
    };
    let rows = limits::PAGE_ROWS;
    let secrets = call.control.store().live_secrets(call.actor.scope(), call.now.wall, rows).await?;
    let stops = secrets.into_iter().filter_map(|secret| {
        let by_former = former.lifetime.map(|lifetime| lifetime.end_of(secret.created_at));
        let own_end = [secret.expires_at, by_former].into_iter().flatten().min();
        let end = lifetime.end_of(secret.created_at);
        own_end.is_none_or(|own_end| end < own_end).then(|| Stop {
            id: secret.key.to_string(),
            name: secret.name,
            stops_at: end.seconds(),
        })
    });
    Ok(stops.collect())
}

/// Whether the caller's own address is not among the allowed ones.
fn is_excluded(call: &Call<Member>, policy: &OrganizationPolicy) -> bool {
    let Some(allowed) = &policy.allowed_ips else { return false };
    let address: Option<IpAddr> = call.actor.attribution().address.parse().ok();
    address.is_some_and(|address| !allowed.iter().any(|network| network.contains(address)))
}
