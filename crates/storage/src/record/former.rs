//! How rows of records read that were written before records had bodies: the rest of them was JSON, and their charge a
//! transfer of its own. Nothing writes this form any more.

use super::{code, meter_columns};
use crate::cells::{Cells, corrupt, known, parse};
use crate::error::Error;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::PriceVersionId;
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Attempt, Delivery, Outcome, RefusedBy, RequestRecord};
use claviger_domain::time::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;

/// What is not a column.
#[derive(Deserialize)]
struct Detail<'a> {
    key_name: Cow<'a, str>,
    secret: Cow<'a, str>,
    endpoint: Cow<'a, str>,
    #[serde(default)]
    upstream_model: Option<Cow<'a, str>>,
    #[serde(default)]
    upstream_request_id: Option<Cow<'a, str>>,
    #[serde(default)]
    client_request_id: Option<Cow<'a, str>>,
    #[serde(default)]
    alias: Option<Cow<'a, str>>,
    stream: bool,
    test: bool,
    admitted_at: i64,
    #[serde(default)]
    first_byte_at: Option<i64>,
    status: u16,
    #[serde(default)]
    error_code: Option<Cow<'a, str>>,
    #[serde(default)]
    refused_by: Option<Cow<'a, RefusedBy>>,
    #[serde(default)]
    would_refuse: Option<Cow<'a, str>>,
    rule: u8,
    usage_source: Cow<'a, str>,
    #[serde(default)]
    anomaly: bool,
    #[serde(default)]
    price_version: Option<Cow<'a, str>>,
    hold: i64,
    absorbed: i64,
    attempts: Vec<FormerAttempt>,
}

/// A try as it was written then.
#[derive(Deserialize)]
struct FormerAttempt {
    provider: String,
    status: u16,
    head_ms: u64,
}

impl FormerAttempt {
    fn attempt(self) -> Attempt {
        Attempt {
            provider: self.provider,
            upstream_model: None,
            outcome: None,
            status: self.status,
            head_ms: self.head_ms,
        }
    }
}

/// Reads such a record.
pub(super) fn read<R: Cells>(row: &R) -> Result<RequestRecord, Error> {
    let id = row.text("id")?;
    let text = row.text("detail")?;
    let detail: Detail<'_> = serde_json::from_str(&text).map_err(|_| corrupt("request.detail", &id))?;
    let (outcome, delivery) = (row.text("outcome")?, row.text("delivery")?);
    let mut meters = Meters::NONE;
    for (meter, column) in Meter::ALL.iter().zip(meter_columns()) {
        if let Some(quantity) = row.int_or_none(column)? {
            meters.set(*meter, u64::try_from(quantity).map_err(|_| corrupt("request", &id))?);
        }
    }
    let price_version: Option<PriceVersionId> =
        detail.price_version.as_deref().map(|text| parse("request.detail", text)).transpose()?;
    Ok(RequestRecord {
        organization: row.parsed("org_id")?,
        environment: row.parsed("environment_id")?,
        key: row.parsed("key_id")?,
        key_name: detail.key_name.into_owned(),
        secret: parse("request.detail", &detail.secret)?,
        source_tag: row.text_or_none("source_tag")?,
        endpoint: known(EndpointName::from_name(&detail.endpoint), "request.detail", &id)?,
        model: row.text("model")?,
        upstream_model: detail.upstream_model.map(Cow::into_owned),
        upstream_request_id: detail.upstream_request_id.map(Cow::into_owned),
        client_request_id: detail.client_request_id.map(Cow::into_owned),
        alias: detail.alias.map(Cow::into_owned),
        is_stream: detail.stream,
        is_test: detail.test,
        admitted_at: Timestamp(detail.admitted_at),
        first_byte_at: detail.first_byte_at.map(Timestamp),
        completed_at: Timestamp(row.int("completed_at")?),
        status: detail.status,
        outcome: known(Outcome::from_name(&outcome), "request.outcome", &outcome)?,
        error_code: detail.error_code.as_deref().and_then(code),
        refused_by: detail.refused_by.map(|refused| Box::new(refused.into_owned())),
        would_refuse: detail.would_refuse.as_deref().and_then(code),
        rule: detail.rule,
        usage_source: known(UsageSource::from_name(&detail.usage_source), "request.detail", &id)?,
        is_anomalous: detail.anomaly,
        meters,
        price_version,
        hold: Nano(detail.hold),
        charge: Nano(row.int("charge")?),
        absorbed: Nano(detail.absorbed),
        attempts: detail.attempts.into_iter().map(FormerAttempt::attempt).collect(),
        delivery: known(Delivery::from_name(&delivery), "request.delivery", &delivery)?,
        id: parse("request.id", &id)?,
        conditions: None,
        kept: None,
    })
}
