//! An error answer: what is wrong, and its body in each shape (W51, column errors).
//!
//! The OpenAI texts and codes are those of `wire.md` W32, because the provider in process speaks that shape and its
//! errors reach the client as they are (W60).

use super::script::{Script, Steps};
use super::shape::Shape;
use super::usage::{push_number, push_text};
use bytes::Bytes;
use http::header;
use std::fmt::Display;

/// An error to answer with.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    /// Prompt tokens and context length, which llama.cpp adds to its context error.
    context: Option<(u64, u64)>,
    /// A body that has none of these members.
    verbatim: Option<Verbatim>,
    /// How long nothing is sent, in milliseconds.
    pub(super) wait_ms: u64,
}

/// Bodies that carry no message.
#[derive(Clone, Copy, Debug)]
enum Verbatim {
    Unauthorized,
    NotFound,
    PageNotFound,
}

impl Verbatim {
    const fn body(self) -> (&'static str, &'static str) {
        match self {
            Self::Unauthorized => ("application/json", r#"{"error":"Unauthorized"}"#),
            Self::NotFound => ("application/json", r#"{"detail":"Not Found"}"#),
            Self::PageNotFound => ("text/plain", "404 page not found"),
        }
    }
}

/// The code that comes with `Retry-After`.
const RATE_LIMITED: &str = "rate_limit_exceeded";
const INVALID: &str = "invalid_request_error";

impl Fault {
    fn new(status: u16, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, kind, code, param: None, message: message.into(), context: None, verbatim: None, wait_ms: 0 }
    }

    fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    pub(super) fn invalid_body(error: &dyn Display) -> Self {
        Self::new(400, INVALID, Some("invalid_json"), format!("The body cannot be read: {error}."))
    }

    pub(super) fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        Self::new(400, INVALID, Some("missing_required_parameter"), message).about(param)
    }

    pub(super) fn invalid_value(param: &str, why: &str) -> Self {
        Self::new(400, INVALID, Some("invalid_value"), format!("Invalid value for '{param}': {why}.")).about(param)
    }

    pub(super) fn model_not_found(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self::new(404, INVALID, Some("model_not_found"), message).about("model")
    }

    pub(super) fn stream_options_without_stream() -> Self {
        Self::new(400, INVALID, None, "Stream options can only be defined when `stream=True`.").about("stream_options")
    }

    pub(super) fn context_too_long(shape: Shape, prompt: u64, limit: u64, context: u64) -> Self {
        let message = match shape {
            Shape::Anthropic => format!("prompt is too long: {prompt} tokens > {context} maximum"),
            Shape::LlamaCpp => "the request exceeds the available context size, try increasing it".to_owned(),
            Shape::Sglang => format!(
                "Requested token count exceeds the model's maximum context length of {context} tokens. You requested a \
                 total of {} tokens: {prompt} tokens from the input messages and {limit} tokens for the completion.",
                prompt.saturating_add(limit)
            ),
            Shape::OpenAi | Shape::Vllm | Shape::Ollama | Shape::Tei => format!(
                "This model's maximum context length is {context} tokens. However, you requested {} tokens ({prompt} in \
                 the messages, {limit} in the completion). Please reduce the length of the messages or completion.",
                prompt.saturating_add(limit)
            ),
        };
        let mut fault = Self::new(400, INVALID, Some("context_length_exceeded"), message).about("messages");
        if shape == Shape::LlamaCpp {
            fault.kind = "exceed_context_size_error";
        }
        fault.context = Some((prompt, context));
        fault
    }

