//! The closed lists of headers (W21 to W23). Values, and those of credentials above all, are not known here.

use claviger_domain::catalog::Dialect;
use http::HeaderName;

#[cfg(test)]
mod tests;

/// Whether a caller's header reaches the upstream. Everything not named here stays with us (W21, W22). What every request
/// has is added where it is sent: `content-type: application/json`, which alone is accepted, the provider's credential,
/// `accept-encoding: identity` and `x-request-id`.
pub fn is_forwardable(name: &HeaderName) -> bool {
    matches!(name.as_str(), "openai-beta" | "anthropic-version" | "anthropic-beta")
}

/// Whether a target of this dialect is sent it: Anthropic's own headers go to Anthropic only.
pub fn is_for(dialect: Dialect, name: &HeaderName) -> bool {
    !name.as_str().starts_with("anthropic-") || dialect == Dialect::Anthropic
}

/// Whether an upstream's header reaches the caller (W23). Hop-by-hop fields named in `Connection` are dropped where
/// that value is known.
pub fn returnable(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 7] =
        ["cf-", "access-control-", "x-ratelimit-", "anthropic-ratelimit-", "retry-after", "x-claviger-", "proxy-"];
    let name = name.as_str();
    let is_ours = match name.len() {
        2 => name == "te",
        3 => matches!(name, "nel" | "via"),
        4 => name == "date",
        6 => name == "server",
        7 => matches!(name, "alt-svc" | "trailer" | "upgrade"),
        9 => name == "report-to",
        10 => matches!(name, "connection" | "keep-alive" | "request-id" | "set-cookie"),
        11 => name == "set-cookie2",
        12 => matches!(name, "x-powered-by" | "x-request-id"),
        14 => matches!(name, "content-length" | "openai-project" | "openai-version" | "x-should-retry"),
        16 => name == "www-authenticate",
        17 => matches!(name, "transfer-encoding" | "x-accel-buffering"),
        19 => name == "openai-organization",
        20 => name == "openai-processing-ms",
        25 => name == "strict-transport-security",
        _ => false,
    };
    let begins = |prefix: &str| name.as_bytes().first() == prefix.as_bytes().first() && name.starts_with(prefix);
    !is_ours && !PREFIXES.iter().any(|prefix| begins(prefix))
}
