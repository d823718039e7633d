//! What is read of a chat request, as one table, and what a scan of it collects. What the values may be is `ask.rs`'s.

use crate::body::{Shared, SharedFields, body_fields};
use crate::openai::choices::{UsageAsk, usage_ask_field};
use crate::scan::{Field, Kind, Place, Sink, Value};
use crate::tools::{ToolFields, ToolTag};

/// Every value of a request that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Shared(Shared),
    Messages,
    Message,
    MessageAudio,
    Content,
    Part,
    PartKind,
    PartText,
    Url,
    StreamOptions,
    IncludeUsage,
    RunningUsage,
    Choices,
    BestOf,
    MaxTokens,
    MaxCompletionTokens,
    Tools(ToolTag),
    Modality,
    ServiceTier,
    WebSearch,
    Prediction,
    CacheKey,
    Template,
}

/// A member that is only reserved, so that nothing may fold to it.
const fn reserved(name: &'static str) -> Field<Tag> {
    Field { name, place: Place::UNREAD }
}

const fn object(name: &'static str, tag: Option<Tag>, fields: &'static [Field<Tag>]) -> Field<Tag> {
    Field { name, place: Place::new(tag, fields, None) }
}

const fn list(name: &'static str, tag: Option<Tag>, elements: &'static Place<Tag>) -> Field<Tag> {
    Field { name, place: Place::new(tag, &[], Some(elements)) }
}

static PART: Place<Tag> = Place::new(Some(Tag::Part), PART_FIELDS, None);
const URL: &[Field<Tag>] = &[Field::leaf("url", Tag::Url)];
const PART_FIELDS: &[Field<Tag>] = &[
    Field::leaf("type", Tag::PartKind),
    Field::leaf("text", Tag::PartText),
    Field::leaf("refusal", Tag::PartText),
    object("image_url", Some(Tag::Url), URL),
    object("audio_url", Some(Tag::Url), URL),
    object("video_url", Some(Tag::Url), URL),
    object("input_audio", None, &[]),
    object("file", None, &[]),
];

static MESSAGE: Place<Tag> = Place::new(Some(Tag::Message), MESSAGE_FIELDS, None);
const MESSAGE_FIELDS: &[Field<Tag>] = &[
    reserved("role"),
    list("content", Some(Tag::Content), &PART),
    Field::leaf("audio", Tag::MessageAudio),
    reserved("tool_calls"),
    reserved("tool_call_id"),
    reserved("name"),
];

static TOOL: Place<Tag> =
    Place::new(Some(Tag::Tools(ToolTag::Tool)), &[Field::leaf("type", Tag::Tools(ToolTag::Kind))], None);
static ALLOWED_TOOL: Place<Tag> = Place::new(None, &[Field::leaf("type", Tag::Tools(ToolTag::ChoiceKind))], None);
static MODALITY: Place<Tag> = Place::leaf(Tag::Modality);

const TOOL_CHOICE: &[Field<Tag>] =
    &[Field::leaf("type", Tag::Tools(ToolTag::ChoiceKind)), object("allowed_tools", None, ALLOWED_TOOLS)];
const ALLOWED_TOOLS: &[Field<Tag>] = &[list("tools", None, &ALLOWED_TOOL)];

/// The top of a chat request.
pub(super) static BODY: Place<Tag> = Place::new(Some(Tag::Shared(Shared::Body)), BODY_FIELDS, None);
const BODY_FIELDS: &[Field<Tag>] = body_fields!(Tag::Shared;
    list("messages", Some(Tag::Messages), &MESSAGE),
    usage_ask_field!(Tag::StreamOptions, Tag::IncludeUsage, Tag::RunningUsage),
    Field::leaf("n", Tag::Choices),
    Field::leaf("best_of", Tag::BestOf),
    Field::leaf("max_tokens", Tag::MaxTokens),
    Field::leaf("max_completion_tokens", Tag::MaxCompletionTokens),
    list("tools", Some(Tag::Tools(ToolTag::Tools)), &TOOL),
    object("tool_choice", Some(Tag::Tools(ToolTag::Choice)), TOOL_CHOICE),
    Field::leaf("parallel_tool_calls", Tag::Tools(ToolTag::Parallel)),
    list("modalities", Some(Tag::Modality), &MODALITY),
    Field::leaf("service_tier", Tag::ServiceTier),
    Field::leaf("web_search_options", Tag::WebSearch),
    Field::leaf("prediction", Tag::Prediction),
    Field::leaf("prompt_cache_key", Tag::CacheKey),
    // vLLM renders the prompt by it: a loop makes tokens without bytes.
    Field::leaf("chat_template", Tag::Template),
);

