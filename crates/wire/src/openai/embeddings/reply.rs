//! Vectors in the form the caller expects (W14), the caller's model id, and what was used.

use super::EmbeddingsAsk;
use super::ask::Form;
use crate::inference::{Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use crate::splice::Splice;
use crate::usage::{Figure, Figures, usage_fields};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::meter::UsageSource;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Top,
    Model,
    Data,
    Vector,
    Usage,
    Figure(Figure),
    Error,
}

static ITEM: Place<Tag> = Place::new(None, &[Field::leaf("embedding", Tag::Vector)], None);
static ANSWER: Place<Tag> = Place::new(
    Some(Tag::Top),
    &[
        Field::leaf("model", Tag::Model),
        Field { name: "data", place: Place::new(Some(Tag::Data), &[], Some(&ITEM)) },
        Field { name: "usage", place: Place::new(Some(Tag::Usage), USAGE, None) },
        Field::leaf("error", Tag::Error),
    ],
    None,
);
const USAGE: &[Field<Tag>] = usage_fields!(Tag::Figure);

/// What an answer says.
#[derive(Default)]
struct Answer<'d> {
    document: &'d [u8],
    top: usize,
    model: Option<Value>,
    has_data: bool,
    vectors: Vec<Value>,
    figures: Figures,
    is_error: bool,
}

impl Sink<Tag> for Answer<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Top => self.top = value.start(),
            Tag::Model => self.model = Some(value),
            Tag::Data => self.has_data = matches!(value.kind, Kind::List { .. }),
            Tag::Vector => self.vectors.push(value),
            Tag::Usage => {}
            Tag::Figure(figure) => self.figures.take(figure, value, self.document),
            Tag::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}

/// Refuses what is not JSON, an error object under a 200, another number of vectors than was asked for, and a vector that
/// is neither numbers nor base64 of them.
pub(super) fn read(body: Bytes, ask: &EmbeddingsAsk, dialect: Dialect) -> Result<Reply, UpstreamFault> {
    let mut answer = Answer { document: &body, ..Answer::default() };
    scan_lenient(&body, &ANSWER, &mut answer)
        .map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error {
        return Err(UpstreamFault::reported(&body));
    }
    if !answer.has_data || u64::try_from(answer.vectors.len()) != Ok(ask.inputs.inputs) {
        return Err(UpstreamFault::unreadable("The answer has not one vector for each input."));
    }
    let mut splice = Splice::new();
    match answer.model {
        Some(model) if model.raw(&body) == ask.model.json => {}
        Some(model) => splice.replace(model.span(), ask.model.json.clone()),
        None => splice.insert(answer.top.saturating_add(1), [b"\"model\":", &ask.model.json[..], b","].concat()),
    }
    for vector in &answer.vectors {
        if let Some(text) = converted(*vector, &body, ask.form)? {
            splice.replace(vector.span(), text);
        }
    }
    Ok(Reply {
        usage: answer.figures.usage(dialect, UsageSource::UpstreamFinal, false),
        has_content: true,
        content_bytes: 0,
        is_finished: true,
        body: splice.apply_whole(&body),
    })
}

/// The vector in the form that was asked for; `None` when it has it.
fn converted(vector: Value, document: &[u8], form: Form) -> Result<Option<Vec<u8>>, UpstreamFault> {
    let unreadable = || UpstreamFault::unreadable("A vector is neither a list of numbers nor base64 of them.");
    match (vector.kind, form) {
        (Kind::List { .. }, form) => {
            let list = vector.raw(document);
            let flat = flat(list)?;
            match form {
                Form::Floats if flat.len() == list.len() => Ok(None),
                Form::Floats => Ok(Some(flat.to_vec())),
                Form::Base64 => encoded(flat).map(Some).ok_or_else(unreadable),
            }
        }
        (Kind::Text { .. }, Form::Base64) => Ok(None),
        (Kind::Text { .. }, Form::Floats) => {
            let text = vector.text(document).map(|text| text.resolved()).unwrap_or_default();
            listed(&text).map(Some).ok_or_else(unreadable)
        }
        _ => Err(unreadable()),
    }
}

/// The list of numbers itself. llama.cpp wraps it once more; where it does not pool, one list stands there for each token,
/// which is no vector of the input.
fn flat(list: &[u8]) -> Result<&[u8], UpstreamFault> {
    let inner = list.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or_default();
    let inner = inner.trim_ascii();
    if !inner.starts_with(b"[") {
        return Ok(list);
    }
    let is_one = inner.iter().filter(|byte| **byte == b'[').count() == 1 && inner.ends_with(b"]");
    let why = "There is one vector for each token: the server must be started with a kind of pooling.";
    if is_one { Ok(inner) } else { Err(UpstreamFault::unreadable(why)) }
}

/// A list of numbers as base64 of little-endian 32-bit floats, in quotes.
fn encoded(list: &[u8]) -> Option<Vec<u8>> {
    let inner = std::str::from_utf8(list).ok()?.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut bytes = Vec::with_capacity(inner.len() / 4);
    for number in inner.split(',').map(str::trim).filter(|number| !number.is_empty()) {
        bytes.extend_from_slice(&number.parse::<f32>().ok()?.to_le_bytes());
    }
    let mut out = vec![b'"'];
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
    Some(out)
}

/// Base64 of little-endian 32-bit floats as a list of numbers; each in as many digits as tell it from its neighbours.
fn listed(text: &[u8]) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, []) = bytes.as_chunks::<4>() else { return None };
    let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    // What JSON cannot say would come out as null.
    numbers.iter().all(|number| number.is_finite()).then(|| serde_json::to_vec(&numbers).ok()).flatten()
}
