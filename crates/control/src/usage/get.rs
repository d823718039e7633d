//! Usage: who may read it is the row's permission, and who sees only their own is told only of it. Groups and filters
//! include the source tag and the person or agent who owns the key.

use super::buckets::Window;
use super::kind::Kind;
use crate::authorize::{Member, Sight};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, KeyId};
use claviger_domain::key::Owner;
use claviger_domain::meter::Meters;
use claviger_domain::request::Outcome;
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
    timezone: String,
    currency: String,
}

#[derive(Serialize)]
struct Bucket {
    object: &'static str,
    start_time: i64,
    end_time: i64,
    results: Vec<ResultObject>,
}

/// OpenAI's counters, then ours.
#[derive(Serialize)]
struct ResultObject {
    object: String,
    #[serde(flatten)]
    counters: BTreeMap<&'static str, Option<u64>>,
    num_model_requests: u64,
    project_id: Option<String>,
    user_id: Option<String>,
    agent_id: Option<String>,
    api_key_id: Option<String>,
    model: Option<String>,
    source_tag: Option<String>,
    endpoint: Option<String>,
    outcome: Option<String>,
    usage_source: Option<String>,
    meters: BTreeMap<&'static str, u64>,
    charge: String,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, mut query: Query) -> Result<Json<PageObject>, Refusal> {
    let kind = Kind::at(call.matched.row.path).ok_or(Code::UnknownUrl)?;
    let window = Window::read(&mut query, call.now.wall, &call.actor.organization().reporting_zone)?;
    let ask = read(&mut query, kind, &window)?;
    query.finish()?;
    let ask = ask.and_then(|ask| confined(ask, &call.actor));
    page(&call, kind, &window, ask).await.map(Json)
}

/// Of the calling key itself, all endpoints together.
pub(crate) async fn of_own_key(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<PageObject>, Refusal> {
    // A person is no key, and neither is the operator at this machine.
    let key = call.actor.key().ok_or(Code::MissingApiKey)?.id;
    call.control.rights().self_service(key)?;
    let window = Window::read(&mut query, call.now.wall, &call.actor.organization().reporting_zone)?;
    let mut ask = UsageQuery { buckets: window.spans().collect(), keys: vec![key], ..UsageQuery::default() };
    ask.group_by = groups(&mut query)?;
    ask.models = query.repeats("models");
    query.finish()?;
    page(&call, Kind::Requests, &window, Some(ask)).await.map(Json)
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

fn groups(query: &mut Query) -> Result<Vec<UsageDimension>, Refusal> {
    let mut group_by = Vec::new();
    for asked in query.list("group_by") {
        let dimension = match asked.as_str() {
            "api_key_id" => UsageDimension::Key,
            "source_tag" => UsageDimension::SourceTag,
            "model" => UsageDimension::Model,
            "project_id" => UsageDimension::Environment,
            "user_id" | "agent_id" => UsageDimension::Owner,
            "endpoint" => UsageDimension::Endpoint,
            "outcome" => UsageDimension::Outcome,
            "usage_source" => UsageDimension::UsageSource,
            _ => {
                let known =
                    "api_key_id, source_tag, model, project_id, user_id, agent_id, endpoint, outcome or usage_source";
                return Err(Refusal::invalid("group_by", known));
            }
        };
        if !group_by.contains(&dimension) {
            group_by.push(dimension);
        }
    }
    Ok(group_by)
}

/// The question to the store; `None` when a filter names only what cannot be.
fn read(query: &mut Query, kind: Kind, window: &Window) -> Result<Option<UsageQuery>, Refusal> {
    let group_by = groups(query)?;
    let keys = Filter::of(query.list("api_key_ids"), |id| id.parse::<KeyId>().ok());
    let environments = Filter::of(query.list("project_ids"), |id| id.parse::<EnvironmentId>().ok());
    let mut owners = Filter::of(query.list("user_ids"), |id| id.parse().ok().map(Owner::User));
    let agents = Filter::of(query.list("agent_ids"), |id| id.parse().ok().map(Owner::Agent));
    owners.found.extend(agents.found);
    owners.is_asked |= agents.is_asked;
    let outcomes = Filter::of(query.list("outcomes"), Outcome::from_name);
    let asked = Filter::of(query.list("endpoints"), EndpointName::from_name);
    let endpoints = match kind.endpoints() {
        None => asked,
        Some(all) => Filter {
            is_asked: true,
            found: all.iter().copied().filter(|name| !asked.is_asked || asked.found.contains(name)).collect(),
        },
    };
    let is_impossible = keys.is_impossible()
        || environments.is_impossible()
        || owners.is_impossible()
        || outcomes.is_impossible()
        || endpoints.is_impossible();
    let (source_tags, models) = (query.repeats("source_tags"), query.repeats("models"));
    Ok((!is_impossible).then(|| UsageQuery {
        buckets: window.spans().collect(),
        group_by,
        keys: keys.found,
        source_tags,
        models,
        environments: environments.found,
        owners: owners.found,
        endpoints: endpoints.found,
        outcomes: outcomes.found,
    }))
}

/// What a report is narrowed to.
struct Filter<T> {
    is_asked: bool,
    found: Vec<T>,
}

impl<T> Filter<T> {
    fn of(asked: Vec<String>, read: impl Fn(&str) -> Option<T>) -> Self {
        Self { is_asked: !asked.is_empty(), found: asked.iter().filter_map(|text| read(text)).collect() }
    }

    fn is_impossible(&self) -> bool {
        self.is_asked && self.found.is_empty()
    }
}

async fn page(
    call: &Call<Member>,
    kind: Kind,
    window: &Window,
    ask: Option<UsageQuery>,
) -> Result<PageObject, Refusal> {
    let rows = match ask {
        Some(ask) => call.control.store().usage(call.actor.scope(), &ask).await?,
        None => Vec::new(),
    };
    let data = window
        .buckets()
        .zip(window.spans())
        .map(|((start, end), (from, _))| Bucket {
            object: "bucket",
            start_time: start,
            end_time: end,
            results: rows
                .iter()
                .filter(|row| row.bucket_start == from)
                .map(|row| ResultObject::new(kind, row))
                .collect(),
        })
        .collect();
    let next_page = window.next_page();
    let currency = call.control.settings().currency.clone();
    let timezone = window.zone.clone();
    Ok(PageObject { object: "page", data, has_more: next_page.is_some(), next_page, timezone, currency })
}

impl ResultObject {
    fn new(kind: Kind, row: &UsageRow) -> Self {
        let (user_id, agent_id) = match row.owner {
            Some(Owner::User(id)) => (Some(id.to_string()), None),
            Some(Owner::Agent(id)) => (None, Some(id.to_string())),
            None => (None, None),
        };
        Self {
            object: kind.object(),
            counters: kind.counters(&row.meters),
            num_model_requests: row.requests,
            project_id: row.environment.map(|id| id.to_string()),
            user_id,
            agent_id,
            api_key_id: row.key.map(|id| id.to_string()),
            model: row.model.clone(),
            source_tag: row.source_tag.clone(),
            endpoint: row.endpoint.clone(),
            outcome: row.outcome.clone(),
            usage_source: row.usage_source.clone(),
            meters: named(&row.meters),
            charge: row.charge.to_string(),
        }
    }
}

/// Reported meters by name; what was not reported is absent, which is not 0.
fn named(meters: &Meters) -> BTreeMap<&'static str, u64> {
    meters.iter().map(|(meter, quantity)| (meter.name(), quantity)).collect()
}
