//! Stage 2: the row of the endpoint table, decided once, on the raw path.

use crate::authenticated::alarm_of_url;
use crate::node::Node;
use crate::observe::Trace;
use crate::received::Received;
use crate::respond::Refusal;
use claviger_domain::endpoint::{Match, Miss, Plane};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::key::{Prefixes, redacted};
use claviger_wire::url::credential_in_query;

/// A request with its row.
pub(crate) struct Matched {
    pub(crate) received: Box<Received>,
    pub(crate) found: Match,
    /// Only this file makes one.
    _made_here: (),
}

/// What a path and method can be.
pub(crate) enum Destination {
    /// A row.
    Row(Box<Matched>),
    /// `OPTIONS` on a path with rows: their methods.
    Options(String),
    /// `HEAD /`, which some clients send first (W4).
    Root,
}

impl Matched {
    /// Finds the row.
    ///
    /// # Errors
    /// 404 for a path without rows, 405 with `Allow` for another method; the request is given back.
    pub(crate) fn find(
        received: Box<Received>,
        node: &Node,
        trace: &mut Trace,
    ) -> Result<Destination, Box<(Refusal, Box<Received>)>> {
        let (method, path) = (received.head.method.as_str(), received.head.uri.path());
        match node.endpoints.find(method, path) {
            Ok(found) => {
                trace.operation = Some(found.row.operation);
                trace.error_shape = found.row.error_shape;
                // URLs end up in logs: a key in one is refused on every row, even beside a good header (W2).
                let query = received.head.uri.query().unwrap_or_default();
                if !query.is_empty() && credential_in_query(query.as_bytes(), &node.settings.prefixes) {
                    alarm_of_url(node, trace, &received.head.headers, query.as_bytes());
                    return Err(Box::new((Code::CredentialInUrl.into(), received)));
                }
                Ok(Destination::Row(Box::new(Self { received, found, _made_here: () })))
            }
            Err(Miss::OtherMethod(allowed)) if method == "OPTIONS" => Ok(Destination::Options(allowed.join(", "))),
            Err(Miss::UnknownPath) if method == "HEAD" && path == "/" => Ok(Destination::Root),
            Err(Miss::OtherMethod(allowed)) => {
                trace.error_shape = node.endpoints.error_shape(path);
                Err(Box::new((not_allowed(allowed.join(", ")), received)))
            }
            Err(Miss::UnknownPath) if !is_method_of_ours(method) => {
                Err(Box::new((not_allowed("GET, HEAD, POST, DELETE, OPTIONS".to_owned()), received)))
            }
            Err(Miss::UnknownPath) => Err(Self::no_such_url(received, &node.settings.prefixes)),
        }
    }

    /// 404 `unknown_url`, in the words of the API that clients know.
    pub(crate) fn no_such_url(received: Box<Received>, prefixes: &Prefixes) -> Box<(Refusal, Box<Received>)> {
        let message =
            format!("Invalid URL ({} {})", received.head.method, redacted(received.head.uri.path(), prefixes));
        Box::new((PublicError::with_message(Code::UnknownUrl, message).into(), received))
    }

    pub(crate) fn is_inference(&self) -> bool {
        self.found.row.plane == Plane::Inference
    }
}

/// TRACE, CONNECT and lower-case methods are refused as methods, whatever the path.
fn is_method_of_ours(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS")
}

fn not_allowed(allow: String) -> Refusal {
    let mut error = PublicError::new(Code::MethodNotAllowed);
    error.allow = Some(allow.into());
    error.into()
}
