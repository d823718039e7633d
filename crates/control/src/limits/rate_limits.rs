//! Rate limits of an environment or the organization, in the shape of OpenAI's administration API.
//!
//! The id of a limit is the model it is on, `*` for all together. A limit on something that nothing here counts is
//! refused: a limit that is kept and not enforced would be a lie.

use super::place;
use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::page::List;
use crate::query::{Query, unescaped};
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::key::{Limits, ModelPattern};
use claviger_domain::revocation::Confirmation;
use claviger_storage::{ALL_MODELS, Order, RateLimit, RateLimitChange};
use serde::Serialize;

/// What OpenAI's clients may send besides.
const NOT_COUNTED: [&str; 4] = [
    "max_requests_per_1_day",
    "max_images_per_1_minute",
    "max_audio_megabytes_per_1_minute",
    "batch_1_day_max_input_tokens",
];

#[derive(Serialize)]
pub(crate) struct RateLimitObject {
    object: &'static str,
    id: String,
    model: String,
    max_requests_per_1_minute: Option<u32>,
    max_tokens_per_1_minute: Option<u32>,
    max_concurrent_requests: Option<u32>,
    set_by: Option<String>,
    set_at: Option<i64>,
}

impl RateLimitObject {
    fn new(limit: &RateLimit) -> Self {
        let Limits { rpm, tpm, concurrency, .. } = limit.limits;
        Self {
            object: "project.rate_limit",
            id: limit.model.clone(),
            model: limit.model.clone(),
            max_requests_per_1_minute: rpm,
            max_tokens_per_1_minute: tpm,
            max_concurrent_requests: concurrency,
            set_by: Some(limit.set_by.clone()).filter(|by| !by.is_empty()),
            set_at: Some(limit.set_at.seconds()).filter(|_| !limit.set_by.is_empty()),
        }
    }
}

/// A limit after a change, with the proof that it is in force.
#[derive(Serialize)]
pub(crate) struct Confirmed {
    #[serde(flatten)]
    limit: RateLimitObject,
    confirmation: Confirmation,
}

/// `GET …/rate_limits`: the limit on all models first, also when there is none, then those on single models.
pub(crate) async fn list(
    State(call): State<Call<Member>>,
    mut query: Query,
) -> Result<Json<List<RateLimitObject>>, Refusal> {
    let page = query.page()?;
    query.finish()?;
    let place = place(&call)?;
    let found = call.control.store().list_rate_limits(call.actor.scope(), place).await?;
    let mut limits = found.ok_or_else(Refusal::not_found)?;
    if !limits.iter().any(|limit| limit.model == ALL_MODELS) {
        limits.push(unlimited());
    }
    // `*` first whatever the order: it is about all the others.
    limits.sort_by(|one, other| (one.model != ALL_MODELS, &one.model).cmp(&(other.model != ALL_MODELS, &other.model)));
    if page.order == Order::Ascending {
        limits.get_mut(1..).unwrap_or_default().reverse();
    }
    let id = |limit: &RateLimit| limit.model.clone();
    let rows = match page.after.or(page.before) {
        None => limits,
        // They all come with the first page.
        Some(cursor) if limits.iter().any(|limit| limit.model == cursor) => return Ok(Json(List::empty())),
        Some(_) => return Err(Code::InvalidCursor.into()),
    };
    Ok(Json(List::whole(&rows, id, RateLimitObject::new)))
}

/// `POST …/rate_limits/{model}`: what is named changes, `null` lifts it, the rest stays.
pub(crate) async fn set(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<Confirmed>, Refusal> {
    query.finish()?;
    let place = place(&call)?;
    let model = call.matched.captured("model").and_then(unescaped).ok_or_else(Refusal::not_found)?;
    if model != ALL_MODELS && !matches!(model.parse(), Ok(ModelPattern::Exact(_))) {
        return Err(Refusal::not_found());
    }
    let change = RateLimitChange {
        rpm: limit(&mut fields, "max_requests_per_1_minute")?,
        tpm: limit(&mut fields, "max_tokens_per_1_minute")?,
        concurrency: limit(&mut fields, "max_concurrent_requests")?,
    };
    if model != ALL_MODELS && matches!(change.concurrency, Some(Some(_))) {
        // Places are counted before the body is read: the model is not known then.
        return Err(Refusal::invalid("max_concurrent_requests", "no value: only `*` limits requests at once"));
    }
    for name in NOT_COUNTED {
        if fields.whole_or_null(name)?.flatten().is_some() {
            let message = format!("'{name}' cannot be limited: nothing here counts it yet.");
            return Err(Refusal::because(Code::UnsupportedParameter, message).about(name));
        }
    }
    fields.finish(&["id", "object", "model", "set_by", "set_at"])?;
    let store = call.control.store();
    let set = store.set_rate_limit(call.actor.scope(), place, &model, change, call.actor.attribution()).await;
    let (limit, epoch) = set.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    let confirmation = narrowed(&call, epoch, None).await?;
    Ok(Json(Confirmed { limit: RateLimitObject::new(&limit), confirmation }))
}

fn limit(fields: &mut Fields, name: &str) -> Result<Option<Option<u32>>, Refusal> {
    let expected = || Refusal::invalid(name, format_args!("a whole number from 1 to {}, or null", u32::MAX));
    match fields.whole_or_null(name)? {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(number)) => {
            let limit = u32::try_from(number).ok().filter(|limit| *limit > 0);
            limit.map(|limit| Some(Some(limit))).ok_or_else(expected)
        }
    }
}

fn unlimited() -> RateLimit {
    RateLimit {
        model: ALL_MODELS.to_owned(),
        limits: Limits::default(),
        set_by: String::new(),
        set_at: claviger_domain::time::Timestamp::default(),
    }
}
