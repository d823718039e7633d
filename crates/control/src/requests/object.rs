//! A request record as replies show it.

use claviger_domain::request::{Attempt, AttemptOutcome, RefusedBy, RequestRecord};
use claviger_domain::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// `organization.request`. Times are whole seconds; durations are milliseconds.
#[derive(Serialize)]
pub(crate) struct RequestObject {
    object: &'static str,
    id: String,
    project_id: String,
    api_key_id: String,
    api_key_name: String,
    secret_id: String,
    source_tag: Option<String>,
    endpoint: &'static str,
    model: String,
    upstream_model: Option<String>,
    upstream_request_id: Option<String>,
    client_request_id: Option<String>,
    alias: Option<String>,
    stream: bool,
    test: bool,
    created_at: i64,
    first_byte_ms: Option<i64>,
    duration_ms: i64,
    status: u16,
    outcome: &'static str,
    error_code: Option<&'static str>,
    refused_by: Option<RefusedBy>,
    would_refuse: Option<&'static str>,
    rule: u8,
    usage_source: &'static str,
    usage_anomaly: bool,
    meters: BTreeMap<&'static str, u64>,
    price_version: Option<String>,
    hold: String,
    charge: String,
    absorbed: String,
    attempts: Vec<AttemptObject>,
    delivery: &'static str,
}

/// One try at a target.
#[derive(Serialize)]
struct AttemptObject {
    provider: String,
    upstream_model: Option<String>,
    outcome: Option<&'static str>,
    status: u16,
    head_ms: u64,
}

impl AttemptObject {
    fn new(attempt: &Attempt) -> Self {
        Self {
            provider: attempt.provider.clone(),
            upstream_model: attempt.upstream_model.clone(),
            outcome: attempt.outcome.map(AttemptOutcome::name),
            status: attempt.status,
            head_ms: attempt.head_ms,
        }
    }
}

impl RequestObject {
    /// The object of a record.
    pub(crate) fn new(record: &RequestRecord) -> Self {
        let since_start = |at: Timestamp| at.0.saturating_sub(record.admitted_at.0) / 1000;
        Self {
            object: "organization.request",
            id: record.id.to_string(),
            project_id: record.environment.to_string(),
            api_key_id: record.key.to_string(),
            api_key_name: record.key_name.clone(),
            secret_id: record.secret.to_string(),
            source_tag: record.source_tag.clone(),
            endpoint: record.endpoint.name(),
            model: record.model.clone(),
            upstream_model: record.upstream_model.clone(),
            upstream_request_id: record.upstream_request_id.clone(),
            client_request_id: record.client_request_id.clone(),
            alias: record.alias.clone(),
            stream: record.is_stream,
            test: record.is_test,
            created_at: record.admitted_at.seconds(),
            first_byte_ms: record.first_byte_at.map(since_start),
            duration_ms: since_start(record.completed_at),
            status: record.status,
            outcome: record.outcome.name(),
            error_code: record.error_code,
            refused_by: record.refused_by.as_deref().cloned(),
            would_refuse: record.would_refuse,
            rule: record.rule,
            usage_source: record.usage_source.name(),
            usage_anomaly: record.is_anomalous,
            meters: record.meters.iter().map(|(meter, quantity)| (meter.name(), quantity)).collect(),
            price_version: record.price_version.map(|id| id.to_string()),
            hold: record.hold.to_string(),
            charge: record.charge.to_string(),
            absorbed: record.absorbed.to_string(),
            attempts: record.attempts.iter().map(AttemptObject::new).collect(),
            delivery: record.delivery.name(),
        }
    }
}
