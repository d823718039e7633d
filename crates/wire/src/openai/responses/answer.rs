//! What is read of a response object, which is a whole answer or lies in an event of a stream, and of the event.

use super::names::Shown;
use crate::inference::{Reply, UpstreamFault};
use crate::scan::{Field, Kind, Place, Refused, Sink, Value, scan_lenient};
use crate::splice::Splice;
use crate::usage::{Figure, Figures};
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::meter::UsageSource;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Top,
    Kind,
    Number,
    /// The response object inside an event.
    Response,
    Id,
    Previous,
    Model,
    Status,
    Incomplete,
    Output,
    /// Text, reasoning, the name of a call or its arguments.
    Text,
    /// The same as a piece of an event.
    Delta,
    /// The name of a call that an event begins.
    Name,
    Usage,
    Figure(Figure),
    Error,
}

const USAGE: &[Field<Tag>] = &[
    Field::leaf("input_tokens", Tag::Figure(Figure::Prompt)),
    Field::leaf("output_tokens", Tag::Figure(Figure::Completion)),
    Field::leaf("total_tokens", Tag::Figure(Figure::Total)),
    Field {
        name: "input_tokens_details",
        place: Place::new(
            None,
            &[
                Field::leaf("cached_tokens", Tag::Figure(Figure::Cached)),
                Field::leaf("cache_write_tokens", Tag::Figure(Figure::CacheWrite)),
                Field::leaf("audio_tokens", Tag::Figure(Figure::AudioInput)),
                Field::leaf("image_tokens", Tag::Figure(Figure::ImageInput)),
            ],
            None,
        ),
    },
    Field {
        name: "output_tokens_details",
        place: Place::new(
            None,
            &[
                Field::leaf("reasoning_tokens", Tag::Figure(Figure::Reasoning)),
                Field::leaf("audio_tokens", Tag::Figure(Figure::AudioOutput)),
                Field::leaf("image_tokens", Tag::Figure(Figure::ImageOutput)),
            ],
            None,
        ),
    },
];

static PART: Place<Tag> = Place::new(None, &[Field::leaf("text", Tag::Text), Field::leaf("refusal", Tag::Text)], None);
const PARTS: Place<Tag> = Place::new(None, &[], Some(&PART));
static ITEM: Place<Tag> = Place::new(
    None,
    &[
        Field { name: "content", place: PARTS },
        Field { name: "summary", place: PARTS },
        Field::leaf("name", Tag::Text),
        Field::leaf("arguments", Tag::Text),
        Field::leaf("input", Tag::Text),
    ],
    None,
);

/// The members of a response object.
macro_rules! response_fields {
    ($($more:expr),* $(,)?) => {
        &[
            Field::leaf("id", Tag::Id),
            Field::leaf("previous_response_id", Tag::Previous),
            Field::leaf("model", Tag::Model),
            Field::leaf("status", Tag::Status),
            Field::leaf("incomplete_details", Tag::Incomplete),
            Field::leaf("error", Tag::Error),
            Field { name: "output", place: Place::new(Some(Tag::Output), &[], Some(&ITEM)) },
            Field { name: "usage", place: Place::new(Some(Tag::Usage), USAGE, None) },
            $($more,)*
        ]
    };
}

static WHOLE: Place<Tag> = Place::new(Some(Tag::Top), response_fields!(), None);
static EVENT: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("type", Tag::Kind),
        Field::leaf("sequence_number", Tag::Number),
        Field { name: "response", place: Place::new(Some(Tag::Response), response_fields!(), None) },
        Field::leaf("delta", Tag::Delta),
        Field { name: "item", place: Place::new(None, &[Field::leaf("name", Tag::Name)], None) },
        Field::leaf("error", Tag::Error),
    ],
    None,
);

/// What one document says.
#[derive(Debug)]
pub(super) struct Answer<'d> {
    document: &'d [u8],
    kind: Option<Value>,
    /// The number of an event.
    pub(super) number: Option<u64>,
    /// The response object: of an event, or the document itself.
    pub(super) response: Option<Value>,
    id: Option<Value>,
    previous: Option<Value>,
    model: Option<Value>,
    pub(super) status: Option<Value>,
    pub(super) incomplete: Option<Value>,
    pub(super) error: Option<Value>,
    pub(super) usage: Option<Value>,
    output: Option<Value>,
    pub(super) figures: Figures,
    /// UTF-8 bytes of text and calls in the output.
    pub(super) output_bytes: u64,
    /// The same in the piece that an event brings.
    pub(super) delta_bytes: u64,
    name_bytes: u64,
}

impl<'d> Answer<'d> {
    /// Reads a response object; `Err` when it is no JSON object.
    pub(super) fn whole(document: &'d [u8]) -> Result<Self, Refused> {
        Self::read(document, &WHOLE)
    }

    /// Reads an event; `Err` when it is no JSON object.
    pub(super) fn event(document: &'d [u8]) -> Result<Self, Refused> {
        Self::read(document, &EVENT)
    }

