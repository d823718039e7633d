//! A request record as rows: what is filtered or summed as columns, the rest as one opaque JSON text.
//!
//! The charge's own transfer row repeats what its amount follows from (meters, rule, hold; its price version is a
//! column), so that it can be re-rated when the record is gone.

use crate::cells::{Cells, corrupt, known, parse};
use crate::error::Error;
use crate::json_text::Object;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::Code;
use claviger_domain::id::PriceVersionId;
use claviger_domain::ledger::{TransferId, TransferKind};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Attempt, Delivery, Outcome, RefusedBy, RequestRecord};
use claviger_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The columns of the table `request`, in the order of [`RecordRow`].
pub(crate) const COLUMNS: [&str; 28] = [
    "org_id",
    "id",
    "environment_id",
    "key_id",
    "source_tag",
    "model",
    "completed_at",
    "outcome",
    "charge",
    "delivery",
    "m_input_token",
    "m_cached_input_token",
    "m_cache_write_token",
    "m_cache_write_1h_token",
    "m_image_input_token",
    "m_audio_input_token",
    "m_character",
    "m_audio_second",
    "m_search_unit",
    "m_request",
    "m_output_token",
    "m_reasoning_token",
    "m_image_output_token",
    "m_audio_output_token",
    "m_image",
    "m_video_second",
    "m_tool_call",
    "detail",
];

/// The columns of the meters, in the order of [`Meter::ALL`].
pub(crate) fn meter_columns() -> &'static [&'static str] {
    COLUMNS.get(10..27).unwrap_or_default()
}

/// What is not a column, as it is read.
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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused_by: Option<Cow<'a, RefusedBy>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    would_refuse: Option<Cow<'a, str>>,
    rule: u8,
    usage_source: Cow<'a, str>,
    #[serde(default)]
    anomaly: bool,
    #[serde(default)]
    price_version: Option<Cow<'a, str>>,
    hold: i64,
    absorbed: i64,
    attempts: Cow<'a, [Attempt]>,
}

/// What a charge's amount follows from.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChargeDetail {
    pub(crate) rule: u8,
    pub(crate) hold: i64,
    pub(crate) meters: BTreeMap<String, u64>,
    /// What was used above the hold, booked as a transfer of its own.
    #[serde(default)]
    pub(crate) absorbed: i64,
}

impl ChargeDetail {
    /// The meters that were charged; `None` when one is not known to this program.
    pub(crate) fn meters(&self) -> Option<Meters> {
        self.meters
            .iter()
            .try_fold(Meters::NONE, |sum, (name, quantity)| Some(sum.with(Meter::from_name(name)?, *quantity)))
    }
}

/// A record as the columns of its row.
pub(crate) struct RecordRow {
    pub(crate) organization: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) environment: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) source_tag: Option<Arc<str>>,
    pub(crate) model: Arc<str>,
    pub(crate) completed_at: i64,
    pub(crate) outcome: &'static str,
    pub(crate) charge: i64,
    pub(crate) delivery: &'static str,
    pub(crate) meters: [Option<i64>; Meter::ALL.len()],
    pub(crate) detail: Arc<str>,
}

/// A transfer that a record causes: its charge, or what was used above the hold.
pub(crate) struct TransferRow {
    pub(crate) kind: TransferKind,
    pub(crate) reference: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) organization: Arc<str>,
    pub(crate) amount: i64,
    pub(crate) price_version: Option<Arc<str>>,
    pub(crate) at: i64,
    pub(crate) detail: Arc<str>,
}

/// A record and its transfers, ready to be written.
pub(crate) struct Rows {
    pub(crate) record: RecordRow,
    pub(crate) charge: Option<TransferRow>,
    pub(crate) absorb: Option<TransferRow>,
}

