//! What an upstream's error says, in any of the forms of W33, and the public error made of it.

use crate::error_body::cut_message;
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};

#[cfg(test)]
mod tests;

/// Text of an answer that is no JSON is passed on up to here: the rest of an HTML page says nothing.
const PLAIN_TEXT_BYTES: usize = 512;

/// What an upstream's error says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpstreamMessage {
    /// Its text; empty when it says nothing.
    pub(crate) message: String,
    /// Its `code` or `type`, if a text.
    pub(crate) code: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) param: Option<String>,
    /// llama.cpp's context length.
    pub(crate) context_tokens: Option<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    /// `error`, an object or a text.
    Error,
    Message,
    Code,
    Kind,
    Param,
    ContextTokens,
    /// `detail`, a text, a list of `{msg}` or an object.
    Detail,
}

const MEMBERS: &[Field<Tag>] = &[
    Field::leaf("message", Tag::Message),
    Field::leaf("code", Tag::Code),
    Field::leaf("type", Tag::Kind),
    Field::leaf("param", Tag::Param),
    Field::leaf("n_ctx", Tag::ContextTokens),
];

/// One error object, its members at the top (SGLang, TEI) or inside `error`.
static TOP: Place<Tag> = Place::new(
    None,
    &[
        Field { name: "error", place: Place::new(Some(Tag::Error), MEMBERS, None) },
        Field::leaf("error_type", Tag::Kind),
        Field::leaf("message", Tag::Message),
        Field::leaf("code", Tag::Code),
        Field::leaf("type", Tag::Kind),
        Field::leaf("param", Tag::Param),
        Field {
            name: "detail",
            place: Place::new(
                Some(Tag::Detail),
                &[Field::leaf("message", Tag::Message), Field::leaf("msg", Tag::Message)],
                Some(&Place::new(None, &[Field::leaf("msg", Tag::Message)], None)),
            ),
        },
    ],
    None,
);

struct Reading<'d> {
    document: &'d [u8],
    said: UpstreamMessage,
    is_error: bool,
}

impl Sink<Tag> for Reading<'_> {
    fn found(&mut self, tag: Tag, value: Value) {
        let text = value.text(self.document).map(|text| text.to_text()).filter(|text| !text.is_empty());
        match tag {
            Tag::Error => {
                self.is_error |= value.kind != Kind::Null;
                if self.said.message.is_empty()
                    && let Some(text) = text
                {
                    self.said.message = text;
                }
            }
            Tag::Detail | Tag::Message => {
                if self.said.message.is_empty()
                    && let Some(text) = text
                {
                    self.said.message = text;
                }
            }
            Tag::Code => self.said.code = self.said.code.take().or(text),
            Tag::Kind => self.said.kind = self.said.kind.take().or(text),
            Tag::Param => self.said.param = self.said.param.take().or(text),
            Tag::ContextTokens => {
                self.said.context_tokens =
                    std::str::from_utf8(value.raw(self.document)).ok().and_then(|text| text.parse().ok());
            }
        }
    }
}

/// What an error body says, fit to be shown.
pub fn said(body: &[u8]) -> String {
    let message = read_message(body).message;
    match crate::error_body::cut_message(&message) {
        "" => "The upstream failed.".to_owned(),
        message => message.to_owned(),
    }
}

/// Reads an error document; a list wraps it at some servers (Gemini), and some bodies are no JSON at all.
pub(crate) fn read_message(body: &[u8]) -> UpstreamMessage {
    let trimmed = body.trim_ascii();
    let document = trimmed.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(trimmed);
    let mut reading = Reading { document, said: UpstreamMessage::default(), is_error: false };
    if scan_lenient(document, &TOP, &mut reading).is_ok() {
        return reading.said;
    }
    let text = String::from_utf8_lossy(trimmed.get(..trimmed.len().min(PLAIN_TEXT_BYTES)).unwrap_or_default());
    let is_markup = text.trim_start().starts_with(['<', '{', '[']);
    let message = if is_markup { String::new() } else { text.trim().to_owned() };
    UpstreamMessage { message, ..UpstreamMessage::default() }
}

/// The public error of an upstream's 400, 409, 413, 415, 422 or 451: its message, cut and with `credential` masked
/// (W33). Every other status is the caller's of this function to map (W53); its text is never shown.
pub fn upstream_error(_dialect: Dialect, status: u16, body: &[u8], credential: Option<&str>) -> PublicError {
    let masked_body = credential.filter(|credential| memchr::memmem::find(body, credential.as_bytes()).is_some());
    let masked_body = masked_body.map(|_| masked(&String::from_utf8_lossy(body), credential));
    let said = read_message(masked_body.as_deref().map_or(body, str::as_bytes));
    // Escapes may hide it until the message is read. Masked before it is cut: a cut credential would not be found any more.
    let shown = |text: &str| cut_message(&masked(text, credential)).to_owned();
    let message = shown(&said.message);
    if let Some(message) = context_message(&said, &message) {
        return PublicError::with_message(Code::ContextLengthExceeded, message).about("messages");
    }
    let code = if is_moderation(&said) {
        Code::ContentPolicyViolation
    } else if status == 413 {
        Code::RequestTooLarge
    } else {
        Code::UpstreamRejected
    };
    let mut error = PublicError::new(code);
    if !message.is_empty() {
        error.message = message.into();
    }
    error.param = said.param.as_deref().map(shown);
    error
}

/// The message of a prompt that is too long, with the words that clients look for: LiteLLM retries elsewhere on
/// "maximum context length is N tokens".
fn context_message(said: &UpstreamMessage, message: &str) -> Option<String> {
    const WORDS: [&str; 8] = [
        "maximum context length",
        "context length",
        "context window",
        "available context size",
        "longer than the model's context",
        "maximum allowed length",
        "prompt is too long",
        "exceed context limit",
    ];
    let lower = message.to_ascii_lowercase();
    let names_it = |name: &Option<String>| {
        matches!(name.as_deref(), Some("context_length_exceeded" | "exceed_context_size_error"))
    };
    if !names_it(&said.code) && !names_it(&said.kind) && !WORDS.iter().any(|words| lower.contains(words)) {
        return None;
    }
    match said.context_tokens {
        Some(tokens) if !lower.contains("maximum context length is") => {
            Some(format!("This model's maximum context length is {tokens} tokens. {message}").trim_end().to_owned())
        }
        _ if message.is_empty() => Some(Code::ContextLengthExceeded.summary().to_owned()),
        _ => Some(message.to_owned()),
    }
}

fn is_moderation(said: &UpstreamMessage) -> bool {
    [&said.code, &said.kind]
        .into_iter()
        .flatten()
        .any(|name| matches!(name.as_str(), "content_policy_violation" | "content_filter" | "moderation_blocked"))
}

/// The message without the provider's credential, should the upstream echo it (W50).
fn masked(message: &str, credential: Option<&str>) -> String {
    match credential.filter(|credential| !credential.is_empty()) {
        Some(credential) => message.replace(credential, "****"),
        None => message.to_owned(),
    }
}
