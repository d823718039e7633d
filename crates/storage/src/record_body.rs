//! A request record as bytes: what the journal holds of a charge and what its row keeps.
//!
//! One form for both, so that a charge is written once and copied. Words of closed lists are written as their names, the
//! usual ones shorter ([`words`]), so that a list may grow. Rows keep this form for good: a new field goes behind the last, and
//! whoever adds one reads a body that ends before it as having none. One that goes on behind the last was written by a
//! newer program and does not read. Which columns a row has beside its body is not known here.

mod words;

use crate::record::code;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::id::{
    EnvironmentId, KeyId, OrganizationId, PriceVersionId, ProviderId, RequestId, ResponseId, SecretId,
};
use claviger_domain::meter::{Meter, Meters, UsageSource};
use claviger_domain::money::Nano;
use claviger_domain::price::Conditions;
use claviger_domain::request::{Attempt, AttemptOutcome, Delivery, KeptAnswer, Outcome, RefusedBy, RequestRecord};
use claviger_domain::time::Timestamp;

/// A text of a body is never longer: a frame of the journal is not.
const TEXT_MAX: usize = crate::journal::frame::PAYLOAD_MAX;

/// Writes a record behind what `out` has.
pub(crate) fn put(out: &mut Vec<u8>, record: &RequestRecord) {
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
        conditions,
        kept,
    } = record;
    for id in [id.to_u128(), organization.to_u128(), environment.to_u128(), secret.to_u128()] {
        put_id(out, id);
    }
    out.extend_from_slice(key.symbols());
    words::put_all(out, *endpoint, *outcome, *usage_source, *delivery);
    put_text(out, key_name);
    put_text(out, model);
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
        words::put(out, &words::METERS, &meter, meter.name());
        out.extend_from_slice(&quantity.to_le_bytes());
    }
    put_attempts(out, attempts);
    put_maybe(out, refused_by.as_deref().map(|refused| refused.rule.as_str()), put_text);
    put_maybe(out, refused_by.as_deref().map(|refused| refused.value.as_str()), put_text);
    put_maybe(out, *would_refuse, put_text);
    put_tries(out, record);
    put_parts(out, kept.as_deref(), conditions.as_deref());
}

/// What few records have.
fn put_parts(out: &mut Vec<u8>, kept: Option<&KeptAnswer>, conditions: Option<&Conditions>) {
    if let Some(kept) = kept {
        put_kept(out, kept);
    }
    if let Some(conditions) = conditions {
        out.push(CONDITIONS);
        put_text(out, &conditions.to_string());
    }
}

/// What begins the part about an answer that is kept. Parts behind the tries are told apart by such a byte, for most
/// records have none of them.
const KEPT: u8 = 1;
/// The same for the conditions of a charge.
const CONDITIONS: u8 = 2;

/// What a server keeps of the answer.
fn put_kept(out: &mut Vec<u8>, KeptAnswer { upstream_id, provider, previous }: &KeptAnswer) {
    out.push(KEPT);
    put_text(out, upstream_id);
    put_maybe(out, *provider, |out, id| put_id(out, id.to_u128()));
    put_maybe(out, *previous, |out, id| put_id(out, id.to_u128()));
}

/// Tries in their first form.
fn put_attempts(out: &mut Vec<u8>, attempts: &[Attempt]) {
    put_count(out, attempts.len());
    for Attempt { provider, status, head_ms, .. } in attempts {
        put_text(out, provider);
        out.extend_from_slice(&status.to_le_bytes());
        out.extend_from_slice(&head_ms.to_le_bytes());
    }
}

/// What is told of tries beyond the first form, and only where it does not follow from the rest: a request that its first
/// target answered needs none of it.
fn put_tries(out: &mut Vec<u8>, record: &RequestRecord) {
    let is_told = !is_plain(&record.attempts, record.upstream_model.as_deref());
    out.push(u8::from(is_told));
    for attempt in record.attempts.iter().filter(|_| is_told) {
        put_maybe(out, attempt.upstream_model.as_deref(), put_text);
        put_maybe(out, attempt.outcome.map(AttemptOutcome::name), put_text);
    }
}