impl Rows {
    pub(crate) fn of(record: RequestRecord) -> Self {
        let id: Arc<str> = record.id.to_string().into();
        let organization: Arc<str> = record.organization.to_string().into();
        let price_version: Option<Arc<str>> = record.price_version.map(|version| version.to_string().into());
        let transfer = |kind: TransferKind, amount: Nano| {
            (amount > Nano::ZERO).then(|| TransferRow {
                kind,
                id: TransferId::of(kind, &id).to_string().into(),
                reference: Arc::clone(&id),
                organization: Arc::clone(&organization),
                amount: amount.0,
                price_version: price_version.clone(),
                at: record.completed_at.0,
                detail: charge_detail(&record).into(),
            })
        };
        let charge = transfer(TransferKind::Charge, record.charge);
        let absorb = transfer(TransferKind::Absorb, record.absorbed);
        let mut meters = [None; Meter::ALL.len()];
        for (slot, meter) in meters.iter_mut().zip(Meter::ALL) {
            *slot = record.meters.of(*meter).map(|quantity| i64::try_from(quantity).unwrap_or(i64::MAX));
        }
        let row = RecordRow {
            detail: detail(&record, price_version.as_deref()).into(),
            organization,
            id,
            environment: record.environment.to_string().into(),
            key: record.key.to_string().into(),
            source_tag: record.source_tag.map(Arc::from),
            model: record.model.into(),
            completed_at: record.completed_at.0,
            outcome: record.outcome.name(),
            charge: record.charge.0,
            delivery: record.delivery.name(),
            meters,
        };
        Self { record: row, charge, absorb }
    }
}

fn charge_detail(record: &RequestRecord) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(96);
    // Writing to a String cannot fail; names of meters need no escapes.
    let _ = write!(text, "{{\"rule\":{},\"hold\":{},\"meters\":{{", record.rule, record.hold.0);
    for (index, (meter, quantity)) in record.meters.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\"{}\":{quantity}", meter.name());
    }
    text.push('}');
    if record.absorbed > Nano::ZERO {
        let _ = write!(text, ",\"absorbed\":{}", record.absorbed.0);
    }
    text.push('}');
    text
}

/// Written as [`Detail`] is read.
fn detail(record: &RequestRecord, price_version: Option<&str>) -> String {
    let mut detail = Object::with_capacity(512);
    detail.text("key_name", &record.key_name);
    detail.text("secret", &record.secret.to_string());
    detail.text("endpoint", record.endpoint.name());
    detail.text_or_none("upstream_model", record.upstream_model.as_deref());
    detail.text_or_none("upstream_request_id", record.upstream_request_id.as_deref());
    detail.text_or_none("client_request_id", record.client_request_id.as_deref());
    detail.text_or_none("alias", record.alias.as_deref());
    detail.flag("stream", record.is_stream);
    detail.flag("test", record.is_test);
    detail.number("admitted_at", record.admitted_at.0);
    if let Some(at) = record.first_byte_at {
        detail.number("first_byte_at", at.0);
    }
    detail.number("status", record.status);
    detail.text_or_none("error_code", record.error_code);
    if let Some(refused) = record.refused_by.as_deref() {
        let mut by = Object::with_capacity(64);
        by.text("rule", &refused.rule);
        by.text("value", &refused.value);
        detail.object("refused_by", by);
    }
    detail.text_or_none("would_refuse", record.would_refuse);
    detail.number("rule", record.rule);
    detail.text("usage_source", record.usage_source.name());
    if record.is_anomalous {
        detail.flag("anomaly", true);
    }
    detail.text_or_none("price_version", price_version);
    detail.number("hold", record.hold.0);
    detail.number("absorbed", record.absorbed.0);
    detail.list("attempts", record.attempts.iter().map(attempt));
    detail.end()
}

fn attempt(attempt: &Attempt) -> Object {
    let mut object = Object::with_capacity(64);
    object.text("provider", &attempt.provider);
    object.number("status", attempt.status);
    object.number("head_ms", attempt.head_ms);
    object
}

/// Reads a record back.
pub(crate) fn read<R: Cells>(row: &R) -> Result<RequestRecord, Error> {
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
        attempts: detail.attempts.into_owned(),
        delivery: known(Delivery::from_name(&delivery), "request.delivery", &delivery)?,
        id: parse("request.id", &id)?,
    })
}

/// A code of the catalogue by its text; a code that this program no longer has is dropped.
pub(crate) fn code(text: &str) -> Option<&'static str> {
    Code::ALL.iter().map(|code| code.text()).find(|known| *known == text)
}
