//! The lists of W21 to W23, name by name.

use super::*;
use claviger_domain::catalog::Dialect;

fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}

#[test]
fn nothing_of_the_caller_but_three_headers_reaches_an_upstream() {
    for header in ["OpenAI-Beta", "Anthropic-Version", "anthropic-beta"] {
        assert!(is_forwardable(&name(header)), "{header}");
        assert!(is_for(Dialect::Anthropic, &name(header)), "{header}");
        assert_eq!(is_for(Dialect::Vllm, &name(header)), header == "OpenAI-Beta", "{header}");
    }
    for header in [
        "content-type",
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "cookie",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authorization",
        "host",
        "content-length",
        "accept-encoding",
        "openai-organization",
        "openai-project",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "x-stainless-lang",
        "x-codex-turn-metadata",
        "x-claude-code-session-id",
        "x-session-id",
        "x-fern-language",
        "idempotency-key",
        "user-agent",
        "accept",
        "x-request-id",
        "traceparent",
        "x-claviger-anything",
        "x-unknown",
    ] {
        assert!(!is_forwardable(&name(header)), "{header}");
    }
}

#[test]
fn what_an_upstream_says_of_itself_stays_with_us() {
    for header in [
        "set-cookie",
        "server",
        "via",
        "cf-ray",
        "cf-cache-status",
        "alt-svc",
        "strict-transport-security",
        "access-control-allow-origin",
        "openai-organization",
        "openai-project",
        "x-ratelimit-limit-requests",
        "anthropic-ratelimit-tokens-limit",
        "retry-after",
        "retry-after-ms",
        "x-request-id",
        "request-id",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "proxy-authenticate",
        "content-length",
        "date",
        "openai-processing-ms",
        "openai-version",
        "x-should-retry",
        "x-claviger-code",
        "www-authenticate",
        "nel",
        "report-to",
        "set-cookie2",
        "x-powered-by",
        "x-accel-buffering",
    ] {
        assert!(!returnable(&name(header)), "{header}");
    }
    for header in ["content-type", "cache-control", "content-language", "x-compute-tokens", "etag"] {
        assert!(returnable(&name(header)), "{header}");
    }
}
