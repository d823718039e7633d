//! What a frame's payload holds: charges with their whole records, and which answers were handed over.
//!
//! Words of closed lists are written as their names, never as places in a list, so that a list may grow. An item that
//! this program does not know ends the reading: it was written by a newer one.

use super::frame::PAYLOAD_MAX;
use crate::record::code;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, PriceVersionId, RequestId, SecretId};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::request::{Attempt, Delivery, Outcome, RefusedBy, RequestRecord};
use claviger_domain::time::Timestamp;

/// A charge, with its record.
const CHARGE: u8 = 1;
/// An answer's last piece was handed over.
const DELIVERED: u8 = 2;
/// An answer's last piece never left.
const NOT_DELIVERED: u8 = 3;

/// What became of an answer whose charge is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) organization: OrganizationId,
    pub(crate) request: RequestId,
    pub(crate) is_delivered: bool,
}

/// One entry of a payload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Charge(Box<RequestRecord>),
    Mark(Mark),
}

/// Writes a charge behind what `out` has.
pub(crate) fn put_charge(out: &mut Vec<u8>, record: &RequestRecord) {
    out.push(CHARGE);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    put_record(out, record);
    let length = out.len().saturating_sub(length_at).saturating_sub(4);
    if let Some(slot) = out.get_mut(length_at..length_at.saturating_add(4)) {
        slot.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }
}

/// Writes a mark behind what `out` has.
pub(crate) fn put_mark(out: &mut Vec<u8>, mark: &Mark) {
    out.push(if mark.is_delivered { DELIVERED } else { NOT_DELIVERED });
    put_id(out, mark.organization.to_u128());
    put_id(out, mark.request.to_u128());
}

/// The entries of a payload; `None` = not written by this program.
pub(crate) fn read_all(payload: &[u8]) -> Option<Vec<Item>> {
    let mut reader = Reader(payload);
    let mut items = Vec::new();
    while !reader.0.is_empty() {
        items.push(match reader.byte()? {
            CHARGE => {
                let length = usize::try_from(u32::from_le_bytes(reader.array()?)).ok()?;
                let mut record = Reader(reader.take(length)?);
                let item = Item::Charge(Box::new(record.record()?));
                if !record.0.is_empty() {
                    return None;
                }
                item
            }
            kind @ (DELIVERED | NOT_DELIVERED) => Item::Mark(Mark {
                organization: OrganizationId::from_u128(reader.id()?),
                request: RequestId::from_u128(reader.id()?),
                is_delivered: kind == DELIVERED,
            }),
            _ => return None,
        });
    }
    Some(items)
}

/// Whether a charge waits for the mark of its answer.
pub(crate) fn expects_mark(record: &RequestRecord) -> bool {
    record.charge > Nano::ZERO && record.delivery == Delivery::Delivered
}

fn put_record(out: &mut Vec<u8>, record: &RequestRecord) {
    // Every field by name: a new one does not compile until it is written.
    let RequestRecord {
        id,
        organization,
        environment,
        key,
        key_name,
        secret,
        source_tag,
        endpoint,
        model,
        alias,
        upstream_model,
        upstream_request_id,
        client_request_id,
        is_stream,
        is_test,
        admitted_at,
        first_byte_at,
        completed_at,
        status,
        outcome,
        error_code,
        rule,
        usage_source,
        is_anomalous,
        meters,
        price_version,
        hold,
        charge,
        absorbed,
        attempts,
        delivery,
        refused_by,
        would_refuse,
    } = record;
    for id in [id.to_u128(), organization.to_u128(), environment.to_u128(), secret.to_u128()] {
        put_id(out, id);
    }
    out.extend_from_slice(key.symbols());
    for word in [endpoint.name(), outcome.name(), usage_source.name(), delivery.name(), key_name, model] {
        put_text(out, word);
    }
    let texts = [source_tag, alias, upstream_model, upstream_request_id, client_request_id];
    for text in texts.into_iter().map(Option::as_deref).chain([*error_code]) {
        put_maybe(out, text, put_text);
    }
    out.extend_from_slice(&[u8::from(*is_stream), u8::from(*is_test), u8::from(*is_anomalous), *rule]);
    out.extend_from_slice(&status.to_le_bytes());
    for number in [admitted_at.0, completed_at.0, hold.0, charge.0, absorbed.0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_maybe(out, *first_byte_at, |out, at| out.extend_from_slice(&at.0.to_le_bytes()));
    put_maybe(out, *price_version, |out, version| put_id(out, version.to_u128()));
    put_count(out, meters.iter().count());
    for (meter, quantity) in meters.iter() {
        put_text(out, meter.name());
        out.extend_from_slice(&quantity.to_le_bytes());
    }
    put_count(out, attempts.len());
    for Attempt { provider, status, head_ms } in attempts {
        put_text(out, provider);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&head_ms.to_le_bytes());
    }
    put_maybe(out, refused_by.as_deref().map(|refused| refused.rule.as_str()), put_text);
    put_maybe(out, refused_by.as_deref().map(|refused| refused.value.as_str()), put_text);
    put_maybe(out, *would_refuse, put_text);
}

