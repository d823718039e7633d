//! The only place of this plane where a cause becomes a public error, and where replies get their common headers.

use crate::admitted::Admitted;
use crate::flow::Flow;
use crate::node::Node;
use crate::observe::Trace;
use bytes::Bytes;
use claviger_domain::endpoint::ErrorShape;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::time::Timestamp;
use claviger_wire::rate_headers::{ShownLimits, rate_headers};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// Why a stage refused. It carries no stage: what is known of the request is in its [`Trace`].
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: PublicError,
    pub(crate) form: Form,
    /// What refused and what it is shown with; few refusals have it.
    pub(crate) limited: Option<Box<Limited>>,
}

/// What a rule of a key or of its place refused with.
#[derive(Debug, Default)]
pub(crate) struct Limited {
    pub(crate) rule: Option<Rule>,
    pub(crate) shown: Option<ShownLimits>,
}

/// The rule that refused, for the record.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// `key.rpm`, `environment.models`, …
    pub(crate) name: &'static str,
    /// Its value, or the part of it that mattered.
    pub(crate) value: String,
}

/// How a refusal leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A body of the error shape; the connection goes on if the request was read whole.
    Usual,
    /// The same, and the connection ends.
    Closing,
    /// No request exists: empty body, the status alone, and the connection ends.
    Bare(StatusCode),
}

impl Refusal {
    pub(crate) fn closing(error: impl Into<PublicError>) -> Self {
        Self { form: Form::Closing, ..error.into().into() }
    }

    pub(crate) fn bare(status: StatusCode) -> Self {
        Self { form: Form::Bare(status), ..Code::InvalidHost.into() }
    }

    /// Names the rule that refused.
    pub(crate) fn by(mut self, rule: Rule) -> Self {
        self.limited.get_or_insert_default().rule = Some(rule);
        self
    }

    /// Shows the limit that refused.
    pub(crate) fn showing(mut self, shown: ShownLimits) -> Self {
        self.limited.get_or_insert_default().shown = Some(shown);
        self
    }
}

impl From<PublicError> for Refusal {
    fn from(error: PublicError) -> Self {
        Self { error, form: Form::Usual, limited: None }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        PublicError::new(code).into()
    }
}

/// The reply to a refused request.
pub(crate) fn refusal(refusal: &Refusal, trace: &Trace, out_of_credit: u16) -> Response<Flow> {
    let shape = trace.error_shape;
    if let Form::Bare(status) = refusal.form {
        let mut reply = Response::new(Flow::whole(Bytes::new()));
        *reply.status_mut() = status;
        close(reply.headers_mut());
        return reply;
    }
    let rendered = claviger_wire::error_body::render(&refusal.error, shape, &trace.request_id_text);
    let mut reply = Response::new(Flow::whole(rendered.body));
    let is_out_of_credit = refusal.error.code == Code::InsufficientQuota && shape == ErrorShape::OpenAi;
    let status = if is_out_of_credit { out_of_credit } else { rendered.status };
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    for (name, value) in rendered.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(header::CONTENT_TYPE, JSON);
    if let Some(shown) = refusal.limited.as_ref().and_then(|limited| limited.shown.as_ref()) {
        limit_headers(headers, shown, shape, trace.arrived.wall);
    }
    if refusal.error.code == Code::UnsupportedContentEncoding {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if refusal.form == Form::Closing {
        close(headers);
    }
    reply
}

/// A request's id, ours or a caller's own.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const OPENAI_PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const OPENAI_VERSION: HeaderName = HeaderName::from_static("openai-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A whole JSON answer.
pub(crate) fn json(body: Bytes) -> Response<Flow> {
    let mut reply = Response::new(Flow::whole(body));
    reply.headers_mut().insert(header::CONTENT_TYPE, JSON);
    reply
}

/// What is left of the tightest limits (W25).
pub(crate) fn limit_headers(headers: &mut HeaderMap, shown: &ShownLimits, shape: ErrorShape, now: Timestamp) {
    for (name, value) in rate_headers(shown, shape, now) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What was changed about the request, told in headers (W24).
pub(crate) fn extra_headers(admitted: &Admitted, trace: &Trace, node: &Node) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if admitted.is_clamped
        && let Some(limit) = admitted.output_limit
    {
        headers.insert(HeaderName::from_static("x-claviger-max-tokens"), HeaderValue::from(limit));
    }
    let removed = admitted.ask.removed_tools();
    if !removed.is_empty()
        && let Ok(value) = HeaderValue::from_str(&removed.join(", "))
    {
        headers.insert(HeaderName::from_static("x-claviger-removed"), value);
    }
    if let Some(shown) = admitted.pass.shown() {
        limit_headers(&mut headers, &shown, trace.error_shape, trace.arrived.wall);
    }
    if let Some(at) = admitted.caller.stops_at(node)
        && let Ok(value) = HeaderValue::from_str(&at.rfc3339())
    {
        headers.insert(HeaderName::from_static("x-claviger-key-expires"), value);
    }
    headers
}

/// The connection ends behind this reply.
pub(crate) fn close(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// What every reply says of itself (W24). Anthropic's SDKs read the id from a header of another name.
pub(crate) fn common_headers(headers: &mut HeaderMap, shape: ErrorShape, request_id: &str, elapsed_ms: u64) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        if shape == ErrorShape::Anthropic {
            headers.insert(REQUEST_ID, id.clone());
        }
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(OPENAI_PROCESSING_MS, HeaderValue::from(elapsed_ms));
    headers.insert(OPENAI_VERSION, HeaderValue::from_static("2020-10-01"));
}
