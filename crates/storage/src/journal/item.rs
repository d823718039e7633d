//! What a frame's payload holds: charges with their whole records, and which answers were handed over.
//!
//! An item that this program does not know ends the reading: it was written by a newer one.

use crate::record_body::{self, Body, Reader, put_id};
use claviger_domain::id::{OrganizationId, RequestId};
use claviger_domain::request::RequestRecord;

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
pub(crate) enum Item<'a> {
    Charge(Box<Body<'a>>),
    Mark(Mark),
}

/// Writes a charge behind what `out` has.
pub(crate) fn put_charge(out: &mut Vec<u8>, record: &RequestRecord) {
    out.push(CHARGE);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    record_body::put(out, record);
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
pub(crate) fn read_all(payload: &[u8]) -> Option<Vec<Item<'_>>> {
    let mut reader = Reader(payload);
    let mut items = Vec::new();
    while !reader.0.is_empty() {
        items.push(match reader.byte()? {
            CHARGE => {
                let length = usize::try_from(u32::from_le_bytes(reader.array()?)).ok()?;
                Item::Charge(Box::new(Body::read(reader.take(length)?)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::code;
    use claviger_domain::endpoint::EndpointName;
    use claviger_domain::id::{EnvironmentId, KeyId, PriceVersionId, ProviderId, ResponseId, SecretId};
    use claviger_domain::meter::{Meter, Meters, UsageSource};
    use claviger_domain::money::Nano;
    use claviger_domain::price::{Condition, Conditions};
    use claviger_domain::request::{Attempt, Delivery, KeptAnswer, Outcome, RefusedBy};
    use claviger_domain::time::Timestamp;

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
            attempts: vec![Attempt {
                provider: text("sim"),
                upstream_model: None,
                outcome: None,
                status: 0,
                head_ms: u64::MAX,
            }],
            delivery: Delivery::NotDelivered,
            conditions: long.then(|| {
                let priced = Conditions::NONE.with(Condition::Size, "1024x1024").with(Condition::Quality, "high");
                Box::new(priced)
            }),
            kept: long.then(|| {
                let (provider, previous) = (Some(ProviderId::from_u128(8)), Some(ResponseId::from_u128(9)));
                Box::new(KeptAnswer { upstream_id: text("resp_1"), provider, previous })
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_shorter() {
        let mark =
            Mark { organization: OrganizationId::from_u128(5), request: RequestId::from_u128(6), is_delivered: true };
        enum Put {
            Record(Box<RequestRecord>),
            Mark(Mark),
        }
        let puts = [
            Put::Record(Box::new(record(false))),
            Put::Mark(mark),
            Put::Record(Box::new(record(true))),
            Put::Mark(Mark { is_delivered: false, ..mark }),
        ];
        let mut payload = Vec::new();
        let mut ends = vec![0];
        for put in &puts {
            match put {
                Put::Record(record) => put_charge(&mut payload, record),
                Put::Mark(mark) => put_mark(&mut payload, mark),
            }
            ends.push(payload.len());
        }
        let items = read_all(&payload).unwrap();
        assert_eq!(items.len(), puts.len());
        for (item, put) in items.iter().zip(&puts) {
            match (item, put) {
                (Item::Charge(body), Put::Record(record)) => assert_eq!(body.record(), **record),
                (Item::Mark(read), Put::Mark(mark)) => assert_eq!(read, mark),
                _ => panic!("{item:?}"),
            }
        }
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
