//! What a refused caller is told of the limit that refused (`keys.md` §5, W26).

use super::pass::{Kind, Scope, Subject};
use crate::respond::{Refusal, Rule};
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::gcra::{Full, Reading};
use claviger_domain::time::Monotonic;
use claviger_wire::rate_headers::{ShownLimits, go_duration};
use std::time::Duration;

/// When a caller without a place may look again.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// The name in `x-claviger-limit`.
pub(crate) const fn name(scope: Scope, kind: Kind) -> &'static str {
    match (scope, kind) {
        (Scope::Key, Kind::Requests) => "key.rpm",
        (Scope::Key, Kind::Tokens) => "key.tpm",
        (Scope::Key, Kind::Concurrency) => "key.concurrency",
        (Scope::Environment, Kind::Requests) => "environment.rpm",
        (Scope::Environment, Kind::Tokens) => "environment.tpm",
        (Scope::Environment, Kind::Concurrency) => "environment.concurrency",
        (Scope::Organization, Kind::Requests) => "organization.rpm",
        (Scope::Organization, Kind::Tokens) => "organization.tpm",
        (Scope::Organization, Kind::Concurrency) => "organization.concurrency",
    }
}

/// Whose limit it is, behind what it counts; a key's own needs no words.
fn of_whom(subject: &Subject) -> String {
    let whose = match subject.scope {
        Scope::Key => "",
        Scope::Environment => " of this key's environment",
        Scope::Organization => " of this organization",
    };
    match &subject.model {
        None => whose.to_owned(),
        Some(model) => format!("{whose} for the model `{model}`"),
    }
}

/// A rate that all nodes share let `cost` not through: the others had the rest of it.
pub(super) fn too_fast_together(subject: &Subject, kind: Kind, cost: u64, full: Full, now: Monotonic) -> Refusal {
    told(subject, kind, cost, Reading { remaining: 0, ..reading(subject, kind, full, now) })
}

/// A rate let `cost` not through.
pub(super) fn too_fast(subject: &Subject, kind: Kind, cost: u64, full: Full, now: Monotonic) -> Refusal {
    told(subject, kind, cost, reading(subject, kind, full, now))
}

/// What the headers show: the moment at which this same request passes.
fn reading(subject: &Subject, kind: Kind, full: Full, now: Monotonic) -> Reading {
    let counters = &subject.counters;
    let reading = match kind {
        Kind::Tokens => subject.rates.tokens.map(|rate| counters.read_tokens(&rate, now)),
        _ => subject.rates.requests.map(|rate| counters.read_requests(&rate, now)),
    };
    let (limit, remaining) = reading.map_or((0, 0), |reading| (reading.limit, reading.remaining));
    Reading { limit, remaining, reset: full.wait }
}

fn told(subject: &Subject, kind: Kind, cost: u64, reading: Reading) -> Refusal {
    let Reading { limit, remaining, reset } = reading;
    let counted = if kind == Kind::Tokens { "tokens per minute" } else { "requests per minute" };
    let used = limit.saturating_sub(remaining);
    let requested = if kind == Kind::Tokens { format!(", requested {cost}") } else { String::new() };
    let message = format!(
        "Rate limit reached for {counted}{}: limit {limit}, used {used}{requested}. Please try again in {}.",
        of_whom(subject),
        go_duration(reset)
    );
    let shown = match kind {
        Kind::Tokens => ShownLimits { requests: None, tokens: Some(reading) },
        _ => ShownLimits { requests: Some(reading), tokens: None },
    };
    refusal(subject, kind, limit, message, reset).showing(shown)
}

/// As many run as may.
pub(super) fn no_place(subject: &Subject) -> Refusal {
    let limit = subject.rates.concurrency.unwrap_or(0);
    let message = format!(
        "Rate limit reached for requests at once{}: limit {limit}, running {limit}. Please try again in {}.",
        of_whom(subject),
        go_duration(PLACE_WAIT)
    );
    refusal(subject, Kind::Concurrency, limit, message, PLACE_WAIT)
}

fn refusal(subject: &Subject, kind: Kind, limit: u32, message: String, wait: Duration) -> Refusal {
    let name = name(subject.scope, kind);
    let mut error = PublicError::with_message(Code::RateLimitExceeded, message);
    error.counts_tokens = kind == Kind::Tokens;
    error.limit = Some(name);
    error.retry = Retry::After(wait);
    Refusal::from(error).by(Rule { name, value: limit.to_string() })
}

/// Too many requests about the key itself.
pub(super) fn self_service(subject: &Subject, full: Full, now: Monotonic) -> Refusal {
    let mut refusal = too_fast(subject, Kind::Requests, 1, full, now);
    refusal.error.limit = Some("key.self_service");
    refusal
        .by(Rule { name: "key.self_service", value: subject.rates.requests.map_or(0, |rate| rate.limit()).to_string() })
}