    pub(super) fn rate_limited() -> Self {
        let message = "Rate limit reached for the simulator. Please try again in 1s.";
        Self::new(429, "requests", Some(RATE_LIMITED), message)
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "server_error", Some("internal_error"), "The simulator failed, as it was asked to.")
    }

    pub(super) fn timeout() -> Self {
        Self::new(
            504,
            "server_error",
            Some("upstream_timeout"),
            "The simulator did not answer in time, as it was asked to.",
        )
    }

    pub(super) fn midstream() -> Self {
        Self::new(
            502,
            "server_error",
            Some("upstream_error"),
            "The simulator failed in the middle, as it was asked to.",
        )
    }

    pub(super) fn truncated() -> Self {
        Self::new(
            502,
            "server_error",
            Some("upstream_error"),
            "The simulator stopped in the middle, as it was asked to.",
        )
    }

    /// An error that only carries a message: 400.
    pub(super) fn message(message: String) -> Self {
        Self::new(400, INVALID, None, message)
    }

    /// The error body of a status that a test asked for.
    pub(super) fn of_status(status: u16) -> Self {
        let kind = if status >= 500 { "server_error" } else { INVALID };
        Self::new(status, kind, None, format!("The simulator was told to answer {status}."))
    }

    pub(super) fn credential(shape: Shape, is_missing: bool) -> Self {
        let mut fault = match (shape, is_missing) {
            (Shape::Anthropic, true) => Self::new(401, INVALID, None, "x-api-key header is required"),
            (Shape::Anthropic, false) => Self::new(401, INVALID, None, "invalid x-api-key"),
            (Shape::LlamaCpp, _) => Self::new(401, "authentication_error", None, "Invalid API Key"),
            (Shape::Ollama | Shape::Tei, _) => Self::new(401, "authentication_error", None, "unauthorized"),
            (_, true) => Self::new(401, INVALID, None, "You didn't provide an API key."),
            (_, false) => Self::new(401, INVALID, Some("invalid_api_key"), "Incorrect API key provided."),
        };
        if matches!(shape, Shape::Vllm | Shape::Sglang) {
            fault.verbatim = Some(Verbatim::Unauthorized);
        }
        fault
    }

    pub(super) fn unknown_path(shape: Shape, method: &str, path: &str) -> Self {
        let mut fault = Self::new(404, INVALID, Some("unknown_url"), format!("Invalid URL ({method} {path})"));
        match shape {
            Shape::OpenAi => {}
            Shape::Anthropic => fault.message = "Not found".to_owned(),
            Shape::Vllm | Shape::Sglang => fault.verbatim = Some(Verbatim::NotFound),
            Shape::LlamaCpp => fault.message = "File Not Found".to_owned(),
            Shape::Ollama | Shape::Tei => fault.verbatim = Some(Verbatim::PageNotFound),
        }
        fault
    }

    /// The whole answer in this shape.
    pub(super) fn script(&self, shape: Shape) -> Script {
        let mut script = match self.verbatim.map(Verbatim::body) {
            Some((content_type, text)) => {
                Script::at_once(self.status, content_type, Steps::whole(Bytes::from_static(text.as_bytes())))
            }
            None => Script::json(self.status, shape.json_type(), self.body(shape)),
        };
        if self.code == Some(RATE_LIMITED) {
            script.set(header::RETRY_AFTER, "1");
        }
        if self.status == 401 && shape == Shape::OpenAi {
            script.set(header::WWW_AUTHENTICATE, "Bearer realm=\"OpenAI API\"");
        }
        script.head_wait_ms = self.wait_ms;
        script
    }

    /// The event that says so in a stream that has begun; vLLM and SGLang send `[DONE]` behind it.
    pub(super) fn event(&self, shape: Shape) -> Bytes {
        let mut out = if shape == Shape::Anthropic { b"event: error\ndata: ".to_vec() } else { b"data: ".to_vec() };
        if shape == Shape::Sglang {
            out.extend_from_slice(b"{\"error\":");
            out.extend_from_slice(&self.body(shape));
            out.push(b'}');
        } else {
            out.extend_from_slice(&self.body(shape));
        }
        out.extend_from_slice(b"\n\n");
        out.into()
    }

    fn body(&self, shape: Shape) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match shape {
            Shape::OpenAi => {
                self.push_message(&mut out, b"{\"error\":{\"message\":");
                self.push_type(&mut out, self.kind);
                self.push_param(&mut out);
                push_optional(&mut out, b",\"code\":", self.code);
                out.extend_from_slice(b"}}");
            }
            Shape::Vllm => {
                self.push_message(&mut out, b"{\"error\":{\"message\":");
                self.push_type(&mut out, python_name(self.status));
                self.push_param(&mut out);
                push_number(&mut out, b",\"code\":", self.status.into());
                out.extend_from_slice(b"}}");
            }
            Shape::Sglang => {
                self.push_message(&mut out, b"{\"object\":\"error\",\"message\":");
                self.push_type(&mut out, python_name(self.status));
                self.push_param(&mut out);
                push_number(&mut out, b",\"code\":", self.status.into());
                out.push(b'}');
            }
            Shape::Tei => {
                self.push_message(&mut out, b"{\"message\":");
                push_number(&mut out, b",\"code\":", self.status.into());
                self.push_type(&mut out, if self.status == 422 { "tokenizer" } else { "validation" });
                out.push(b'}');
            }
            Shape::LlamaCpp => {
                push_number(&mut out, b"{\"error\":{\"code\":", self.status.into());
                self.push_message(&mut out, b",\"message\":");
                self.push_type(&mut out, if self.context.is_some() { self.kind } else { plain_name(self.status) });
                if let Some((prompt, context)) = self.context {
                    push_number(&mut out, b",\"n_prompt_tokens\":", prompt);
                    push_number(&mut out, b",\"n_ctx\":", context);
                }
                out.extend_from_slice(b"}}");
            }
            Shape::Anthropic => {
                push_optional(&mut out, b"{\"type\":\"error\",\"error\":{\"type\":", Some(anthropic_name(self.status)));
                self.push_message(&mut out, b",\"message\":");
                out.extend_from_slice(b"}}");
            }
            Shape::Ollama => {
                self.push_message(&mut out, b"{\"error\":{\"message\":");
                self.push_type(&mut out, plain_name(self.status));
                out.extend_from_slice(b",\"param\":null,\"code\":null}}");
            }
        }
        out
    }

    fn push_message(&self, out: &mut Vec<u8>, before: &[u8]) {
        out.extend_from_slice(before);
        push_text(out, &self.message);
    }

    fn push_type(&self, out: &mut Vec<u8>, kind: &str) {
        push_optional(out, b",\"type\":", Some(kind));
    }

    fn push_param(&self, out: &mut Vec<u8>) {
        push_optional(out, b",\"param\":", self.param.as_deref());
    }
}

fn push_optional(out: &mut Vec<u8>, before: &[u8], text: Option<&str>) {
    out.extend_from_slice(before);
    match text {
        Some(text) => push_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// The class names that vLLM and SGLang use as types.
const fn python_name(status: u16) -> &'static str {
    match status {
        401 => "AuthenticationError",
        403 => "PermissionDeniedError",
        404 => "NotFoundError",
        422 => "UnprocessableEntityError",
        429 => "RateLimitError",
        400..=499 => "BadRequestError",
        _ => "InternalServerError",
    }
}

/// Anthropic's types.
const fn anthropic_name(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => INVALID,
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

/// The types that llama.cpp and Ollama use.
const fn plain_name(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => INVALID,
        503 => "unavailable_error",
        _ => "server_error",
    }
}