fn put_id(out: &mut Vec<u8>, id: u128) {
    out.extend_from_slice(&id.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

/// A text with its length: one byte, or 255 and four more.
fn put_text(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < u8::MAX => out.push(length),
        _ => {
            out.push(u8::MAX);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn put_maybe<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn id(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    fn int(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        self.array().map(u16::from_le_bytes).map(usize::from)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = match self.byte()? {
            u8::MAX => usize::try_from(u32::from_le_bytes(self.array()?)).ok().filter(|size| *size <= PAYLOAD_MAX)?,
            length => usize::from(length),
        };
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    fn maybe_text(&mut self) -> Option<Option<String>> {
        self.maybe(|reader| reader.text().map(str::to_owned))
    }

    fn refused_by(&mut self) -> Option<Option<Box<RefusedBy>>> {
        let (rule, value) = (self.maybe_text()?, self.maybe_text()?);
        Some(rule.zip(value).map(|(rule, value)| Box::new(RefusedBy { rule, value })))
    }

    fn attempts(&mut self) -> Option<Vec<Attempt>> {
        let mut attempts = Vec::new();
        for _ in 0..self.count()? {
            attempts.push(Attempt {
                provider: self.text()?.to_owned(),
                status: self.array().map(u16::from_le_bytes)?,
                head_ms: self.array().map(u64::from_le_bytes)?,
            });
        }
        Some(attempts)
    }

    fn record(&mut self) -> Option<RequestRecord> {
        let id = RequestId::from_u128(self.id()?);
        let organization = OrganizationId::from_u128(self.id()?);
        let environment = EnvironmentId::from_u128(self.id()?);
        let secret = SecretId::from_u128(self.id()?);
        let key = KeyId::from_symbols(self.take(12)?)?;
        let endpoint = EndpointName::from_name(self.text()?)?;
        let outcome = Outcome::from_name(self.text()?)?;
        let usage_source = UsageSource::from_name(self.text()?)?;
        let delivery = Delivery::from_name(self.text()?)?;
        let (key_name, model) = (self.text()?.to_owned(), self.text()?.to_owned());
        let (source_tag, alias) = (self.maybe_text()?, self.maybe_text()?);
        let (upstream_model, upstream_request_id) = (self.maybe_text()?, self.maybe_text()?);
        let client_request_id = self.maybe_text()?;
        let error_code = self.maybe(Self::text)?.and_then(code);
        let (is_stream, is_test, is_anomalous, rule) = (self.flag()?, self.flag()?, self.flag()?, self.byte()?);
        let status = self.array().map(u16::from_le_bytes)?;
        let (admitted_at, completed_at) = (Timestamp(self.int()?), Timestamp(self.int()?));
        let (hold, charge, absorbed) = (Nano(self.int()?), Nano(self.int()?), Nano(self.int()?));
        let first_byte_at = self.maybe(Self::int)?.map(Timestamp);
        let price_version = self.maybe(Self::id)?.map(PriceVersionId::from_u128);
        let mut meters = Meters::NONE;
        for _ in 0..self.count()? {
            let meter = Meter::from_name(self.text()?)?;
            meters.set(meter, self.array().map(u64::from_le_bytes)?);
        }
        let attempts = self.attempts()?;
        let (refused_by, would_refuse) = (self.refused_by()?, self.maybe(Self::text)?.and_then(code));
        Some(RequestRecord {
            id,
            organization,
            environment,
            key,
            key_name,
            secret,
            source_tag,
            endpoint,
            model,
            alias,
            upstream_model,
            upstream_request_id,
            client_request_id,
            is_stream,
            is_test,
            admitted_at,
            first_byte_at,
            completed_at,
            status,
            outcome,
            error_code,
            rule,
            usage_source,
            is_anomalous,
            meters,
            price_version,
            hold,
            charge,
            absorbed,
            attempts,
            delivery,
            refused_by,
            would_refuse,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(long: bool) -> RequestRecord {
        let text = |name: &str| if long { name.repeat(100) } else { name.to_owned() };
        RequestRecord {
            id: RequestId::from_u128(1 << 100),
            organization: OrganizationId::from_u128(2),
            environment: EnvironmentId::from_u128(3),
            key: KeyId::from_symbols(b"abcdefghijkl").unwrap(),
            key_name: text("prod"),
            secret: SecretId::from_u128(4),
            source_tag: long.then(|| text("tag")),
            endpoint: EndpointName::ChatCompletions,
            model: text("acme/chat"),
            alias: None,
            upstream_model: Some(text("chat")),
            upstream_request_id: long.then(String::new),
            client_request_id: None,
            is_stream: long,
            is_test: false,
            admitted_at: Timestamp(-5),
            first_byte_at: long.then_some(Timestamp(6)),
            completed_at: Timestamp(i64::MAX),
            status: 200,
            outcome: Outcome::CutAtHold,
            refused_by: long.then(|| Box::new(RefusedBy { rule: text("key.rpm"), value: text("60") })),
            would_refuse: long.then_some("model_not_allowed"),
            error_code: code("ledger_unavailable").filter(|_| long),
            rule: 7,
            usage_source: UsageSource::UpstreamFinal,
            is_anomalous: true,
            meters: Meters::NONE.with(Meter::OutputToken, 0).with(Meter::InputToken, u64::MAX >> 1),
            price_version: Some(PriceVersionId::from_u128(9)),
            hold: Nano(100),
            charge: Nano(77),
            absorbed: Nano(1),
            attempts: vec![Attempt { provider: text("sim"), status: 0, head_ms: u64::MAX }],
            delivery: Delivery::NotDelivered,
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_shorter() {
        let mark =
            Mark { organization: OrganizationId::from_u128(5), request: RequestId::from_u128(6), is_delivered: true };
        let items = [
            Item::Charge(Box::new(record(false))),
            Item::Mark(mark),
            Item::Charge(Box::new(record(true))),
            Item::Mark(Mark { is_delivered: false, ..mark }),
        ];
        let mut payload = Vec::new();
        let mut ends = vec![0];
        for item in &items {
            match item {
                Item::Charge(record) => put_charge(&mut payload, record),
                Item::Mark(mark) => put_mark(&mut payload, mark),
            }
            ends.push(payload.len());
        }
        assert_eq!(read_all(&payload).unwrap(), items);
        for end in 0..payload.len() {
            let read = read_all(&payload[..end]);
            assert_eq!(read.is_some(), ends.contains(&end), "{end}");
        }
        payload.push(200);
        assert_eq!(read_all(&payload), None, "an item of a later program");
    }

    #[test]
    fn what_is_not_ours_reads_as_nothing_and_never_panics() {
        let mut payload = Vec::new();
        put_charge(&mut payload, &record(true));
        put_charge(&mut payload, &record(false));
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 33).unwrap() % payload.len();
            let former = std::mem::replace(&mut payload[at], (state >> 24) as u8);
            let _ = read_all(&payload);
            payload[at] = former;
        }
        assert_eq!(read_all(&payload).unwrap().len(), 2);
    }
}
