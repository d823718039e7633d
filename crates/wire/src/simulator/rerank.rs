//! `sim-rerank`: scores that are a function of the words alone (`wire.md` §8).
//!
//! The share of the query's distinct lower-cased ASCII words that a document has, in six decimals; equals in the order of
//! the request.

use super::SimCall;
use super::damage;
use super::fault::Fault;
use super::knobs::Knobs;
use super::models;
use super::script::Script;
use super::shape::Shape;
use super::tokens;
use super::usage::{UsageForm, push_number, push_text};
use http::HeaderName;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::io::Write as _;

/// A score of one, in the unit of the last decimal.
const ONE: u64 = 1_000_000;

/// A body, as far as it is read.
#[derive(Deserialize)]
struct Ask<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    documents: Option<Vec<Document>>,
    /// TEI's name of the same.
    #[serde(default)]
    texts: Option<Vec<Document>>,
    #[serde(default)]
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: Option<bool>,
    #[serde(default)]
    return_text: Option<bool>,
    #[serde(borrow, default)]
    sim: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Text(String),
    Object { text: String },
}

impl Document {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { text } => text,
        }
    }
}

/// One document's place: its number, its score in millionths, its text and the tokens of its pair.
struct Ranked<'a> {
    index: usize,
    millionths: u64,
    text: &'a str,
    tokens: u64,
}

/// Answers `POST rerank`.
///
/// # Errors
/// What is wrong with the request, and the errors of the models that only fail.
pub(super) fn script(call: &SimCall<'_>) -> Result<Script, Fault> {
    let ask: Ask<'_> = serde_json::from_slice(call.body).map_err(|error| Fault::invalid_body(&error))?;
    let knobs = Knobs::read(ask.sim, call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let is_one_model = matches!(call.shape, Shape::Tei | Shape::Sglang | Shape::LlamaCpp);
    let model = ask.model.as_deref().filter(|model| !model.is_empty());
    let model = match model {
        Some(model) => model,
        None if is_one_model => "sim-rerank",
        None => return Err(Fault::missing("model")),
    };
    models::refuse_by_name(model, "rerank", &knobs)?;
    let query = ask.query.as_deref().ok_or_else(|| Fault::missing("query"))?;
    let (name, list) = if call.shape == Shape::Tei { ("texts", &ask.texts) } else { ("documents", &ask.documents) };
    let documents = list.as_deref().filter(|list| !list.is_empty()).ok_or_else(|| Fault::missing(name))?;
    let all = ranked(query, documents);
    let tokens = all.iter().map(|ranked| ranked.tokens).fold(0, u64::saturating_add);
    let shown = all.get(..ask.top_n.unwrap_or(all.len()).min(all.len())).unwrap_or_default();
    let has_texts = ask.return_documents == Some(true) || ask.return_text == Some(true);
    let usage = super::plan::usage_form(mode);
    let body = body(call, model, (shown, has_texts), (documents.len(), tokens, &usage));
    let mut script = Script::json(200, call.shape.json_type(), body);
    if call.shape == Shape::Tei && usage != UsageForm::Never {
        script.set(HeaderName::from_static("x-compute-tokens"), &tokens.to_string());
    }
    script.head_wait_ms = knobs.first_ms.unwrap_or(0);
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

fn words(text: &str) -> BTreeSet<String> {
    let parts = text.split(|character: char| !character.is_ascii_alphanumeric());
    parts.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
}

fn ranked<'a>(query: &str, documents: &'a [Document]) -> Vec<Ranked<'a>> {
    let asked = words(query);
    let count = u64::try_from(asked.len()).unwrap_or(u64::MAX);
    let query_tokens = tokens::count(query);
    let place = |(index, document): (usize, &'a Document)| {
        let text = document.text();
        let has = words(text);
        let found = u64::try_from(asked.intersection(&has).count()).unwrap_or(u64::MAX);
        let millionths = found.saturating_mul(ONE).checked_div(count).unwrap_or(0);
        Ranked { index, millionths, text, tokens: query_tokens.saturating_add(tokens::count(text)) }
    };
    let mut all: Vec<Ranked<'a>> = documents.iter().enumerate().map(place).collect();
    all.sort_by_key(|ranked| (std::cmp::Reverse(ranked.millionths), ranked.index));
    all
}

fn body(
    call: &SimCall<'_>,
    model: &str,
    (shown, has_texts): (&[Ranked<'_>], bool),
    (documents, tokens, usage): (usize, u64, &UsageForm),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    if matches!(call.shape, Shape::Tei | Shape::Sglang) {
        push_results(&mut out, call.shape, shown, (has_texts, usage));
        return out;
    }
    if call.shape != Shape::LlamaCpp {
        let id = call.request_id.strip_prefix("req_").unwrap_or(call.request_id);
        out.extend_from_slice(b"{\"id\":");
        push_text(&mut out, &format!("rerank-{id}"));
        out.extend_from_slice(b",\"model\":");
    } else {
        out.extend_from_slice(b"{\"model\":");
    }
    push_text(&mut out, model);
    if call.shape != Shape::Vllm {
        out.extend_from_slice(b",\"object\":\"list\"");
    }
    match usage {
        UsageForm::Never => {}
        UsageForm::Absurd(_) => {
            out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":-5,\"total_tokens\":9000000000000}")
        }
        _ => {
            push_number(&mut out, b",\"usage\":{\"prompt_tokens\":", tokens);
            push_number(&mut out, b",\"total_tokens\":", tokens);
            out.push(b'}');
        }
    }
    if call.shape == Shape::OpenAi && *usage != UsageForm::Never {
        let units = u64::try_from(documents.div_ceil(100)).unwrap_or(u64::MAX);
        push_number(&mut out, b",\"meta\":{\"billed_units\":{\"search_units\":", units);
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b",\"results\":");
    push_results(&mut out, call.shape, shown, (has_texts, usage));
    out.push(b'}');
    out
}

fn push_results(out: &mut Vec<u8>, shape: Shape, shown: &[Ranked<'_>], (has_texts, usage): (bool, &UsageForm)) {
    let score_name = if matches!(shape, Shape::Tei | Shape::Sglang) { "score" } else { "relevance_score" };
    out.push(b'[');
    for (position, ranked) in shown.iter().enumerate() {
        let (whole, rest) = (ranked.millionths / ONE, ranked.millionths % ONE);
        let comma = if position > 0 { "," } else { "" };
        // Writing into memory cannot fail.
        let _ = write!(out, "{comma}{{\"index\":{},\"{score_name}\":{whole}.{rest:06}", ranked.index);
        match shape {
            Shape::Tei | Shape::Sglang if !has_texts => {}
            Shape::Tei => {
                out.extend_from_slice(b",\"text\":");
                push_text(out, ranked.text);
            }
            Shape::Sglang => {
                out.extend_from_slice(b",\"document\":");
                push_text(out, ranked.text);
            }
            // vLLM returns the documents whatever is asked.
            _ if has_texts || shape == Shape::Vllm => {
                out.extend_from_slice(b",\"document\":{\"text\":");
                push_text(out, ranked.text);
                out.push(b'}');
            }
            _ => {}
        }
        if shape == Shape::Sglang && *usage != UsageForm::Never {
            push_number(out, b",\"meta_info\":{\"prompt_tokens\":", ranked.tokens);
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b']');
}