/// Whether there was one try at most, and it answered under the name that the record has.
fn is_plain(attempts: &[Attempt], upstream_model: Option<&str>) -> bool {
    match attempts {
        [] => true,
        [only] => {
            is_answer(only.status)
                && only.outcome == Some(AttemptOutcome::Answered)
                && only.upstream_model.as_deref() == upstream_model
        }
        _ => false,
    }
}

const fn is_answer(status: u16) -> bool {
    matches!(status, 200..=299)
}

pub(crate) fn put_id(out: &mut Vec<u8>, id: u128) {
    out.extend_from_slice(&id.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

/// A text with its length: one byte, or 255 and four more. 254 in its place begins a word ([`words`]), where one may be.
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

/// What of a record is told apart, summed and proved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Columns<'a> {
    pub(crate) id: RequestId,
    pub(crate) organization: OrganizationId,
    pub(crate) environment: EnvironmentId,
    pub(crate) key: KeyId,
    pub(crate) source_tag: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) completed_at: Timestamp,
    pub(crate) outcome: Outcome,
    pub(crate) rule: u8,
    pub(crate) meters: Meters,
    pub(crate) price_version: Option<PriceVersionId>,
    pub(crate) hold: Nano,
    pub(crate) charge: Nano,
    pub(crate) absorbed: Nano,
    pub(crate) delivery: Delivery,
    /// The whole record as bytes.
    pub(crate) body: &'a [u8],
}

/// A body as it is read: words and numbers by themselves, texts where they lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body<'a> {
    pub(crate) columns: Columns<'a>,
    secret: SecretId,
    endpoint: EndpointName,
    usage_source: UsageSource,
    key_name: &'a str,
    alias: Option<&'a str>,
    upstream_model: Option<&'a str>,
    upstream_request_id: Option<&'a str>,
    client_request_id: Option<&'a str>,
    error_code: Option<&'a str>,
    is_stream: bool,
    is_test: bool,
    is_anomalous: bool,
    status: u16,
    admitted_at: Timestamp,
    first_byte_at: Option<Timestamp>,
    attempts: Attempts<'a>,
    tries: Vec<Told<'a>>,
    refused_rule: Option<&'a str>,
    refused_value: Option<&'a str>,
    would_refuse: Option<&'a str>,
    pub(crate) conditions: Option<Box<Conditions>>,
    kept: Option<Kept<'a>>,
}

/// An answer's id at its server, the server's row, and the answer it goes on from.
type Kept<'a> = (&'a str, Option<ProviderId>, Option<ResponseId>);

/// The model's name at a target that was tried, and what the try came to.
type Told<'a> = (Option<&'a str>, Option<AttemptOutcome>);

/// Tries one behind another, known to read.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Attempts<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Of a record whose bytes are `body`.
    pub(crate) fn of(record: &'a RequestRecord, body: &'a [u8]) -> Self {
        Self {
            id: record.id,
            organization: record.organization,
            environment: record.environment,
            key: record.key,
            source_tag: record.source_tag.as_deref(),
            model: &record.model,
            completed_at: record.completed_at,
            outcome: record.outcome,
            rule: record.rule,
            meters: record.meters,
            price_version: record.price_version,
            hold: record.hold,
            charge: record.charge,
            absorbed: record.absorbed,
            delivery: record.delivery,
            body,
        }
    }

    /// Whether the charge waits for the mark of its answer.
    pub(crate) fn expects_mark(&self) -> bool {
        self.charge > Nano::ZERO && self.delivery == Delivery::Delivered
    }
}

