//! Usage: who may read it is the row's permission, and who sees only their own is told only of it. Groups and filters
//! include the source tag and the person who owns the key.

use super::buckets::Window;
use crate::authorize::{Member, Sight};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::Owner;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::right::Permission;
use claviger_storage::{UsageDimension, UsageQuery, UsageRow};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(crate) struct PageObject {
    object: &'static str,
    data: Vec<Bucket>,
    has_more: bool,
    next_page: Option<String>,
    currency: String,
}

#[derive(Serialize)]
struct Bucket {
    object: &'static str,
    start_time: i64,
    end_time: i64,
    results: Vec<ResultObject>,
}

/// OpenAI's counters, then ours. `input_tokens` includes cached ones, as OpenAI's does.
#[derive(Serialize)]
struct ResultObject {
    object: &'static str,
    input_tokens: u64,
    output_tokens: u64,
    input_cached_tokens: u64,
    input_audio_tokens: u64,
    output_audio_tokens: u64,
    num_model_requests: u64,
    project_id: Option<String>,
    user_id: Option<String>,
    api_key_id: Option<String>,
    model: Option<String>,
    batch: Option<()>,
    service_tier: Option<()>,
    source_tag: Option<String>,
    meters: BTreeMap<&'static str, u64>,
    charge: String,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, mut query: Query) -> Result<Json<PageObject>, Refusal> {
    let window = Window::read(&mut query, call.now.wall)?;
    let ask = read(&mut query, &window)?;
    query.finish()?;
    let ask = ask.and_then(|ask| confined(ask, &call.actor));
    let Some(ask) = ask else { return Ok(Json(page(&call, &window, &[]))) };
    let rows = call.control.store().usage(call.actor.scope(), &ask).await?;
    Ok(Json(page(&call, &window, &rows)))
}

/// The question, of what the caller sees; `None` when nothing is left of it.
fn confined(mut ask: UsageQuery, actor: &Member) -> Option<UsageQuery> {
    if let Some(environment) = actor.seen_from() {
        if !ask.environments.is_empty() && !ask.environments.contains(&environment) {
            return None;
        }
        ask.environments = vec![environment];
    }
    match actor.sight(Permission::UsageRead) {
        Sight::Everything => Some(ask),
        Sight::Of(owner) if ask.owners.is_empty() || ask.owners.contains(&owner) => {
            Some(UsageQuery { owners: vec![owner], ..ask })
        }
        Sight::Of(_) | Sight::Nothing => None,
    }
}

/// The question to the store; `None` when a filter names only ids that cannot exist.
fn read(query: &mut Query, window: &Window) -> Result<Option<UsageQuery>, Refusal> {
    let mut group_by = Vec::new();
    for asked in query.list("group_by") {
        let dimension = match asked.as_str() {
            "api_key_id" => UsageDimension::Key,
            "source_tag" => UsageDimension::SourceTag,
            "model" => UsageDimension::Model,
            "project_id" => UsageDimension::Environment,
            "user_id" => UsageDimension::Owner,
            _ => return Err(Refusal::invalid("group_by", "api_key_id, source_tag, model, project_id or user_id")),
        };
        if !group_by.contains(&dimension) {
            group_by.push(dimension);
        }
    }
    let keys = query.list("api_key_ids");
    let environments = query.list("project_ids");
    let owners = query.list("user_ids");
    let found_owners: Vec<Owner> = owners.iter().filter_map(|id| id.parse().ok().map(Owner::User)).collect();
    let found_keys: Vec<KeyId> = keys.iter().filter_map(|id| id.parse().ok()).collect();
    let found_environments: Vec<EnvironmentId> = environments.iter().filter_map(|id| id.parse().ok()).collect();
    let source_tags = query.repeats("source_tags");
    let models = query.repeats("models");
    let is_impossible = (!keys.is_empty() && found_keys.is_empty())
        || (!environments.is_empty() && found_environments.is_empty())
        || (!owners.is_empty() && found_owners.is_empty());
    Ok((!is_impossible).then_some(UsageQuery {
        from: window.from,
        until: window.until,
        group_by,
        keys: found_keys,
        source_tags,
        models,
        environments: found_environments,
        owners: found_owners,
        bucket: Some(window.width()),
    }))
}

fn page(call: &Call<Member>, window: &Window, rows: &[UsageRow]) -> PageObject {
    let data = window
        .buckets()
        .map(|(start, end)| Bucket {
            object: "bucket",
            start_time: start,
            end_time: end,
            results: rows.iter().filter(|row| row.bucket_start.seconds() == start).map(ResultObject::new).collect(),
        })
        .collect();
    let next_page = window.next_page();
    let currency = call.control.settings().currency.clone();
    PageObject { object: "page", data, has_more: next_page.is_some(), next_page, currency }
}

impl ResultObject {
    fn new(row: &UsageRow) -> Self {
        let sum =
            |meters: &[Meter]| meters.iter().filter_map(|meter| row.meters.of(*meter)).fold(0, u64::saturating_add);
        Self {
            object: "organization.usage.completions.result",
            input_tokens: sum(&[
                Meter::InputToken,
                Meter::CachedInputToken,
                Meter::CacheWriteToken,
                Meter::CacheWrite1hToken,
                Meter::ImageInputToken,
                Meter::AudioInputToken,
            ]),
            output_tokens: sum(&[
                Meter::OutputToken,
                Meter::ReasoningToken,
                Meter::ImageOutputToken,
                Meter::AudioOutputToken,
            ]),
            input_cached_tokens: sum(&[Meter::CachedInputToken]),
            input_audio_tokens: sum(&[Meter::AudioInputToken]),
            output_audio_tokens: sum(&[Meter::AudioOutputToken]),
            num_model_requests: row.requests,
            project_id: row.environment.map(|id| id.to_string()),
            user_id: row.owner.and_then(|owner| match owner {
                Owner::User(id) => Some(id.to_string()),
                Owner::Agent(_) => None,
            }),
            api_key_id: row.key.map(|id| id.to_string()),
            model: row.model.clone(),
            batch: None,
            service_tier: None,
            source_tag: row.source_tag.clone(),
            meters: named(&row.meters),
            charge: row.charge.to_string(),
        }
    }
}

/// Reported meters by name; what was not reported is absent, which is not 0.
fn named(meters: &Meters) -> BTreeMap<&'static str, u64> {
    meters.iter().map(|(meter, quantity)| (meter.name(), quantity)).collect()
}
