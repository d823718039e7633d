//! List keys: every role. Active and disabled ones unless other states are asked for.

use super::{KeyObject, fixed_environment};
use crate::authorize::Member;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::{Class, Key};
use claviger_storage::KeyFilter;
use std::time::Duration;

const STATES: [&str; 4] = ["active", "disabled", "expired", "revoked"];

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<List<KeyObject>>, Refusal> {
    let page = query.page()?;
    let mut filter = read(&mut query, &call)?;
    filter.has_owner_here = match query.text("owner_project_access")?.as_deref() {
        None | Some("any") => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => return Err(Refusal::invalid("owner_project_access", "'active', 'inactive' or 'any'")),
    };
    query.finish()?;
    if let Some(environment) = fixed_environment(&call).await? {
        filter.environment = Some(environment);
    }
    if let Some(own) = call.actor.seen_from() {
        if filter.environment.is_some_and(|asked| asked != own) {
            return Err(Refusal::not_found());
        }
        filter.environment = Some(own);
    }
    let (store, scope) = (call.control.store(), call.actor.scope());
    let found = store.list_keys(scope, &filter, &page).await?.ok_or(Code::InvalidCursor)?;
    let owners = store.describe_owners(scope, found.data.iter().filter_map(|key| key.owner)).await?;
    let show = |key: &Key| {
        let owner = owners.iter().find(|owner| Some(owner.owner) == key.owner);
        KeyObject::new(key, call.actor.lifetimes(), call.now.wall).with_owner(owner)
    };
    Ok(Json(List::of(found, |key| key.id.to_string(), show)))
}

fn read(query: &mut Query, call: &Call<Member>) -> Result<KeyFilter, Refusal> {
    let mut states = Vec::new();
    for asked in query.list("state") {
        let known = STATES.iter().copied().find(|state| *state == asked);
        states.push(known.ok_or_else(|| Refusal::invalid("state", "active, disabled, expired or revoked"))?);
    }
    if states.is_empty() {
        states = vec!["active", "disabled"];
    }
    let class = query
        .text("class")?
        .map(|text| Class::from_name(&text).ok_or_else(|| Refusal::invalid("class", "'inference' or 'admin'")));
    let environment: Option<EnvironmentId> = match query.text("environment_id")? {
        None => None,
        // An id that names nothing would show an empty list as if there were no keys.
        Some(text) => Some(text.parse().map_err(|_| Refusal::not_found())?),
    };
    let owner = query.text("owner")?.map(|text| text.parse().map_err(|_| Refusal::not_found())).transpose()?;
    let is_test = match query.text("test")?.as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Refusal::invalid("test", "true or false")),
    };
    let now = call.now.wall;
    let days = |query: &mut Query, name: &str| -> Result<Option<Duration>, Refusal> {
        let Some(days) = query.integer(name)? else { return Ok(None) };
        let days = u64::try_from(days).ok().filter(|days| (1..=3660).contains(days));
        let days = days.ok_or_else(|| Refusal::invalid(name, "whole days from 1 to 3660"))?;
        Ok(Some(Duration::from_secs(days * 24 * 3600)))
    };
    let unused_since = days(query, "unused_days")?.map(|days| now.minus(days));
    let expiring_before = days(query, "expiring_days")?.map(|days| now.plus(days));
    let older_than = days(query, "older_than_days")?.map(|days| now.minus(days));
    // No key has a budget of its own yet, so this filter leaves every key in.
    query.flag("no_budget")?;
    Ok(KeyFilter {
        owner,
        is_test,
        unused_since,
        expiring_before,
        older_than,
        states,
        class: class.transpose()?,
        environment,
        source_tag: query.text("source_tag")?,
        search: query.text("q")?,
        has_owner_here: None,
        is_exchanged: query.flag("exchanged")?,
        lifetimes: call.actor.lifetimes().clone(),
        now: call.now.wall,
    })
}