impl<'a> Body<'a> {
    /// Reads a body; `None` = not written by this program.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let body = reader.body(bytes)?;
        reader.0.is_empty().then_some(body)
    }

    /// Where it was asked.
    pub(crate) const fn endpoint(&self) -> EndpointName {
        self.endpoint
    }

    /// Where its meters came from.
    pub(crate) const fn usage_source(&self) -> UsageSource {
        self.usage_source
    }

    /// The provider of the last try, which is the one that answered if any did.
    pub(crate) fn provider(&self) -> Option<&'a str> {
        self.attempts.last_provider()
    }

    /// The whole record.
    pub(crate) fn record(&self) -> RequestRecord {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let refused_by = self.refused_rule.zip(self.refused_value);
        let columns = &self.columns;
        RequestRecord {
            id: columns.id,
            organization: columns.organization,
            environment: columns.environment,
            key: columns.key,
            key_name: self.key_name.to_owned(),
            secret: self.secret,
            source_tag: own(columns.source_tag),
            endpoint: self.endpoint,
            model: columns.model.to_owned(),
            alias: own(self.alias),
            upstream_model: own(self.upstream_model),
            upstream_request_id: own(self.upstream_request_id),
            client_request_id: own(self.client_request_id),
            is_stream: self.is_stream,
            is_test: self.is_test,
            admitted_at: self.admitted_at,
            first_byte_at: self.first_byte_at,
            completed_at: columns.completed_at,
            status: self.status,
            outcome: columns.outcome,
            error_code: self.error_code.and_then(code),
            rule: columns.rule,
            usage_source: self.usage_source,
            is_anomalous: self.is_anomalous,
            meters: columns.meters,
            price_version: columns.price_version,
            hold: columns.hold,
            charge: columns.charge,
            absorbed: columns.absorbed,
            attempts: self.attempts.list(&self.tries, self.upstream_model),
            delivery: columns.delivery,
            refused_by: refused_by
                .map(|(rule, value)| Box::new(RefusedBy { rule: rule.to_owned(), value: value.to_owned() })),
            would_refuse: self.would_refuse.and_then(code),
            conditions: self.conditions.clone(),
            kept: self.kept.map(|(upstream_id, provider, previous)| {
                Box::new(KeptAnswer { upstream_id: upstream_id.to_owned(), provider, previous })
            }),
        }
    }
}

impl<'a> Attempts<'a> {
    fn last_provider(self) -> Option<&'a str> {
        let mut reader = Reader(self.bytes);
        (0..self.count).map_while(|_| reader.attempt()).last().map(|(provider, _, _)| provider)
    }
}

impl Attempts<'_> {
    /// The tries, with what `told` says of each beyond the first form.
    fn list(self, told: &[Told<'_>], upstream_model: Option<&str>) -> Vec<Attempt> {
        let mut reader = Reader(self.bytes);
        let mut told = told.iter();
        std::iter::from_fn(|| {
            let (provider, status, head_ms) = reader.attempt()?;
            let implied = || {
                let is_plain = self.count == 1 && is_answer(status);
                (upstream_model.filter(|_| is_plain), is_plain.then_some(AttemptOutcome::Answered))
            };
            let (model, outcome) = told.next().copied().unwrap_or_else(implied);
            let (provider, upstream_model) = (provider.to_owned(), model.map(str::to_owned));
            Some(Attempt { provider, upstream_model, outcome, status, head_ms })
        })
        .take(self.count)
        .collect()
    }
}

