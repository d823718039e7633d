//! The body of a task: its own fields, and the body of the endpoint that it means.

use crate::body::{flag, invalid, missing};
use crate::inference::{self, Ask};
use crate::multipart;
use crate::scan::{Field, Kind, Place, Sink, Value, plain_integer, scan_strict};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_domain::error::PublicError;
use claviger_domain::limits;
use std::collections::BTreeMap;

/// What a task says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFields {
    /// Where its end is to be told.
    pub callback_url: Option<String>,
    /// The caller's own words: a JSON object of texts.
    pub metadata: BTreeMap<String, String>,
    /// Seconds after which nobody waits for it any more.
    pub timeout_s: Option<u64>,
}

impl OwnFields {
    /// The caller's words as one JSON object.
    pub fn metadata_json(&self) -> String {
        // A map of texts: serializing it cannot fail.
        serde_json::to_string(&self.metadata).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// A task as it is asked for.
#[derive(Debug)]
pub struct TaskAsk {
    /// The operation that its body means.
    pub operation: Operation,
    /// That body, read.
    pub ask: Box<dyn Ask>,
    /// Its own fields.
    pub own: OwnFields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Type,
    Callback,
    Metadata,
    Timeout,
    Model,
    Stream,
    Messages,
    Documents,
    Prompt,
    Input,
}

static BODY: Place<Tag> = Place::new(
    None,
    &[
        Field::leaf("type", Tag::Type),
        Field::leaf("callback_url", Tag::Callback),
        Field::leaf("metadata", Tag::Metadata),
        Field::leaf("timeout_s", Tag::Timeout),
        Field::leaf("model", Tag::Model),
        Field::leaf("stream", Tag::Stream),
        Field::leaf("messages", Tag::Messages),
        Field::leaf("documents", Tag::Documents),
        Field::leaf("prompt", Tag::Prompt),
        Field::leaf("input", Tag::Input),
    ],
    None,
);

/// Collects a body's values while it is scanned.
#[derive(Default)]
struct Reading {
    kind: Option<Value>,
    callback: Option<Value>,
    metadata: Option<Value>,
    timeout: Option<Value>,
    model: Option<Value>,
    stream: Option<Value>,
    has_messages: bool,
    has_documents: bool,
    has_prompt: bool,
    has_input: bool,
}

impl Sink<Tag> for Reading {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Type => self.kind = Some(value),
            Tag::Callback => self.callback = Some(value),
            Tag::Metadata => self.metadata = Some(value),
            Tag::Timeout => self.timeout = Some(value),
            Tag::Model => self.model = Some(value),
            Tag::Stream => self.stream = Some(value),
            Tag::Messages => self.has_messages = true,
            Tag::Documents => self.has_documents = true,
            Tag::Prompt => self.has_prompt = true,
            Tag::Input => self.has_input = true,
        }
    }
}

/// Names of its own, that no endpoint is shown.
const OWN: [&str; 4] = ["type", "callback_url", "metadata", "timeout_s"];

/// Reads a JSON body; `serves` are the endpoints of a model, none for one that the caller does not see.
///
/// # Errors
/// The refusal of a field of its own, of a body that means no endpoint, or of the endpoint it means.
pub fn parse(body: Bytes, serves: impl Fn(&str) -> Vec<EndpointName>) -> Result<TaskAsk, PublicError> {
    let mut reading = Reading::default();
    scan_strict(&body, &BODY, &mut reading)?;
    if flag(reading.stream, "stream")? {
        return Err(invalid("stream", "false: a task is answered as a whole"));
    }
    let operation = reading.operation(&body, serves)?;
    let own = reading.own(&body)?;
    let mut splice = Splice::new();
    let members = [reading.kind, reading.callback, reading.metadata, reading.timeout];
    members.into_iter().flatten().for_each(|value| splice.remove_member(value.member()));
    let rest = splice.apply_whole(&body);
    Ok(TaskAsk { operation, ask: inference::parse(operation, None, rest)?, own })
}

impl Reading {
    fn operation(&self, body: &Bytes, serves: impl Fn(&str) -> Vec<EndpointName>) -> Result<Operation, PublicError> {
        if let Some(kind) = self.kind.filter(|kind| kind.kind != Kind::Null) {
            let word = kind.text(body).map(|text| text.to_text()).unwrap_or_default();
            return named(&word);
        }
        let model = self.model.and_then(|model| model.text(body)).map(|text| text.to_text()).unwrap_or_default();
        let served = serves(&model);
        let first = |candidates: &[(EndpointName, Operation)]| {
            let found = candidates.iter().find(|(endpoint, _)| served.contains(endpoint));
            found.or(candidates.first()).map(|(_, operation)| *operation)
        };
        let candidates: &[_] = if self.has_messages {
            &[
                (EndpointName::ChatCompletions, Operation::ChatCompletions),
                (EndpointName::Messages, Operation::Messages),
            ]
        } else if self.has_documents {
            &[(EndpointName::Rerank, Operation::Rerank)]
        } else if self.has_prompt {
            &[
                (EndpointName::Completions, Operation::Completions),
                (EndpointName::Images, Operation::GenerateImages),
                (EndpointName::Video, Operation::CreateVideo),
            ]
        } else if self.has_input {
            &[
                (EndpointName::Embeddings, Operation::Embeddings),
                (EndpointName::AudioSpeech, Operation::Speak),
                (EndpointName::Responses, Operation::Responses),
            ]
        } else {
            &[]
        };
        first(candidates).ok_or_else(|| missing("type"))
    }

