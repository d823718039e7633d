//! Catalogue entry × shape → status, headers, body (W32, 4.1, 4.2). Causes are not known here.
//!
//! Bytes are compact JSON with the members in the order of the golden bytes of `wire.md` 4.6. `x-request-id` and the
//! date are added where every reply gets them.

use crate::scan::quote_into;
use bytes::Bytes;
use claviger_domain::endpoint::ErrorShape;
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::limits;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// The longest wait that is told: openai-node obeys any value without a cap (W26).
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// A refusal, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The HTTP status.
    pub status: u16,
    /// Header lines; names are lower-case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// The reply that tells of an error. `request_id` stands in the body of Anthropic's shape only.
pub fn render(error: &PublicError, shape: ErrorShape, request_id: &str) -> ErrorReply {
    let status = status(error.code, shape);
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.push(("x-claviger-code", public_code(error.code).to_owned()));
    if status == 401 {
        let reason = if error.code == Code::MissingApiKey { "" } else { ", error=\"invalid_token\"" };
        headers.push(("www-authenticate", format!("Bearer realm=\"api\"{reason}")));
    }
    if error.code == Code::UnsupportedContentEncoding {
        headers.push(("accept-encoding", "identity".to_owned()));
    }
    if let Some(methods) = &error.allow {
        headers.push(("allow", methods.to_string()));
    }
    if let Some(limit) = error.limit {
        headers.push(("x-claviger-limit", limit.to_owned()));
    }
    retry_headers(error.retry, &mut headers);
    let mut body = Vec::with_capacity(error.message.len() + 160);
    match shape {
        ErrorShape::OpenAi => openai_body(&mut body, error),
        ErrorShape::Anthropic => anthropic_body(&mut body, error, status, Some(request_id)),
    }
    ErrorReply { status, headers, body: body.into() }
}

/// The event that tells of an error after 200 was sent; the stream ends behind it, without `[DONE]` (W35).
pub fn sse_event(error: &PublicError, shape: ErrorShape) -> Bytes {
    let mut event = Vec::with_capacity(error.message.len() + 160);
    match shape {
        ErrorShape::OpenAi => {
            event.extend_from_slice(b"data: ");
            openai_body(&mut event, error);
        }
        ErrorShape::Anthropic => {
            event.extend_from_slice(b"event: error\ndata: ");
            anthropic_body(&mut event, error, status(error.code, shape), None);
        }
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// The code in `x-claviger-code`; a rejection by the upstream has none in its body, but the header always names one.
fn public_code(code: Code) -> &'static str {
    match code.text() {
        "" => "upstream_rejected",
        text => text,
    }
}

fn status(code: Code, shape: ErrorShape) -> u16 {
    let status = match code {
        // Only occur inside a stream; said before one, they are what they would be there.
        Code::StreamTruncated => 502,
        Code::ServerShutdown => 503,
        _ => code.status(),
    };
    match (shape, code, status) {
        (ErrorShape::Anthropic, Code::InsufficientQuota, _) => 402,
        (ErrorShape::Anthropic, _, 503) => 529,
        _ => status,
    }
}

fn retry_headers(retry: Retry, headers: &mut Vec<(&'static str, String)>) {
    let wait = match retry {
        Retry::Unsaid => return,
        Retry::Never => return headers.push(("x-should-retry", "false".to_owned())),
        Retry::Always => return headers.push(("x-should-retry", "true".to_owned())),
        Retry::After(wait) => wait,
        Retry::AfterMilliseconds(wait) => Duration::from_millis(wait.into()),
        Retry::AlwaysAfter(wait) => {
            headers.push(("x-should-retry", "true".to_owned()));
            Duration::from_millis(wait.into())
        }
    };
    if wait > RETRY_AFTER_MAX {
        return headers.push(("x-should-retry", "false".to_owned()));
    }
    let milliseconds = wait.as_micros().div_ceil(1000);
    headers.push(("retry-after", milliseconds.div_ceil(1000).to_string()));
    headers.push(("retry-after-ms", milliseconds.to_string()));
}

fn openai_body(out: &mut Vec<u8>, error: &PublicError) {
    out.extend_from_slice(b"{\"error\":{\"message\":");
    quote_into(out, &error.message);
    out.extend_from_slice(b",\"type\":");
    quote_into(out, error.kind());
    out.extend_from_slice(b",\"param\":");
    quote_or_null(out, error.param.as_deref());
    out.extend_from_slice(b",\"code\":");
    quote_or_null(out, Some(error.code.text()).filter(|code| !code.is_empty()));
    out.extend_from_slice(b"}}");
}

fn anthropic_body(out: &mut Vec<u8>, error: &PublicError, status: u16, request_id: Option<&str>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
    quote_into(out, anthropic_type(status));
    out.extend_from_slice(b",\"message\":");
    quote_into(out, &error.message);
    out.push(b'}');
    if let Some(request_id) = request_id {
        out.extend_from_slice(b",\"request_id\":");
        quote_into(out, request_id);
    }
    out.push(b'}');
}

const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn quote_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => quote_into(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// `text`, cut to what of an upstream's message is passed on, at a character's border (W33).
pub(crate) fn cut_message(text: &str) -> &str {
    let end = (0..=text.len().min(limits::UPSTREAM_MESSAGE_BYTES)).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