/// Bytes that are still to be read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn id(&mut self) -> Option<u128> {
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
            u8::MAX => usize::try_from(u32::from_le_bytes(self.array()?)).ok().filter(|size| *size <= TEXT_MAX)?,
            length => usize::from(length),
        };
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    fn maybe_text(&mut self) -> Option<Option<&'a str>> {
        self.maybe(Self::text)
    }

    fn attempt(&mut self) -> Option<(&'a str, u16, u64)> {
        let provider = self.text()?;
        Some((provider, self.array().map(u16::from_le_bytes)?, self.array().map(u64::from_le_bytes)?))
    }

    fn attempts(&mut self) -> Option<Attempts<'a>> {
        let count = self.count()?;
        let bytes = self.0;
        for _ in 0..count {
            self.attempt()?;
        }
        let (bytes, _) = bytes.split_at_checked(bytes.len().checked_sub(self.0.len())?)?;
        Some(Attempts { count, bytes })
    }

    fn meters(&mut self) -> Option<Meters> {
        let mut meters = Meters::NONE;
        for _ in 0..self.count()? {
            let meter = self.word(&words::METERS, Meter::from_name)?;
            meters.set(meter, self.array().map(u64::from_le_bytes)?);
        }
        Some(meters)
    }

    /// What is told of tries beyond the first form; nothing in a body of a former release.
    fn tries(&mut self, count: usize) -> Option<Vec<Told<'a>>> {
        if self.0.is_empty() || !self.flag()? {
            return Some(Vec::new());
        }
        (0..count)
            .map(|_| Some((self.maybe_text()?, self.maybe(|reader| AttemptOutcome::from_name(reader.text()?))?)))
            .collect()
    }

    /// The part of an answer that is kept, where there is one.
    fn kept(&mut self) -> Option<Option<Kept<'a>>> {
        if self.0.first() != Some(&KEPT) {
            return Some(None);
        }
        self.byte()?;
        let upstream_id = self.text()?;
        let provider = self.maybe(Self::id)?.map(ProviderId::from_u128);
        let previous = self.maybe(Self::id)?.map(ResponseId::from_u128);
        Some(Some((upstream_id, provider, previous)))
    }

    /// The part of a charge's conditions, where there is one.
    fn conditions(&mut self) -> Option<Option<Box<Conditions>>> {
        if self.0.first() != Some(&CONDITIONS) {
            return Some(None);
        }
        self.byte()?;
        Some(Some(Box::new(self.text()?.parse().ok()?)))
    }

    fn body(&mut self, bytes: &'a [u8]) -> Option<Body<'a>> {
        let id = RequestId::from_u128(self.id()?);
        let organization = OrganizationId::from_u128(self.id()?);
        let environment = EnvironmentId::from_u128(self.id()?);
        let secret = SecretId::from_u128(self.id()?);
        let key = KeyId::from_symbols(self.take(12)?)?;
        let endpoint = self.word(&words::ENDPOINTS, EndpointName::from_name)?;
        let outcome = self.word(&words::OUTCOMES, Outcome::from_name)?;
        let usage_source = self.word(&words::SOURCES, UsageSource::from_name)?;
        let delivery = self.word(&words::DELIVERIES, Delivery::from_name)?;
        let (key_name, model) = (self.text()?, self.text()?);
        let (source_tag, alias) = (self.maybe_text()?, self.maybe_text()?);
        let (upstream_model, upstream_request_id) = (self.maybe_text()?, self.maybe_text()?);
        let (client_request_id, error_code) = (self.maybe_text()?, self.maybe_text()?);
        let (is_stream, is_test, is_anomalous, rule) = (self.flag()?, self.flag()?, self.flag()?, self.byte()?);
        let status = self.array().map(u16::from_le_bytes)?;
        let (admitted_at, completed_at) = (Timestamp(self.int()?), Timestamp(self.int()?));
        let (hold, charge, absorbed) = (Nano(self.int()?), Nano(self.int()?), Nano(self.int()?));
        let first_byte_at = self.maybe(Self::int)?.map(Timestamp);
        let price_version = self.maybe(Self::id)?.map(PriceVersionId::from_u128);
        let meters = self.meters()?;
        let attempts = self.attempts()?;
        let (refused_rule, refused_value) = (self.maybe_text()?, self.maybe_text()?);
        let would_refuse = self.maybe_text()?;
        let tries = self.tries(attempts.count)?;
        let (kept, conditions) = (self.kept()?, self.conditions()?);
        let columns = Columns {
            id,
            organization,
            environment,
            key,
            source_tag,
            model,
            completed_at,
            outcome,
            rule,
            meters,
            price_version,
            hold,
            charge,
            absorbed,
            delivery,
            body: bytes,
        };
        Some(Body {
            columns,
            secret,
            endpoint,
            usage_source,
            key_name,
            alias,
            upstream_model,
            upstream_request_id,
            client_request_id,
            error_code,
            is_stream,
            is_test,
            is_anomalous,
            status,
            admitted_at,
            first_byte_at,
            attempts,
            tries,
            refused_rule,
            refused_value,
            would_refuse,
            conditions,
            kept,
        })
    }
}
