//! The closed lists of headers (W21 to W23). Values, and those of credentials above all, are not known here.

use claviger_domain::catalog::Dialect;
use http::HeaderName;

#[cfg(test)]
mod tests;

/// Whether a caller's header reaches the upstream. Everything not named here stays with us (W21, W22); the provider's
/// credential, `accept-encoding: identity` and `x-request-id` are added where the request is sent.
pub fn forwardable(name: &HeaderName, _dialect: Dialect) -> bool {
    matches!(name.as_str(), "content-type" | "openai-beta")
}

/// Whether an upstream's header reaches the caller (W23). Hop-by-hop fields named in `Connection` are dropped where
/// that value is known.
pub fn returnable(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 7] =
        ["cf-", "access-control-", "x-ratelimit-", "anthropic-ratelimit-", "retry-after", "x-claviger-", "proxy-"];
    const NAMES: [&str; 26] = [
        "alt-svc",
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "nel",
        "openai-organization",
        "openai-processing-ms",
        "openai-project",
        "openai-version",
        "report-to",
        "request-id",
        "server",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
        "x-accel-buffering",
        "x-powered-by",
        "x-request-id",
        "x-should-retry",
    ];
    let name = name.as_str();
    NAMES.binary_search(&name).is_err() && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