    fn own(&self, body: &Bytes) -> Result<OwnFields, PublicError> {
        let said = |value: Option<Value>| value.filter(|value| value.kind != Kind::Null);
        let callback_url = said(self.callback)
            .map(|url| url.text(body).map(|text| text.to_text()).ok_or_else(|| invalid("callback_url", "a text")))
            .transpose()?;
        let metadata = said(self.metadata).map(|value| metadata(value.raw(body))).transpose()?.unwrap_or_default();
        let timeout_s = said(self.timeout).map(|value| timeout(value.raw(body))).transpose()?;
        Ok(OwnFields { callback_url, metadata, timeout_s })
    }
}

/// Reads a form, whose own fields are parts of it.
///
/// # Errors
/// As [`parse`].
pub fn parse_form(content_type: Option<&str>, body: Bytes) -> Result<TaskAsk, PublicError> {
    let boundary = multipart::boundary(content_type)?;
    let parts = multipart::parts(&body, &boundary)?;
    let text = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        let bytes = part.map(|part| body.get(part.value.clone()).unwrap_or_default());
        bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| invalid(name, "text in UTF-8"))).transpose()
    };
    if let Some(name) = OWN.iter().find(|name| parts.iter().filter(|part| part.name == **name).count() > 1) {
        return Err(invalid(name, "one part of this name"));
    }
    if !matches!(text("stream")?, None | Some("false" | "False" | "0")) {
        return Err(invalid("stream", "false: a task is answered as a whole"));
    }
    let has = |name: &str| parts.iter().any(|part| part.name == name);
    let operation = match text("type")? {
        Some(word) => named(word)?,
        None if has("file") => Operation::Transcribe,
        None if has("image") || has("image[]") => Operation::EditImages,
        None if has("prompt") => Operation::CreateVideo,
        None => return Err(missing("type")),
    };
    if !operation.takes_form() && !operation.takes_either() {
        return Err(invalid("type", "a kind whose body may be a form"));
    }
    let own = OwnFields {
        callback_url: text("callback_url")?.map(str::to_owned),
        metadata: text("metadata")?.map(|raw| metadata(raw.as_bytes())).transpose()?.unwrap_or_default(),
        timeout_s: text("timeout_s")?.map(|raw| timeout(raw.as_bytes())).transpose()?,
    };
    let rest = multipart::without(&body, &parts, &OWN);
    Ok(TaskAsk { operation, ask: inference::parse_form(operation, content_type, rest)?, own })
}

/// The operation of a kind, by the word of a task or by the name of its endpoint.
fn named(word: &str) -> Result<Operation, PublicError> {
    Ok(match word {
        "chat" | "chat.completions" => Operation::ChatCompletions,
        "completion" | "completions" => Operation::Completions,
        "response" | "responses" => Operation::Responses,
        "message" | "messages" => Operation::Messages,
        "embedding" | "embeddings" => Operation::Embeddings,
        "rerank" => Operation::Rerank,
        "image" | "images" => Operation::GenerateImages,
        "image_edit" => Operation::EditImages,
        "speech" | "audio.speech" => Operation::Speak,
        "transcription" | "audio.transcriptions" => Operation::Transcribe,
        "translation" | "audio.translations" => Operation::Translate,
        "video" => Operation::CreateVideo,
        _ => {
            let words = "chat, completion, response, message, embedding, rerank, image, image_edit, speech, \
                transcription, translation or video";
            return Err(invalid("type", words));
        }
    })
}

fn metadata(raw: &[u8]) -> Result<BTreeMap<String, String>, PublicError> {
    let read: Option<BTreeMap<String, String>> = serde_json::from_slice(raw).ok();
    let is_sound = |map: &BTreeMap<String, String>| {
        let fits = |(name, value): (&String, &String)| {
            name.chars().count() <= limits::METADATA_NAME && value.chars().count() <= limits::METADATA_VALUE
        };
        map.len() <= limits::METADATA && map.iter().all(fits) && !raw.contains(&0)
    };
    read.filter(is_sound).ok_or_else(|| {
        let (most, name, value) = (limits::METADATA, limits::METADATA_NAME, limits::METADATA_VALUE);
        invalid(
            "metadata",
            &format!("an object of at most {most} texts, of {value} characters, named by at most {name}"),
        )
    })
}

fn timeout(raw: &[u8]) -> Result<u64, PublicError> {
    let most = limits::TASK_TIME.as_secs();
    let seconds = plain_integer(raw).filter(|seconds| (1..=most).contains(seconds));
    seconds.ok_or_else(|| invalid("timeout_s", &format!("a whole number from 1 to {most}")))
}
