//! Stage 1: one checked head, made before anything else looks at the request (`reliability.md` §5 E4).
//!
//! Host, method, framing, `Connection` and `Expect` are judged here and nowhere else; the body is unread.

use crate::observe::Trace;
use crate::respond::{Refusal, X_REQUEST_ID};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::RequestId;
use claviger_domain::limits;
use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use std::net::SocketAddr;

/// What the management plane is told about a request beside the request itself.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The id that the reply carries.
    pub request_id: RequestId,
    /// The client: the peer, or who a trusted proxy says it is.
    pub client: SocketAddr,
    /// Whether that is so; `false` = the peer's, because what a trusted proxy says of the client cannot be read.
    pub is_client_known: bool,
}

/// A request whose head is sound.
pub(crate) struct Received {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Incoming,
    pub(crate) length: BodyLength,
    pub(crate) expects_continue: bool,
    /// Only this file makes one.
    _made_here: (),
}

/// How long the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// This many bytes, often none.
    Announced(u64),
    /// Chunked.
    Unknown,
}

impl Received {
    /// Checks the head.
    ///
    /// # Errors
    /// A refusal that ends the connection, with the request for what can still be known of it.
    pub(crate) fn check(request: Request<Incoming>, trace: &mut Trace) -> Result<Box<Self>, Box<(Refusal, Box<Self>)>> {
        let (head, body) = request.into_parts();
        let is_chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
        let length = match body.size_hint().exact() {
            Some(bytes) if !is_chunked => BodyLength::Announced(bytes),
            _ => BodyLength::Unknown,
        };
        let expects_continue = head.headers.contains_key(header::EXPECT);
        trace.client_request_id = client_request_id(&head.headers);
        let checked = check_head(&head);
        let received = Box::new(Self { head, body, length, expects_continue, _made_here: () });
        match checked {
            Ok(()) => Ok(received),
            Err(refusal) => Err(Box::new((refusal, received))),
        }
    }

    /// hyper drops a Content-Length that comes behind Transfer-Encoding before we see it, and a request with both ends
    /// its connection (RFC 9112 §6.1); so a chunked request is always the last one.
    pub(crate) fn is_last(&self) -> bool {
        self.head.headers.contains_key(header::TRANSFER_ENCODING)
    }
}

fn check_head(head: &http::request::Parts) -> Result<(), Refusal> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits::TARGET_BYTES {
        return Err(Refusal::bare(StatusCode::URI_TOO_LONG));
    }
    check_host(head)?;
    check_transfer_encoding(&head.headers)?;
    check_connection(&head.headers)?;
    if head.method == Method::CONNECT {
        let mut error = PublicError::new(Code::MethodNotAllowed);
        error.allow = Some("GET, HEAD, POST, DELETE, OPTIONS".into());
        return Err(Refusal::closing(error));
    }
    match head.headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Refusal::closing(Code::ExpectationFailed))
        }
        _ => Ok(()),
    }
}

/// Exactly one well-formed Host, or the authority of an absolute target in its place (RFC 9112 §3.2).
fn check_host(head: &http::request::Parts) -> Result<(), Refusal> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let (first, second) = (lines.next(), lines.next());
    let is_good = match (first, second) {
        (Some(host), None) => is_host(host.as_bytes()),
        _ => false,
    };
    let is_authority_good = head.uri.authority().is_none_or(|authority| is_host(authority.as_str().as_bytes()));
    if is_good && is_authority_good { Ok(()) } else { Err(Refusal::closing(Code::InvalidHost)) }
}

/// `uri-host [":" port]` without user information, path or query.
fn is_host(host: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(byte);
    !host.is_empty() && host.len() <= 300 && host.iter().all(is_name)
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = Vec::new();
    for line in headers.get_all(header::TRANSFER_ENCODING) {
        let Ok(text) = line.to_str() else { return Err(Refusal::bare(StatusCode::BAD_REQUEST)) };
        codings.extend(text.split(',').map(|coding| coding.trim().to_ascii_lowercase()));
    }
    match codings.as_slice() {
        [] => Ok(()),
        [only] if only == "chunked" => Ok(()),
        [before @ .., last] if last == "chunked" && before.iter().all(|coding| is_known_coding(coding)) => {
            Err(Refusal::closing(Code::UnsupportedTransferCoding))
        }
        _ => Err(Refusal::bare(StatusCode::BAD_REQUEST)),
    }
}

fn is_known_coding(coding: &str) -> bool {
    matches!(coding, "gzip" | "x-gzip" | "compress" | "x-compress" | "deflate")
}

/// A `Connection` line that names a header we decide by would let a proxy before us remove it (W2).
fn check_connection(headers: &HeaderMap) -> Result<(), Refusal> {
    for line in headers.get_all(header::CONNECTION) {
        let named = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for name in named {
            if name.eq_ignore_ascii_case(b"authorization") || name.eq_ignore_ascii_case(b"x-api-key") {
                return Err(Refusal::closing(Code::InvalidConnectionHeader));
            }
        }
    }
    Ok(())
}

/// The caller's own id of the request, kept if it is plain (W24).
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let is_plain = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    is_plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::Form;

    fn head(lines: &[(&str, &str)]) -> http::request::Parts {
        let mut request = Request::builder().uri("/v1/models");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refusal(lines: &[(&str, &str)]) -> Option<(Form, Code)> {
        check_head(&head(lines)).err().map(|refusal| (refusal.form, refusal.error.code))
    }

    #[test]
    fn exactly_one_sound_host_is_needed() {
        assert_eq!(refusal(&[("host", "a.example:8080")]), None);
        assert_eq!(refusal(&[("host", "[::1]:8080")]), None);
        for lines in
            [&[][..], &[("host", "a"), ("host", "a")], &[("host", "a/admin?x=")], &[("host", "")], &[("host", "u@a")]]
        {
            assert_eq!(refusal(lines), Some((Form::Closing, Code::InvalidHost)), "{lines:?}");
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let with = |coding: &'static str| refusal(&[("host", "a"), ("transfer-encoding", coding)]);
        assert_eq!(with("chunked"), None);
        assert_eq!(with("gzip, chunked"), Some((Form::Closing, Code::UnsupportedTransferCoding)));
        for coding in ["xchunked", "chunked, identity", "chunked, chunked", "identity, chunked"] {
            assert!(matches!(with(coding), Some((Form::Bare(StatusCode::BAD_REQUEST), _))), "{coding}");
        }
    }

    #[test]
    fn headers_we_decide_by_are_not_hop_by_hop() {
        assert_eq!(
            refusal(&[("host", "a"), ("connection", "keep-alive, X-Api-Key")]),
            Some((Form::Closing, Code::InvalidConnectionHeader))
        );
        assert_eq!(refusal(&[("host", "a"), ("connection", "keep-alive, x-other")]), None);
        assert_eq!(refusal(&[("host", "a"), ("expect", "200-maybe")]), Some((Form::Closing, Code::ExpectationFailed)));
        assert_eq!(refusal(&[("host", "a"), ("expect", "100-Continue")]), None);
    }

    #[test]
    fn a_callers_request_id_is_kept_if_it_is_plain() {
        let id = |text: &'static str| client_request_id(&head(&[("x-request-id", text)]).headers);
        assert_eq!(id("abc_1-2"), Some("abc_1-2".to_owned()));
        for text in ["", "a b", "<script>", "é"] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
