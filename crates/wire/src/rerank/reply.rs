//! An answer of any server in the one form that all clients read (W17), best first.
//!
//! Figures come from where the server has them: units it billed, tokens of its usage, of each result (SGLang), or of
//! the head (TEI).

use super::RerankAsk;
use crate::inference::{Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Sink, Value, plain_integer, quote_into, scan_lenient};
use bytes::Bytes;
use claviger_domain::meter::{ABSURD_QUANTITY, Meter, Meters, Usage, UsageSource};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Id,
    Results,
    Result,
    Index,
    Score,
    ResultTokens,
    Tokens,
    TotalTokens,
    Units,
    Error,
}

static RESULT: Place<Tag> = Place::new(
    Some(Tag::Result),
    &[
        Field::leaf("index", Tag::Index),
        Field::leaf("relevance_score", Tag::Score),
        Field::leaf("score", Tag::Score),
        Field { name: "meta_info", place: Place::new(None, &[Field::leaf("prompt_tokens", Tag::ResultTokens)], None) },
    ],
    None,
);
static ANSWER: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("id", Tag::Id),
        Field { name: "results", place: Place::new(Some(Tag::Results), &[], Some(&RESULT)) },
        Field {
            name: "usage",
            place: Place::new(
                None,
                &[Field::leaf("prompt_tokens", Tag::Tokens), Field::leaf("total_tokens", Tag::TotalTokens)],
                None,
            ),
        },
        Field {
            name: "meta",
            place: Place::new(
                None,
                &[
                    Field {
                        name: "billed_units",
                        place: Place::new(None, &[Field::leaf("search_units", Tag::Units)], None),
                    },
                    Field {
                        name: "tokens",
                        place: Place::new(None, &[Field::leaf("input_tokens", Tag::Tokens)], None),
                    },
                ],
                None,
            ),
        },
        Field::leaf("error", Tag::Error),
    ],
    None,
);

/// One document's place.
#[derive(Clone, Copy)]
struct Ranked {
    index: usize,
    score: Value,
}

/// What an answer says.
#[derive(Default)]
struct Answer<'d> {
    document: &'d [u8],
    id: Option<Value>,
    has_results: bool,
    index: Option<Value>,
    score: Option<Value>,
    ranked: Vec<Ranked>,
    result_tokens: Figure,
    tokens: Figure,
    total_tokens: Figure,
    units: Figure,
    is_odd: bool,
    is_error: bool,
}

/// A figure of the server's: absurd ones count as not told, and are remarked.
#[derive(Clone, Copy, Default)]
struct Figure {
    told: Option<u64>,
    is_absurd: bool,
}

impl Figure {
    fn take(&mut self, value: Value, document: &[u8]) {
        if value.kind == Kind::Null {
            return;
        }
        self.told = figure(value, document);
        self.is_absurd = self.told.is_none();
    }
}

/// A whole number up to what is credible; `2.0` is one too, as Cohere writes its units.
fn figure(value: Value, document: &[u8]) -> Option<u64> {
    let text = value.raw(document);
    plain_integer(text.strip_suffix(b".0").unwrap_or(text)).filter(|number| *number <= ABSURD_QUANTITY)
}

impl Sink<Tag> for Answer<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Id => self.id = Some(value).filter(|id| matches!(id.kind, Kind::Text { .. })),
            Tag::Results => self.has_results = matches!(value.kind, Kind::List { .. }),
            Tag::Index => self.index = Some(value),
            Tag::Score => self.score = Some(value),
            Tag::Result => self.result(),
            Tag::ResultTokens => {
                let sum = self.result_tokens.told.unwrap_or(0);
                let told = figure(value, self.document).map(|tokens| sum.saturating_add(tokens));
                let is_absurd = self.result_tokens.is_absurd || told.is_none();
                self.result_tokens = Figure { told: told.filter(|_| !is_absurd), is_absurd };
            }
            Tag::Tokens => self.tokens.take(value, self.document),
            Tag::TotalTokens => self.total_tokens.take(value, self.document),
            Tag::Units => self.units.take(value, self.document),
            Tag::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}

impl Answer<'_> {
    fn result(&mut self) {
        let index = self.index.take().and_then(|index| plain_integer(index.raw(self.document)));
        let score = self.score.take().filter(|score| score.kind == Kind::Number);
        match (index.and_then(|index| usize::try_from(index).ok()), score) {
            (Some(index), Some(score)) => self.ranked.push(Ranked { index, score }),
            _ => self.is_odd = true,
        }
    }

    /// The first `top` of the documents, each at most once, best first; equals in the order of the request.
    fn in_order(&mut self, count: usize, top: Option<usize>) -> Option<()> {
        let mut seen = vec![false; count];
        for ranked in &self.ranked {
            if std::mem::replace(seen.get_mut(ranked.index)?, true) {
                return None;
            }
        }
        let document = self.document;
        let score = |ranked: &Ranked| {
            let text = std::str::from_utf8(ranked.score.raw(document)).ok();
            text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NEG_INFINITY)
        };
        self.ranked.sort_by(|one, other| score(other).total_cmp(&score(one)).then(one.index.cmp(&other.index)));
        self.ranked.truncate(top.unwrap_or(count));
        Some(())
    }
}

