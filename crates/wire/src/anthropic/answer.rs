//! What is read of an answer, whole or one event of a stream: a message, or what is added to one.

use super::usage::{Figure, Figures, usage_fields};
use crate::inference::{Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Refused, Sink, Value, scan_lenient};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::meter::UsageSource;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Top,
    Kind,
    Model,
    Message,
    Content,
    Index,
    /// Text, thinking, the name of a call or its arguments.
    Text,
    /// The arguments of a call, as an object.
    Input,
    Stop,
    Figure(Figure),
    Error,
}

const USAGE: Field<Tag> = Field { name: "usage", place: Place::new(None, usage_fields!(Tag::Figure), None) };
const BLOCK: &[Field<Tag>] = &[
    Field::leaf("text", Tag::Text),
    Field::leaf("thinking", Tag::Text),
    Field::leaf("name", Tag::Text),
    Field::leaf("input", Tag::Input),
    Field::leaf("partial_json", Tag::Text),
    Field::leaf("stop_reason", Tag::Stop),
];
static CONTENT_BLOCK: Place<Tag> = Place::new(None, BLOCK, None);
static ANSWER: Place<Tag> = Place::new(
    Some(Tag::Top),
    &[
        Field::leaf("type", Tag::Kind),
        Field::leaf("model", Tag::Model),
        Field { name: "content", place: Place::new(Some(Tag::Content), &[], Some(&CONTENT_BLOCK)) },
        Field::leaf("stop_reason", Tag::Stop),
        USAGE,
        Field::leaf("error", Tag::Error),
        // Of events.
        Field {
            name: "message",
            place: Place::new(Some(Tag::Message), &[Field::leaf("model", Tag::Model), USAGE], None),
        },
        Field::leaf("index", Tag::Index),
        Field { name: "content_block", place: Place::new(None, BLOCK, None) },
        Field { name: "delta", place: Place::new(None, BLOCK, None) },
    ],
    None,
);

/// What one document says.
#[derive(Debug)]
pub(super) struct Answer<'d> {
    document: &'d [u8],
    top: usize,
    kind: Option<Value>,
    model: Option<Value>,
    message: Option<Value>,
    content: Option<Value>,
    pub(super) index: Option<u64>,
    stop: Option<Value>,
    pub(super) figures: Figures,
    /// UTF-8 bytes of text and calls.
    pub(super) content_bytes: u64,
    is_error: bool,
}

impl<'d> Answer<'d> {
    /// Reads a document; `Err` when it is no JSON object.
    pub(super) fn read(document: &'d [u8]) -> Result<Self, Refused> {
        let mut answer = Self {
            document,
            top: 0,
            kind: None,
            model: None,
            message: None,
            content: None,
            index: None,
            stop: None,
            figures: Figures::default(),
            content_bytes: 0,
            is_error: false,
        };
        scan_lenient(document, &ANSWER, &mut answer)?;
        Ok(answer)
    }

    /// Its `type`.
    pub(super) fn kind(&self) -> String {
        self.kind.and_then(|kind| kind.text(self.document)).map(|kind| kind.to_text()).unwrap_or_default()
    }

    /// Whether it tells of an error.
    pub(super) fn is_error(&self) -> bool {
        self.is_error || self.kind() == "error"
    }

    /// Whether it says why the message ends.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.kind != Kind::Null)
    }

    /// The caller's id in the place of the upstream's (W8), where a message is.
    pub(super) fn edit(&self, model_json: &Bytes, splice: &mut Splice) {
        let member = || [b"\"model\":", &model_json[..], b","].concat();
        match (self.model, self.message) {
            (Some(model), _) if model.raw(self.document) == model_json => {}
            (Some(model), _) => splice.replace(model.span(), model_json.clone()),
            (None, Some(message)) if message.kind == (Kind::Object { is_empty: false }) => {
                splice.insert(message.start().saturating_add(1), member());
            }
            (None, None) if self.content.is_some() => splice.insert(self.top.saturating_add(1), member()),
            (None, _) => {}
        }
    }
}

impl Sink<Tag> for Answer<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Top => self.top = value.start(),
            Tag::Kind => self.kind = Some(value),
            Tag::Model => self.model = Some(value),
            Tag::Message => self.message = Some(value),
            Tag::Content => self.content = Some(value).filter(|value| matches!(value.kind, Kind::List { .. })),
            Tag::Index => self.index = crate::scan::plain_integer(value.raw(self.document)),
            Tag::Text => {
                let bytes = value.text(self.document).map_or(0, |text| text.len());
                self.content_bytes = self.content_bytes.saturating_add(bytes);
            }
            Tag::Input => {
                if value.kind == (Kind::Object { is_empty: false }) {
                    let bytes = u64::try_from(value.span().len()).unwrap_or(u64::MAX);
                    self.content_bytes = self.content_bytes.saturating_add(bytes);
                }
            }
            Tag::Stop => self.stop = Some(value),
            Tag::Figure(figure) => self.figures.take(figure, value, self.document),
            Tag::Error => self.is_error |= value.kind != Kind::Null,
        }
    }
}

/// A whole message with the caller's model id. Refuses what is not JSON, an error object under a 200, and what has no
/// content.
pub(super) fn read_reply(body: Bytes, model_json: &Bytes) -> Result<Reply, UpstreamFault> {
    let answer = Answer::read(&body).map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error() {
        return Err(UpstreamFault::reported(&body));
    }
    if answer.content.is_none() {
        return Err(UpstreamFault::unreadable("The answer is no message."));
    }
    let mut splice = Splice::new();
    answer.edit(model_json, &mut splice);
    let has_content = answer.content_bytes > 0;
    Ok(Reply {
        usage: answer.figures.usage(UsageSource::UpstreamFinal, has_content),
        has_content,
        content_bytes: answer.content_bytes,
        is_finished: answer.is_stopped(),
        body: splice.apply_whole(&body),
    })
}
