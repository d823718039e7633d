//! `sim-embed`: vectors that are a function of the input alone (`wire.md` §8).
//!
//! `xᵢ = u32ᵢ / 2³¹ − 1`, where the `u32ᵢ` are the big-endian words of SHA-256(input ‖ be32(block)), block 0, 1, …; scaled
//! to length 1 in 64 bits and sent in 32. Token ids are their decimal text, joined by commas.

use super::ask::Prompt;
use super::fault::Fault;
use super::knobs::Knobs;
use super::mode::Mode;
use super::models;
use super::script::Script;
use super::tokens;
use super::usage::{push_number, push_text};
use super::{SimCall, damage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

const DIMENSIONS: usize = 64;
const DIMENSIONS_MAX: usize = 4096;

/// A body, as far as it is read.
#[derive(Deserialize)]
struct Ask<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    input: Option<Prompt>,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(borrow, default)]
    sim: Option<&'a RawValue>,
}

/// One input: the text that is hashed, and its tokens.
struct Item {
    text: String,
    tokens: u64,
}

/// Answers `POST embeddings`.
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
    let model = ask.model.filter(|model| !model.is_empty()).ok_or_else(|| Fault::missing("model"))?;
    models::refuse_by_name(&model, "embed", &knobs)?;
    let items = items(ask.input.ok_or_else(|| Fault::missing("input"))?);
    let dimensions = ask.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        let why = format!("it must be a whole number from 1 to {DIMENSIONS_MAX}");
        return Err(Fault::invalid_value("dimensions", &why));
    }
    let is_base64 = match mode {
        Some(Mode::FloatOnly {}) => false,
        Some(Mode::Base64Only {}) => true,
        _ => ask.encoding_format.as_deref() == Some("base64"),
    };
    let has_usage = !matches!(mode, Some(Mode::NoUsage {}));
    let mut script =
        Script::json(200, call.shape.json_type(), body(&model, &items, (dimensions, is_base64), has_usage));
    script.head_wait_ms = knobs.first_ms.unwrap_or(0);
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

fn items(input: Prompt) -> Vec<Item> {
    let counts: Vec<Option<usize>> = match &input {
        Prompt::Ids(ids) => vec![Some(ids.len())],
        Prompt::Lists(lists) => lists.iter().map(|ids| Some(ids.len())).collect(),
        Prompt::Text(_) | Prompt::Texts(_) => Vec::new(),
    };
    let counts = counts.into_iter().chain(std::iter::repeat(None));
    let item = |(text, ids): (String, Option<usize>)| {
        let tokens = ids.map_or_else(|| tokens::count(&text), |ids| u64::try_from(ids).unwrap_or(u64::MAX));
        Item { text, tokens }
    };
    input.texts().into_iter().zip(counts).map(item).collect()
}

fn body(model: &str, items: &[Item], (dimensions, is_base64): (usize, bool), has_usage: bool) -> Vec<u8> {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_number(&mut out, b"{\"object\":\"embedding\",\"index\":", u64::try_from(index).unwrap_or(u64::MAX));
        out.extend_from_slice(b",\"embedding\":");
        let vector = vector(&item.text, dimensions);
        if is_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            push_text(&mut out, &STANDARD.encode(bytes));
        } else {
            // Writing numbers into memory cannot fail.
            let _ = serde_json::to_writer(&mut out, &vector);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"model\":");
    push_text(&mut out, model);
    if has_usage {
        let tokens = items.iter().map(|item| item.tokens).fold(0, u64::saturating_add);
        push_number(&mut out, b",\"usage\":{\"prompt_tokens\":", tokens);
        push_number(&mut out, b",\"total_tokens\":", tokens);
        out.push(b'}');
    }
    out.push(b'}');
    out
}

#[expect(clippy::float_arithmetic, reason = "a vector is made of floats; nothing here is money")]
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut numbers: Vec<f64> = Vec::with_capacity(dimensions.next_multiple_of(8));
    for block in 0_u32.. {
        if numbers.len() >= dimensions {
            break;
        }
        let hash = Sha256::new().chain_update(text).chain_update(block.to_be_bytes()).finalize();
        let (words, _) = hash.as_slice().as_chunks::<4>();
        numbers.extend(words.iter().map(|word| f64::from(u32::from_be_bytes(*word)) / 2_147_483_648.0 - 1.0));
    }
    numbers.truncate(dimensions);
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().map(|number| (number / length) as f32).collect()
}
