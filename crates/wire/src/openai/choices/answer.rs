//! What is read of an answer, whole or one chunk of a stream: the same members, `message`, `delta` or `text`.

use crate::scan::{Field, Kind, Place, Refused, Sink, Value, scan_lenient};
use crate::splice::Splice;
use crate::usage::{Figure, Figures, usage_fields};
use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Top,
    Id,
    Created,
    Model,
    Usage,
    Figure(Figure),
    Error,
    /// `message` at the top: a flat error (SGLang).
    FlatMessage,
    Choices,
    Choice,
    Index,
    Finish,
    /// Text, reasoning or a refusal; also a list of parts.
    Text,
    /// The name or the arguments of a call.
    Call,
    /// A list of tool calls.
    Calls,
    /// Audio or images.
    Media,
}

static TEXT_PART: Place<Tag> = Place::new(None, &[Field::leaf("text", Tag::Text)], None);
const CALL: &[Field<Tag>] =
    &[Field::leaf("name", Tag::Call), Field::leaf("arguments", Tag::Call), Field::leaf("input", Tag::Call)];
static TOOL_CALL: Place<Tag> = Place::new(
    None,
    &[
        Field { name: "function", place: Place::new(None, CALL, None) },
        Field { name: "custom", place: Place::new(None, CALL, None) },
    ],
    None,
);
const MESSAGE: &[Field<Tag>] = &[
    Field { name: "content", place: Place::new(Some(Tag::Text), &[], Some(&TEXT_PART)) },
    Field::leaf("reasoning", Tag::Text),
    Field::leaf("reasoning_content", Tag::Text),
    Field::leaf("refusal", Tag::Text),
    Field { name: "tool_calls", place: Place::new(Some(Tag::Calls), &[], Some(&TOOL_CALL)) },
    Field { name: "function_call", place: Place::new(None, CALL, None) },
    Field {
        name: "audio",
        place: Place::new(None, &[Field::leaf("data", Tag::Media), Field::leaf("transcript", Tag::Text)], None),
    },
    Field::leaf("images", Tag::Media),
];
static CHOICE: Place<Tag> = Place::new(
    Some(Tag::Choice),
    &[
        Field::leaf("index", Tag::Index),
        Field::leaf("finish_reason", Tag::Finish),
        Field::leaf("text", Tag::Text),
        Field { name: "delta", place: Place::new(None, MESSAGE, None) },
        Field { name: "message", place: Place::new(None, MESSAGE, None) },
    ],
    None,
);
static ANSWER: Place<Tag> = Place::new(
    Some(Tag::Top),
    &[
        Field::leaf("id", Tag::Id),
        Field::leaf("created", Tag::Created),
        Field::leaf("model", Tag::Model),
        Field { name: "choices", place: Place::new(Some(Tag::Choices), &[], Some(&CHOICE)) },
        Field { name: "usage", place: Place::new(Some(Tag::Usage), USAGE, None) },
        Field::leaf("error", Tag::Error),
        Field::leaf("message", Tag::FlatMessage),
    ],
    None,
);
const USAGE: &[Field<Tag>] = usage_fields!(Tag::Figure);

/// What one answer or chunk says. Choices are bits: index 127 stands for all beyond.
#[derive(Debug)]
pub(super) struct Answer<'d> {
    document: &'d [u8],
    pub(super) top: usize,
    pub(super) id: Option<Value>,
    pub(super) created: Option<Value>,
    pub(super) model: Option<Value>,
    pub(super) usage: Option<Value>,
    pub(super) figures: Figures,
    pub(super) choices: Option<Value>,
    pub(super) seen: u128,
    pub(super) finished: u128,
    /// UTF-8 bytes of text and calls.
    pub(super) content_bytes: u64,
    /// Choices of this document with content.
    pub(super) content_chunks: u64,
    /// An error object, or a choice that ended with an error.
    pub(super) is_error: bool,
    /// Finish reasons no client knows, and what they become.
    odd_finishes: Vec<(Value, &'static str)>,
    has_flat_message: bool,
    choice: Choice,
    /// What counted as content: the last of it, and how often something did.
    counted: Option<Value>,
    counted_times: u32,
}

/// The choice being read.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    index: u32,
    is_finished: bool,
    has_content: bool,
}

impl<'d> Answer<'d> {
    /// Reads a document; `Err` when it is no JSON object.
    pub(super) fn read(document: &'d [u8]) -> Result<Self, Refused> {
        let mut answer = Self {
            document,
            top: 0,
            id: None,
            created: None,
            model: None,
            usage: None,
            figures: Figures::default(),
            choices: None,
            seen: 0,
            finished: 0,
            content_bytes: 0,
            content_chunks: 0,
            is_error: false,
            odd_finishes: Vec::new(),
            has_flat_message: false,
            choice: Choice::default(),
            counted: None,
            counted_times: 0,
        };
        scan_lenient(document, &ANSWER, &mut answer)?;
        answer.is_error |= answer.choices.is_none() && answer.has_flat_message;
        Ok(answer)
    }