/// The values of one request.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) shared: SharedFields,
    pub(super) messages: Option<Value>,
    pub(super) usage_ask: UsageAsk,
    pub(super) choices: Option<Value>,
    pub(super) best_of: Option<Value>,
    pub(super) max_tokens: Option<Value>,
    pub(super) max_completion_tokens: Option<Value>,
    pub(super) tools: ToolFields,
    /// The first modality other than text.
    pub(super) modality: Option<Value>,
    pub(super) service_tier: Option<Value>,
    pub(super) web_search: Option<Value>,
    pub(super) prediction: Option<Value>,
    pub(super) cache_key: Option<Value>,
    pub(super) message_count: u64,
    /// The first element of `messages` that is not an object.
    pub(super) odd_message: Option<u64>,
    /// UTF-8 bytes of the messages' text.
    pub(super) text_bytes: u64,
    /// Whether something makes tokens without bytes: media, a stored audio, a template.
    pub(super) has_media: bool,
    /// The path of the first media URL that is not a `data:` one.
    pub(super) remote_media: Option<String>,
}

/// Collects a request's values while it is scanned.
pub(super) struct Reading<'d> {
    document: &'d [u8],
    pub(super) fields: Box<Fields>,
    part_number: u64,
    part_kind: Option<Value>,
    part_has_text: bool,
    part_url_is_remote: bool,
}

impl<'d> Reading<'d> {
    pub(super) fn new(document: &'d [u8]) -> Self {
        Self {
            document,
            fields: Box::default(),
            part_number: 0,
            part_kind: None,
            part_has_text: false,
            part_url_is_remote: false,
        }
    }

    fn count_text(&mut self, value: Value) {
        if let Some(text) = value.text(self.document) {
            self.fields.text_bytes = self.fields.text_bytes.saturating_add(text.len());
        }
    }

    fn end_part(&mut self) {
        let kind = self.part_kind.take().and_then(|kind| kind.text(self.document));
        let is_text = match kind {
            Some(kind) => kind.equals("text") || kind.equals("refusal"),
            None => self.part_has_text,
        };
        self.fields.has_media |= !is_text || self.part_url_is_remote;
        if std::mem::take(&mut self.part_url_is_remote) && self.fields.remote_media.is_none() {
            let (message, part) = (self.fields.message_count, self.part_number);
            self.fields.remote_media = Some(format!("messages[{message}].content[{part}]"));
        }
        self.part_has_text = false;
        self.part_number = self.part_number.saturating_add(1);
    }

    fn end_message(&mut self, value: Value) {
        if !matches!(value.kind, Kind::Object { .. }) && self.fields.odd_message.is_none() {
            self.fields.odd_message = Some(self.fields.message_count);
        }
        self.fields.message_count = self.fields.message_count.saturating_add(1);
        self.part_number = 0;
    }
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        let fields = &mut self.fields;
        match tag {
            Tag::Shared(tag) => fields.shared.take(tag, value),
            Tag::Messages => fields.messages = Some(value),
            Tag::Message => self.end_message(value),
            Tag::MessageAudio | Tag::Template => fields.has_media |= value.kind != Kind::Null,
            Tag::Content => self.count_text(value),
            Tag::Part => self.end_part(),
            Tag::PartKind => self.part_kind = Some(value),
            Tag::PartText => {
                self.part_has_text = true;
                self.count_text(value);
            }
            Tag::Url => {
                let scheme = value.text(self.document).map(|text| text.resolved());
                self.part_url_is_remote |= scheme.is_some_and(|url| !is_data_url(&url));
            }
            Tag::StreamOptions => fields.usage_ask.options = Some(value),
            Tag::IncludeUsage => fields.usage_ask.include_usage = Some(value),
            Tag::RunningUsage => fields.usage_ask.running_usage = Some(value),
            Tag::Choices => fields.choices = Some(value),
            Tag::BestOf => fields.best_of = Some(value),
            Tag::MaxTokens => fields.max_tokens = Some(value),
            Tag::MaxCompletionTokens => fields.max_completion_tokens = Some(value),
            Tag::Tools(tag) => fields.tools.take(tag, value),
            Tag::Modality => {
                let is_odd = value.text(self.document).is_some_and(|text| !text.equals("text"));
                fields.modality = fields.modality.or(Some(value).filter(|_| is_odd));
            }
            Tag::ServiceTier => fields.service_tier = Some(value),
            Tag::WebSearch => fields.web_search = Some(value),
            Tag::Prediction => fields.prediction = Some(value),
            Tag::CacheKey => fields.cache_key = Some(value),
        }
    }
}

fn is_data_url(url: &[u8]) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}
