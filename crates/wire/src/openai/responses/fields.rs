//! What is read of a request, as one table, and what a scan of it collects. What the values may be is `ask.rs`'s.

use crate::body::{Shared, SharedFields, body_fields};
use crate::scan::{Field, Kind, Place, Sink, Value};
use crate::tools::{ToolFields, ToolTag};

/// Every value of a request that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Shared(Shared),
    Input,
    Item,
    ItemKind,
    Text,
    PartKind,
    Url,
    MaxOutputTokens,
    Background,
    Store,
    Previous,
    Conversation,
    Prompt,
    Tools(ToolTag),
    ServiceTier,
}

static PART: Place<Tag> = Place::new(None, PART_FIELDS, None);
const PART_FIELDS: &[Field<Tag>] = &[
    Field::leaf("type", Tag::PartKind),
    Field::leaf("text", Tag::Text),
    Field::leaf("refusal", Tag::Text),
    Field::leaf("image_url", Tag::Url),
    Field::leaf("file_url", Tag::Url),
    Field { name: "file_id", place: Place::UNREAD },
];
const PARTS: Place<Tag> = Place::new(Some(Tag::Text), &[], Some(&PART));

static ITEM: Place<Tag> = Place::new(
    Some(Tag::Item),
    &[
        Field::leaf("type", Tag::ItemKind),
        Field { name: "role", place: Place::UNREAD },
        Field { name: "id", place: Place::UNREAD },
        Field { name: "content", place: PARTS },
        Field { name: "summary", place: PARTS },
        Field { name: "output", place: Place::new(Some(Tag::Text), PART_FIELDS, Some(&PART)) },
        Field::leaf("arguments", Tag::Text),
        Field::leaf("input", Tag::Text),
    ],
    None,
);

static TOOL: Place<Tag> =
    Place::new(Some(Tag::Tools(ToolTag::Tool)), &[Field::leaf("type", Tag::Tools(ToolTag::Kind))], None);
static ALLOWED_TOOL: Place<Tag> = Place::new(None, &[Field::leaf("type", Tag::Tools(ToolTag::ChoiceKind))], None);
const TOOL_CHOICE: &[Field<Tag>] = &[
    Field::leaf("type", Tag::Tools(ToolTag::ChoiceKind)),
    Field { name: "tools", place: Place::new(None, &[], Some(&ALLOWED_TOOL)) },
];

/// The top of a request.
pub(super) static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), BODY_FIELDS, None);
const BODY_FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    Field { name: "input", place: Place::new(Some(Tag::Input), &[], Some(&ITEM)) },
    Field::leaf("instructions", Tag::Text),
    Field::leaf("max_output_tokens", Tag::MaxOutputTokens),
    Field::leaf("background", Tag::Background),
    Field::leaf("store", Tag::Store),
    Field::leaf("previous_response_id", Tag::Previous),
    Field::leaf("conversation", Tag::Conversation),
    Field::leaf("prompt", Tag::Prompt),
    Field { name: "tools", place: Place::new(Some(Tag::Tools(ToolTag::Tools)), &[], Some(&TOOL)) },
    Field { name: "tool_choice", place: Place::new(Some(Tag::Tools(ToolTag::Choice)), TOOL_CHOICE, None) },
    Field::leaf("parallel_tool_calls", Tag::Tools(ToolTag::Parallel)),
    Field::leaf("service_tier", Tag::ServiceTier),
);

/// Kinds of parts whose tokens their bytes bound.
const TEXT_PARTS: [&str; 6] = ["input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"];

/// Kinds of items whose tokens their bytes bound; one without a kind is a message.
const TEXT_ITEMS: [&str; 13] = [
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "compaction",
];

/// The values of one request.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) shared: SharedFields,
    pub(super) input: Option<Value>,
    pub(super) max_output_tokens: Option<Value>,
    pub(super) background: Option<Value>,
    pub(super) store: Option<Value>,
    pub(super) previous: Option<Value>,
    pub(super) conversation: Option<Value>,
    pub(super) prompt: Option<Value>,
    pub(super) tools: ToolFields,
    pub(super) service_tier: Option<Value>,
    pub(super) item_count: u64,
    /// The first item that stands for one of an earlier answer, by its id.
    pub(super) reference: Option<u64>,
    /// UTF-8 bytes of text.
    pub(super) text_bytes: u64,
    /// Whether something makes tokens without bytes: media, files, a stored prompt.
    pub(super) has_media: bool,
    /// The item with the first media URL that is not a `data:` one.
    pub(super) remote_media: Option<u64>,
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
        let text = value.text(self.document);
        let is = |word: &str| text.is_some_and(|text| text.equals(word));
        match tag {
            Tag::Shared(tag) => fields.shared.take(tag, value),
            Tag::Input => {
                fields.input = Some(value);
                fields.text_bytes = fields.text_bytes.saturating_add(text.map_or(0, |text| text.len()));
            }
            Tag::Item => fields.item_count = fields.item_count.saturating_add(1),
            Tag::ItemKind => {
                fields.has_media |= value.kind != Kind::Null && !TEXT_ITEMS.into_iter().any(is);
                if is("item_reference") && fields.reference.is_none() {
                    fields.reference = Some(fields.item_count);
                }
            }
            Tag::PartKind => fields.has_media |= !TEXT_PARTS.into_iter().any(is),
            Tag::Text => fields.text_bytes = fields.text_bytes.saturating_add(text.map_or(0, |text| text.len())),
            Tag::Url => {
                let is_data = text.is_some_and(|url| {
                    url.resolved().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
                });
                if value.kind != Kind::Null && !is_data && fields.remote_media.is_none() {
                    fields.remote_media = Some(fields.item_count);
                }
            }
            Tag::MaxOutputTokens => fields.max_output_tokens = Some(value),
            Tag::Background => fields.background = Some(value),
            Tag::Store => fields.store = Some(value),
            Tag::Previous => fields.previous = Some(value),
            Tag::Conversation => fields.conversation = Some(value),
            Tag::Prompt => {
                fields.has_media |= value.kind != Kind::Null;
                fields.prompt = Some(value);
            }
            Tag::Tools(tag) => fields.tools.take(tag, value),
            Tag::ServiceTier => fields.service_tier = Some(value),
        }
    }
}