    /// Whether the list of choices is there and empty.
    pub(super) fn has_no_choice(&self) -> bool {
        self.choices.is_some_and(|choices| choices.kind == Kind::List { is_empty: true })
    }

    /// Whether a usage object is there, not `null`.
    pub(super) fn has_usage(&self) -> bool {
        self.usage.is_some_and(|usage| usage.kind != Kind::Null)
    }

    /// The one text in an answer that has nothing else to say: with another text in its place only the content's length
    /// would differ.
    pub(super) fn only_text(&self) -> Option<Value> {
        let is_only = self.counted_times == 1 && self.finished == 0 && !self.is_error && self.figures.is_empty();
        self.counted.filter(|_| is_only && !self.has_usage())
    }

    /// The caller's id in the place of the upstream's (W8), and finish reasons that every client knows (2.1).
    pub(super) fn edit(&self, model_json: &Bytes, splice: &mut Splice) {
        match self.model {
            Some(model) if model.raw(self.document) == model_json => {}
            Some(model) => splice.replace(model.span(), model_json.clone()),
            None => {
                let mut member = Vec::with_capacity(model_json.len() + 9);
                member.extend_from_slice(b"\"model\":");
                member.extend_from_slice(model_json);
                member.push(b',');
                splice.insert(self.top + 1, member);
            }
        }
        for (value, reason) in &self.odd_finishes {
            splice.replace(value.span(), *reason);
        }
    }

    fn finish(&mut self, value: Value) {
        let Some(text) = value.text(self.document) else {
            self.choice.is_finished |= value.kind != Kind::Null;
            if value.kind != Kind::Null {
                self.odd_finishes.push((value, "\"stop\""));
            }
            return;
        };
        const KNOWN: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];
        if text.is_empty() {
            return self.odd_finishes.push((value, "null"));
        }
        self.choice.is_finished = true;
        if KNOWN.iter().any(|known| text.equals(known)) {
            return;
        }
        match text.to_text().as_str() {
            // vLLM and SGLang end so a request that the engine gave up.
            "error" | "abort" => self.is_error = true,
            "max_tokens" | "max_length" | "model_length" => self.odd_finishes.push((value, "\"length\"")),
            "tool_use" | "tool_call" => self.odd_finishes.push((value, "\"tool_calls\"")),
            "safety" | "content-filter" => self.odd_finishes.push((value, "\"content_filter\"")),
            _ => self.odd_finishes.push((value, "\"stop\"")),
        }
    }

    fn end_choice(&mut self) {
        let choice = std::mem::take(&mut self.choice);
        let bit = 1_u128 << choice.index.min(127);
        self.seen |= bit;
        if choice.is_finished {
            self.finished |= bit;
        }
        self.content_chunks += u64::from(choice.has_content);
    }

    fn count(&mut self, value: Value) {
        let Some(text) = value.text(self.document) else { return };
        self.counted = Some(value);
        self.counted_times += 1;
        self.content_bytes = self.content_bytes.saturating_add(text.len());
        self.choice.has_content |= !text.is_empty();
    }
}

impl Sink<Tag> for Answer<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Top => self.top = value.start(),
            Tag::Id => self.id = Some(value),
            Tag::Created => self.created = Some(value),
            Tag::Model => self.model = Some(value),
            Tag::Usage => self.usage = Some(value),
            Tag::Figure(figure) => self.figures.take(figure, value, self.document),
            Tag::Error => self.is_error |= value.kind != Kind::Null,
            Tag::FlatMessage => self.has_flat_message |= matches!(value.kind, Kind::Text { .. }),
            Tag::Choices => self.choices = Some(value),
            Tag::Choice => self.end_choice(),
            Tag::Index => {
                let index = std::str::from_utf8(value.raw(self.document)).ok().and_then(|text| text.parse().ok());
                self.choice.index = index.unwrap_or_default();
            }
            Tag::Finish => self.finish(value),
            Tag::Text | Tag::Call => self.count(value),
            Tag::Calls | Tag::Media => {
                let is_empty = matches!(value.kind, Kind::Null | Kind::List { is_empty: true });
                let is_blank = value.text(self.document).is_some_and(|text| text.is_empty());
                self.choice.has_content |= !is_empty && !is_blank;
                self.counted_times += 2;
            }
        }
    }
}
