//! What is read of a request to `messages`, as one table, and what a scan of it collects. What the values may be is
//! `ask.rs`'s.

use crate::body::{Shared, SharedFields, body_fields};
use crate::scan::{Field, Kind, Place, Sink, Value};
use crate::tools::{ToolFields, ToolTag};

/// Every value of a request that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Shared(Shared),
    Messages,
    Message,
    BlockKind,
    Text,
    Source,
    SourceKind,
    CacheTime,
    MaxTokens,
    Thinking,
    Budget,
    Tools(ToolTag),
    ServiceTier,
    Speed,
    Region,
    Servers,
    Container,
}

const CACHE_CONTROL: Field<Tag> =
    Field { name: "cache_control", place: Place::new(None, &[Field::leaf("ttl", Tag::CacheTime)], None) };

/// Blocks in the blocks of a message: what tools and documents hold.
static INNER: Place<Tag> = Place::new(None, INNER_FIELDS, None);
const INNER_FIELDS: &[Field<Tag>] = &[
    Field::leaf("type", Tag::BlockKind),
    Field::leaf("text", Tag::Text),
    Field { name: "source", place: Place::new(Some(Tag::Source), SOURCE, None) },
    Field { name: "content", place: Place::new(Some(Tag::Text), &[], Some(&INNERMOST)) },
    CACHE_CONTROL,
];
static INNERMOST: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("type", Tag::BlockKind),
        Field::leaf("text", Tag::Text),
        Field { name: "source", place: Place::new(Some(Tag::Source), &[Field::leaf("type", Tag::SourceKind)], None) },
        CACHE_CONTROL,
    ],
    None,
);
const SOURCE: &[Field<Tag>] = &[
    Field::leaf("type", Tag::SourceKind),
    Field { name: "content", place: Place::new(Some(Tag::Text), &[], Some(&INNERMOST)) },
];

static BLOCK: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("type", Tag::BlockKind),
        Field::leaf("text", Tag::Text),
        Field::leaf("thinking", Tag::Text),
        Field { name: "source", place: Place::new(Some(Tag::Source), SOURCE, None) },
        Field { name: "content", place: Place::new(Some(Tag::Text), &[], Some(&INNER)) },
        CACHE_CONTROL,
    ],
    None,
);
static MESSAGE: Place<Tag> = Place::new(
    Some(Tag::Message),
    &[
        Field { name: "role", place: Place::UNREAD },
        Field { name: "content", place: Place::new(Some(Tag::Text), &[], Some(&BLOCK)) },
    ],
    None,
);
static TOOL: Place<Tag> = Place::new(
    Some(Tag::Tools(ToolTag::Tool)),
    &[Field::leaf("type", Tag::Tools(ToolTag::Kind)), Field::leaf("name", Tag::Tools(ToolTag::Name)), CACHE_CONTROL],
    None,
);
const TOOL_CHOICE: &[Field<Tag>] =
    &[Field::leaf("type", Tag::Tools(ToolTag::ChoiceKind)), Field::leaf("name", Tag::Tools(ToolTag::ChoiceName))];

/// The top of a request.
pub(super) static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), BODY_FIELDS, None);
const BODY_FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field { name: "messages", place: Place::new(Some(Tag::Messages), &[], Some(&MESSAGE)) },
    Field { name: "system", place: Place::new(Some(Tag::Text), &[], Some(&INNERMOST)) },
    Field::leaf("max_tokens", Tag::MaxTokens),
    Field {
        name: "thinking",
        place: Place::new(Some(Tag::Thinking), &[Field::leaf("budget_tokens", Tag::Budget)], None)
    },
    Field { name: "tools", place: Place::new(Some(Tag::Tools(ToolTag::Tools)), &[], Some(&TOOL)) },
    Field { name: "tool_choice", place: Place::new(Some(Tag::Tools(ToolTag::Choice)), TOOL_CHOICE, None) },
    CACHE_CONTROL,
    Field::leaf("service_tier", Tag::ServiceTier),
    Field::leaf("speed", Tag::Speed),
    Field::leaf("inference_geo", Tag::Region),
    Field::leaf("mcp_servers", Tag::Servers),
    Field::leaf("container", Tag::Container),
);

/// Kinds of blocks whose tokens their bytes bound.
const TEXT_KINDS: [&str; 7] =
    ["text", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result", "tool_reference"];

/// The values of one request.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) shared: SharedFields,
    pub(super) messages: Option<Value>,
    pub(super) max_tokens: Option<Value>,
    pub(super) budget: Option<Value>,
    pub(super) tools: ToolFields,
    pub(super) service_tier: Option<Value>,
    pub(super) speed: Option<Value>,
    pub(super) region: Option<Value>,
    pub(super) servers: Option<Value>,
    pub(super) container: Option<Value>,
    pub(super) message_count: u64,
    /// The first element of `messages` that is not an object.
    pub(super) odd_message: Option<u64>,
    /// UTF-8 bytes of text.
    pub(super) text_bytes: u64,
    /// Whether something makes tokens without bytes: pictures, documents, files.
    pub(super) has_media: bool,
    /// The message with the first source that the server would have to fetch.
    pub(super) remote_media: Option<u64>,
    /// Whether something is to be written to the one-hour cache.
    pub(super) writes_long_cache: bool,
}

/// Collects a request's values while it is scanned.
pub(super) struct Reading<'d> {
    document: &'d [u8],
    pub(super) fields: Box<Fields>,
}

impl<'d> Reading<'d> {
    pub(super) fn new(document: &'d [u8]) -> Self {
        Self { document, fields: Box::default() }
    }
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        let fields = &mut self.fields;
        let is = |word: &str| value.text(self.document).is_some_and(|text| text.equals(word));
        match tag {
            Tag::Shared(tag) => fields.shared.take(tag, value),
            Tag::Messages => fields.messages = Some(value),
            Tag::Message => {
                if !matches!(value.kind, Kind::Object { .. }) && fields.odd_message.is_none() {
                    fields.odd_message = Some(fields.message_count);
                }
                fields.message_count = fields.message_count.saturating_add(1);
            }
            Tag::BlockKind => fields.has_media |= !TEXT_KINDS.into_iter().any(is),
            Tag::Text => {
                if let Some(text) = value.text(self.document) {
                    fields.text_bytes = fields.text_bytes.saturating_add(text.len());
                }
            }
            Tag::Source => fields.has_media |= value.kind != Kind::Null,
            Tag::SourceKind => {
                if is("url") && fields.remote_media.is_none() {
                    fields.remote_media = Some(fields.message_count);
                }
            }
            Tag::CacheTime => fields.writes_long_cache |= value.kind != Kind::Null && !is("5m"),
            Tag::MaxTokens => fields.max_tokens = Some(value),
            Tag::Thinking => {}
            Tag::Budget => fields.budget = Some(value),
            Tag::Tools(tag) => fields.tools.take(tag, value),
            Tag::ServiceTier => fields.service_tier = Some(value),
            Tag::Speed => fields.speed = Some(value),
            Tag::Region => fields.region = Some(value),
            Tag::Servers => fields.servers = Some(value),
            Tag::Container => fields.container = Some(value),
        }
    }
}
