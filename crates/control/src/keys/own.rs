//! The calling key itself: OpenRouter's members, then ours (`wire.md` W44, `keys.md` §10).
//!
//! Amounts are JSON numbers printed from the integers. Keys have no budgets of their own yet, so no limit is told.

use super::object::{LimitsObject, PolicyObject, flags};
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::key::{Class, Key};
use claviger_domain::money::Nano;
use claviger_domain::time::Timestamp;
use claviger_storage::KeySpend;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub(crate) struct Own {
    data: OwnKey,
}

#[derive(Serialize)]
struct OwnKey {
    label: String,
    limit: Option<()>,
    limit_remaining: Option<()>,
    limit_reset: Option<()>,
    usage: Box<RawValue>,
    usage_daily: Box<RawValue>,
    usage_weekly: Box<RawValue>,
    usage_monthly: Box<RawValue>,
    byok_usage: u8,
    byok_usage_daily: u8,
    byok_usage_weekly: u8,
    byok_usage_monthly: u8,
    include_byok_in_limit: bool,
    is_free_tier: bool,
    is_management_key: bool,
    is_provisioning_key: bool,
    creator_user_id: Option<String>,
    expires_at: Option<String>,
    rate_limit: RateLimit,
    id: String,
    name: String,
    redacted_value: String,
    class: &'static str,
    state: &'static str,
    flags: Vec<&'static str>,
    test: bool,
    environment_id: String,
    source_tag: Option<String>,
    limits: LimitsObject,
    policy: PolicyObject,
    currency: String,
}

#[derive(Serialize)]
struct RateLimit {
    requests: i64,
    interval: &'static str,
    note: String,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<Own>, Refusal> {
    query.finish()?;
    // A person is no key, and neither is the operator at this machine.
    let key = call.actor.key().ok_or(Code::MissingApiKey)?;
    call.control.rights().self_service(key.id)?;
    let since = windows(call.now.wall, &call.actor.organization().reporting_zone);
    let spend = call.control.store().key_spend(call.actor.scope(), key.id, since).await?;
    let data = shown(key, &spend, &call.control.settings().currency, &call);
    Ok(Json(Own { data }))
}

/// The beginnings of the day, the week (Monday) and the month, in the organization's zone; UTC if it is unknown.
fn windows(now: Timestamp, zone: &str) -> [Timestamp; 3] {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let instant = jiff::Timestamp::from_microsecond(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let today = instant.to_zoned(zone.clone()).date();
    let monday = today.saturating_sub(jiff::Span::new().days(i64::from(today.weekday().to_monday_zero_offset())));
    [today, monday, today.first_of_month()].map(|date| {
        let begins = date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp().as_microsecond());
        begins.map_or(now, Timestamp)
    })
}

fn shown(key: &Key, spend: &KeySpend, currency: &str, call: &Call<Member>) -> OwnKey {
    let (lifetimes, now) = (call.actor.lifetimes(), call.now.wall);
    let [daily, weekly, monthly] = spend.since.map(number);
    let is_admin = key.class == Class::Admin;
    OwnKey {
        label: key.name.clone(),
        limit: None,
        limit_remaining: None,
        limit_reset: None,
        usage: number(spend.total),
        usage_daily: daily,
        usage_weekly: weekly,
        usage_monthly: monthly,
        byok_usage: 0,
        byok_usage_daily: 0,
        byok_usage_weekly: 0,
        byok_usage_monthly: 0,
        include_byok_in_limit: false,
        is_free_tier: false,
        is_management_key: is_admin,
        is_provisioning_key: is_admin,
        creator_user_id: Some(key.created_by.clone()).filter(|by| by.starts_with("usr_")),
        expires_at: key.expires_at.map(Timestamp::rfc3339),
        rate_limit: RateLimit::of(key),
        id: key.id.to_string(),
        name: key.name.clone(),
        redacted_value: key.redacted().to_owned(),
        class: key.class.name(),
        state: key.state_within(lifetimes, now).name(),
        flags: flags(key, lifetimes, now),
        test: key.is_test,
        environment_id: key.environment.to_string(),
        source_tag: key.source_tag.clone(),
        limits: LimitsObject::of(key),
        policy: PolicyObject::new(&key.policy),
        currency: currency.to_owned(),
    }
}

impl RateLimit {
    /// −1 = the key has no limit of its own, as OpenRouter says it.
    fn of(key: &Key) -> Self {
        match key.policy.enforced.limits.rpm {
            Some(rpm) => Self { requests: i64::from(rpm), interval: "1m", note: "This key's own limit.".to_owned() },
            None => {
                let note = "This key has no limit of its own; its environment and organization may have one.";
                Self { requests: -1, interval: "1m", note: note.to_owned() }
            }
        }
    }
}

/// A decimal number with nine digits behind the point, exact: no float is made of an amount.
fn number(amount: Nano) -> Box<RawValue> {
    // What an amount prints is a JSON number, so this cannot fail.
    RawValue::from_string(amount.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_where_the_organization_lives() {
        // 2026-03-01T01:30:00Z is still February in New York, a Saturday.
        let now = Timestamp::from_seconds(1_772_328_600);
        let [day, week, month] = windows(now, "America/New_York").map(Timestamp::rfc3339);
        assert_eq!(
            [day.as_str(), &week, &month],
            ["2026-02-28T05:00:00Z", "2026-02-23T05:00:00Z", "2026-02-01T05:00:00Z"]
        );
        let [day, week, month] = windows(now, "nowhere").map(Timestamp::rfc3339);
        assert_eq!(
            [day.as_str(), &week, &month],
            ["2026-03-01T00:00:00Z", "2026-02-23T00:00:00Z", "2026-03-01T00:00:00Z"]
        );
    }
}