/// Refuses what is not JSON, an error object under a 200, and results that are not each of another document.
pub(super) fn read(body: &Bytes, ask: &RerankAsk, counted: Option<u64>) -> Result<Reply, UpstreamFault> {
    let unreadable = || UpstreamFault::unreadable("The answer is no ranking of the documents.");
    // Some servers answer with the bare list of results.
    let wrapped = body.trim_ascii_start().starts_with(b"[").then(|| [b"{\"results\":", &body[..], b"}"].concat());
    let document = wrapped.as_deref().unwrap_or(body);
    let mut answer = Answer { document, ..Answer::default() };
    scan_lenient(document, &ANSWER, &mut answer).map_err(|_| unreadable())?;
    if answer.is_error {
        return Err(UpstreamFault::reported(body));
    }
    if !answer.has_results || answer.is_odd || answer.ranked.is_empty() {
        return Err(unreadable());
    }
    answer.in_order(ask.documents.len(), ask.top).ok_or_else(unreadable)?;
    let tokens = answer.tokens.told.or(answer.total_tokens.told).or(answer.result_tokens.told);
    let usage = usage(&answer, tokens, counted, ask.search_units());
    let written = written(ask, &answer, tokens.or(counted));
    Ok(Reply { body: written.into(), usage, has_content: true, content_bytes: 0, is_finished: true })
}

/// What was used, if the server says any of it; units that it does not count are counted here.
fn usage(answer: &Answer<'_>, tokens: Option<u64>, counted: Option<u64>, units: u64) -> Option<Usage> {
    let figures = [answer.tokens, answer.total_tokens, answer.result_tokens, answer.units];
    let is_anomalous = figures.iter().any(|figure| figure.is_absurd);
    let source = match (tokens.or(answer.units.told), counted) {
        (Some(_), _) => UsageSource::UpstreamFinal,
        (None, Some(_)) => UsageSource::UpstreamHeader,
        // Said, but not to be believed: counted here, and remarked.
        (None, None) if is_anomalous => {
            return Some(Usage { meters: Meters::NONE, source: UsageSource::UpstreamFinal, is_anomalous });
        }
        (None, None) => return None,
    };
    let mut meters = Meters::NONE.with(Meter::SearchUnit, answer.units.told.unwrap_or(units));
    if let Some(tokens) = tokens.or(counted) {
        meters.set(Meter::InputToken, tokens);
    }
    Some(Usage { meters, source, is_anomalous })
}

/// The superset reply.
fn written(ask: &RerankAsk, answer: &Answer<'_>, tokens: Option<u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.ranked.len().saturating_mul(64).saturating_add(256));
    out.extend_from_slice(b"{\"id\":");
    match answer.id {
        Some(id) => out.extend_from_slice(id.raw(answer.document)),
        None => quote_into(&mut out, &made_id(answer.document)),
    }
    out.extend_from_slice(b",\"object\":\"list\",\"model\":");
    out.extend_from_slice(&ask.model.json);
    out.extend_from_slice(b",\"results\":[");
    for (position, ranked) in answer.ranked.iter().enumerate() {
        // Writing into memory cannot fail.
        let _ =
            write!(out, "{}{{\"index\":{},\"relevance_score\":", if position == 0 { "" } else { "," }, ranked.index);
        out.extend_from_slice(ranked.score.raw(answer.document));
        if let Some(text) = ask.documents.get(ranked.index).filter(|_| ask.has_documents) {
            out.extend_from_slice(b",\"document\":{\"text\":");
            out.extend_from_slice(text.raw(&ask.body));
            out.push(b'}');
        }
        out.push(b'}');
    }
    let used = tokens.unwrap_or_else(|| ask.estimated_tokens());
    let units = answer.units.told.unwrap_or_else(|| ask.search_units());
    let _ = write!(out, "],\"usage\":{{\"prompt_tokens\":{used},\"total_tokens\":{used}}}");
    let _ = write!(out, ",\"meta\":{{\"billed_units\":{{\"search_units\":{units}}}");
    if let Some(tokens) = tokens {
        let _ = write!(out, ",\"tokens\":{{\"input_tokens\":{tokens}}}");
    }
    out.extend_from_slice(b"}}");
    out
}

/// An id for an answer that has none: a function of its bytes.
fn made_id(document: &[u8]) -> String {
    let hash = Sha256::digest(document);
    let mut id = String::from("rerank-");
    for byte in hash.iter().take(12) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}