    fn read(document: &'d [u8], place: &'static Place<Tag>) -> Result<Self, Refused> {
        let mut answer = Self {
            document,
            kind: None,
            number: None,
            response: None,
            id: None,
            previous: None,
            model: None,
            status: None,
            incomplete: None,
            error: None,
            usage: None,
            output: None,
            figures: Figures::default(),
            output_bytes: 0,
            delta_bytes: 0,
            name_bytes: 0,
        };
        scan_lenient(document, place, &mut answer)?;
        Ok(answer)
    }

    /// The event's `type`.
    pub(super) fn kind(&self) -> String {
        self.kind.and_then(|kind| kind.text(self.document)).map(|kind| kind.to_text()).unwrap_or_default()
    }

    /// Whether an error object is there, not `null`.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some_and(|error| error.kind != Kind::Null)
    }

    /// The response's status is this.
    pub(super) fn is(&self, status: &str) -> bool {
        self.status.and_then(|value| value.text(self.document)).is_some_and(|text| text.equals(status))
    }

    /// Bytes of a call's name, in the event that begins it.
    pub(super) fn begun_bytes(&self, kind: &str) -> u64 {
        if kind == "response.output_item.added" { self.name_bytes } else { 0 }
    }

    /// Whether it has an id, as every kept response has.
    pub(super) const fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// The upstream's id of the response.
    pub(super) fn id_text(&self) -> Option<String> {
        Some(self.id?.text(self.document)?.to_text())
    }

    /// The caller's names in the place of the upstream's (W8, W13), where a response object is.
    pub(super) fn edit(&self, shown: &Shown, splice: &mut Splice) {
        if let Some(name) = &shown.id {
            let named = [(self.id, name), (self.previous, &shown.previous)];
            for (value, name) in named.into_iter().filter_map(|(value, name)| Some((value?, name))) {
                splice.replace(value.span(), name.clone());
            }
        }
        match (self.model, self.response) {
            (Some(model), _) if model.raw(self.document) == shown.model => {}
            (Some(model), _) => splice.replace(model.span(), shown.model.clone()),
            (None, Some(response)) if response.kind == (Kind::Object { is_empty: false }) => {
                let member = [b"\"model\":", &shown.model[..], b","].concat();
                splice.insert(response.start().saturating_add(1), member);
            }
            (None, _) => {}
        }
    }
}

impl Sink<Tag> for Answer<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        let bytes = || value.text(self.document).map_or(0, |text| text.len());
        match tag {
            Tag::Top | Tag::Response => self.response = Some(value),
            Tag::Kind => self.kind = Some(value),
            Tag::Number => self.number = crate::scan::plain_integer(value.raw(self.document)),
            Tag::Id => self.id = Some(value),
            Tag::Previous => self.previous = Some(value).filter(|value| value.kind != Kind::Null),
            Tag::Model => self.model = Some(value),
            Tag::Status => self.status = Some(value),
            Tag::Incomplete => self.incomplete = Some(value),
            Tag::Output => self.output = Some(value).filter(|value| matches!(value.kind, Kind::List { .. })),
            Tag::Text => self.output_bytes = self.output_bytes.saturating_add(bytes()),
            Tag::Delta => self.delta_bytes = self.delta_bytes.saturating_add(bytes()),
            Tag::Name => self.name_bytes = bytes(),
            Tag::Usage => self.usage = Some(value),
            Tag::Figure(figure) => self.figures.take(figure, value, self.document),
            Tag::Error => self.error = Some(value),
        }
    }
}

/// A whole response with the caller's model id. Refuses what is not JSON, an error under a 200, a response that failed,
/// and what has no output.
pub(super) fn read_reply(body: Bytes, shown: &Shown, dialect: Dialect) -> Result<Reply, UpstreamFault> {
    let answer = Answer::whole(&body).map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error() || answer.is("failed") || answer.is("cancelled") {
        return Err(UpstreamFault::reported(&body));
    }
    if answer.output.is_none() {
        return Err(UpstreamFault::unreadable("The answer is no response."));
    }
    let mut splice = Splice::new();
    answer.edit(shown, &mut splice);
    let has_content = answer.output_bytes > 0;
    Ok(Reply {
        usage: answer.figures.usage(dialect, UsageSource::UpstreamFinal, has_content),
        has_content,
        content_bytes: answer.output_bytes,
        is_finished: answer.is("completed") || answer.is("incomplete"),
        body: splice.apply_whole(&body),
    })
}

/// A compacted conversation: what is in it is for the model alone, so all of it counts.
pub(super) fn read_compacted(body: Bytes, shown: &Shown, dialect: Dialect) -> Result<Reply, UpstreamFault> {
    let answer = Answer::whole(&body).map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error() {
        return Err(UpstreamFault::reported(&body));
    }
    let Some(output) = answer.output else { return Err(UpstreamFault::unreadable("The answer is no compaction.")) };
    let mut splice = Splice::new();
    // Its object has no model, and gets none.
    let answer_names = Answer { response: None, ..answer };
    answer_names.edit(shown, &mut splice);
    let has_content = output.kind == (Kind::List { is_empty: false });
    let output_bytes = u64::try_from(output.span().len()).unwrap_or(u64::MAX);
    Ok(Reply {
        usage: answer_names.figures.usage(dialect, UsageSource::UpstreamFinal, has_content),
        has_content,
        content_bytes: if has_content { output_bytes } else { 0 },
        is_finished: true,
        body: splice.apply_whole(&body),
    })
}
