//! A request record as a row: what is filtered or summed as columns, the whole of it as its body.
//!
//! The row of a record that costs something is the charge itself: `account` says where the amount came from, `wallet_seq`
//! is its number among the wallet's transfers, and the body has what the amount follows from (meters, rule, hold, price
//! version). Only `delivery` ever changes.

mod former;

use crate::cells::{Cells, corrupt, known};
use crate::error::Error;
use crate::record_body::{self, Body, Columns};
use claviger_domain::error::Code;
use claviger_domain::ledger::{TransferId, TransferKind};
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::money::Nano;
use claviger_domain::request::{Delivery, RequestRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The columns of the table `request`, as they are read.
pub(crate) const COLUMNS: [&str; 31] = [
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
    "account",
    "wallet_seq",
    "body",
];

/// The columns of the meters, in the order of [`Meter::ALL`].
pub(crate) fn meter_columns() -> &'static [&'static str] {
    COLUMNS.get(10..27).unwrap_or_default()
}

/// The columns that filter and sum, meters last.
pub(crate) fn filter_columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.into_iter().take_while(|column| *column != "detail")
}

/// A body of the usual length fits into this.
const BODY_BYTES: usize = 512;

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
    pub(crate) outcome: Arc<str>,
    pub(crate) charge: i64,
    pub(crate) delivery: Arc<str>,
    pub(crate) meters: Meters,
    pub(crate) body: Vec<u8>,
}

/// What was used above a hold, as a transfer.
pub(crate) struct AbsorbRow {
    pub(crate) reference: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) organization: Arc<str>,
    pub(crate) amount: i64,
    pub(crate) price_version: Option<Arc<str>>,
    pub(crate) at: i64,
    pub(crate) detail: Arc<str>,
}

/// A record with its charge, and what was used above its hold, ready to be written.
pub(crate) struct Rows {
    pub(crate) record: RecordRow,
    pub(crate) absorb: Option<AbsorbRow>,
}

impl Rows {
    /// The rows of a record. Words that it shares with the `former` one of its group are not made again.
    pub(crate) fn of(columns: &Columns<'_>, former: Option<&Self>) -> Self {
        Self::with_body(columns, columns.body.to_vec(), former)
    }

    fn with_body(columns: &Columns<'_>, body: Vec<u8>, former: Option<&Self>) -> Self {
        let record = RecordRow::of(columns, body, former.map(|rows| &rows.record));
        let absorb = (columns.absorbed > Nano::ZERO).then(|| absorb(columns, &record));
        Self { record, absorb }
    }

    /// The rows of a record that has no bytes yet.
    pub(crate) fn of_record(record: &RequestRecord, former: Option<&Self>) -> Self {
        let mut body = Vec::with_capacity(BODY_BYTES);
        record_body::put(&mut body, record);
        Self::with_body(&Columns::of(record, &[]), body, former)
    }
}

impl RecordRow {
    fn of(columns: &Columns<'_>, body: Vec<u8>, former: Option<&Self>) -> Self {
        let again = |word: fn(&Self) -> &Arc<str>, text: &str| match former.map(word) {
            Some(same) if **same == *text => Arc::clone(same),
            _ => Arc::from(text),
        };
        Self {
            organization: again(|row| &row.organization, &columns.organization.text()),
            id: Arc::from(&*columns.id.text()),
            environment: again(|row| &row.environment, &columns.environment.text()),
            key: again(|row| &row.key, &columns.key.text()),
            source_tag: columns.source_tag.map(Arc::from),
            model: again(|row| &row.model, columns.model),
            completed_at: columns.completed_at.0,
            outcome: again(|row| &row.outcome, columns.outcome.name()),
            charge: columns.charge.0,
            delivery: again(|row| &row.delivery, columns.delivery.name()),
            meters: columns.meters,
            body,
        }
    }
}

/// A meter as its column has it.
pub(crate) fn cell_of(meters: &Meters, meter: Meter) -> Option<i64> {
    meters.of(meter).map(|quantity| i64::try_from(quantity).unwrap_or(i64::MAX))
}

fn absorb(columns: &Columns<'_>, record: &RecordRow) -> AbsorbRow {
    AbsorbRow {
        id: TransferId::of(TransferKind::Absorb, &record.id).to_string().into(),
        reference: Arc::clone(&record.id),
        organization: Arc::clone(&record.organization),
        amount: columns.absorbed.0,
        price_version: columns.price_version.map(|version| Arc::from(&*version.text())),
        at: record.completed_at,
        detail: charge_detail(columns).into(),
    }
}

fn charge_detail(columns: &Columns<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(96);
    // Writing to a String cannot fail; names of meters need no escapes.
    let _ = write!(text, "{{\"rule\":{},\"hold\":{},\"meters\":{{", columns.rule, columns.hold.0);
    for (index, (meter, quantity)) in columns.meters.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\"{}\":{quantity}", meter.name());
    }
    text.push('}');
    if columns.absorbed > Nano::ZERO {
        let _ = write!(text, ",\"absorbed\":{}", columns.absorbed.0);
    }
    text.push('}');
    text
}

/// Reads a record back.
pub(crate) fn read<R: Cells>(row: &R) -> Result<RequestRecord, Error> {
    let Some(bytes) = row.bytes_or_none("body")? else { return former::read(row) };
    let (id, delivery) = (row.text("id")?, row.text("delivery")?);
    let body = Body::read(&bytes).ok_or_else(|| corrupt("request.body", &id))?;
    let delivery = known(Delivery::from_name(&delivery), "request.delivery", &delivery)?;
    Ok(RequestRecord { delivery, ..body.record() })
}

/// A code of the catalogue by its text; a code that this program no longer has is dropped.
pub(crate) fn code(text: &str) -> Option<&'static str> {
    Code::ALL.iter().map(|code| code.text()).find(|known| *known == text)
}
