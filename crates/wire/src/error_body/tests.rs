//! The golden bytes of `wire.md` 4.6, and every code of the catalogue.

use super::*;
use ErrorShape::{Anthropic, OpenAi};

fn header<'a>(reply: &'a ErrorReply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
}

#[test]
fn golden_401i() {
    let error = PublicError::with_message(
        Code::InvalidApiKey,
        "Incorrect API key provided: eco_****wxyz. No key of this server matches it.",
    );
    let reply = render(&error, OpenAi, "req_01");
    assert_eq!(reply.status, 401);
    assert_eq!(header(&reply, "www-authenticate"), Some(r#"Bearer realm="api", error="invalid_token""#));
    assert_eq!(header(&reply, "x-claviger-code"), Some("invalid_api_key"));
    assert_eq!(header(&reply, "content-type"), Some("application/json"));
    assert_eq!(header(&reply, "x-should-retry"), Some("false"), "a key does not become right by being sent again");
    assert_eq!(
        reply.body,
        r#"{"error":{"message":"Incorrect API key provided: eco_****wxyz. No key of this server matches it.","type":"authentication_error","param":null,"code":"invalid_api_key"}}"#
    );
    assert_eq!(
        render(&error, Anthropic, "req_01").body,
        r#"{"type":"error","error":{"type":"authentication_error","message":"Incorrect API key provided: eco_****wxyz. No key of this server matches it."},"request_id":"req_01"}"#
    );
}

#[test]
fn golden_401r() {
    let error = PublicError::with_message(
        Code::KeyRevoked,
        "Incorrect API key provided: eco_****wxyz. This key was revoked on 2026-11-21.",
    );
    assert_eq!(
        render(&error, OpenAi, "").body,
        r#"{"error":{"message":"Incorrect API key provided: eco_****wxyz. This key was revoked on 2026-11-21.","type":"authentication_error","param":null,"code":"key_revoked"}}"#
    );
}

#[test]
fn golden_401m() {
    let reply = render(&Code::MissingApiKey.into(), OpenAi, "");
    assert_eq!(header(&reply, "www-authenticate"), Some(r#"Bearer realm="api""#));
    assert_eq!(
        reply.body,
        r#"{"error":{"message":"You didn't provide an API key. Send 'Authorization: Bearer YOUR_API_KEY' or 'X-API-Key: YOUR_API_KEY'.","type":"authentication_error","param":null,"code":"missing_api_key"}}"#
    );
}

#[test]
fn golden_429q() {
    let error = PublicError { limit: Some("wallet"), ..Code::InsufficientQuota.into() };
    let reply = render(&error, OpenAi, "");
    assert_eq!(reply.status, 429);
    assert_eq!(header(&reply, "x-should-retry"), Some("false"));
    assert_eq!(header(&reply, "x-claviger-limit"), Some("wallet"));
    assert_eq!(header(&reply, "retry-after"), None);
    assert_eq!(
        reply.body,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#
    );
    let reply = render(&error, Anthropic, "req_01");
    assert_eq!(reply.status, 402);
    assert!(reply.body.starts_with(br#"{"type":"error","error":{"type":"billing_error","#));
    assert_eq!(header(&reply, "x-should-retry"), Some("false"));
}

#[test]
fn golden_429r() {
    let mut error = PublicError::with_message(
        Code::RateLimitExceeded,
        "Rate limit reached for requests per minute: limit 60, used 60. Please try again in 644ms.",
    );
    error.retry = Retry::After(Duration::from_millis(644));
    let reply = render(&error, OpenAi, "");
    assert_eq!((header(&reply, "retry-after"), header(&reply, "retry-after-ms")), (Some("1"), Some("644")));
    assert_eq!(
        reply.body,
        r#"{"error":{"message":"Rate limit reached for requests per minute: limit 60, used 60. Please try again in 644ms.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#
    );
}

#[test]
fn golden_404_and_400d() {
    let error = PublicError::with_message(
        Code::ModelNotFound,
        "The model `x/y` does not exist or you do not have access to it.",
    );
    assert_eq!(
        render(&error.about("model"), OpenAi, "").body,
        r#"{"error":{"message":"The model `x/y` does not exist or you do not have access to it.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
    );
    let error = PublicError::with_message(Code::DuplicateKey, "Duplicate key 'model'.").about("model");
    assert_eq!(
        render(&error, OpenAi, "").body,
        r#"{"error":{"message":"Duplicate key 'model'.","type":"invalid_request_error","param":"model","code":"duplicate_key"}}"#
    );
}

#[test]
fn golden_events() {
    assert_eq!(
        sse_event(&Code::StreamTruncated.into(), OpenAi),
        "data: {\"error\":{\"message\":\"The upstream closed the stream before it finished.\",\"type\":\"server_error\",\"param\":null,\"code\":\"stream_truncated\"}}\n\n"
    );
    assert_eq!(
        sse_event(&PublicError::with_message(Code::UpstreamError, "…"), Anthropic),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"…\"}}\n\n"
    );
}

#[test]
fn a_long_wait_is_not_told_but_forbidden() {
    let wait = |retry| render(&PublicError { retry, ..Code::Overloaded.into() }, OpenAi, "");
    assert_eq!(header(&wait(Retry::After(Duration::from_secs(60))), "retry-after"), Some("60"));
    let long = wait(Retry::After(Duration::from_millis(60_001)));
    assert_eq!((header(&long, "retry-after"), header(&long, "retry-after-ms")), (None, None));
    assert_eq!(header(&long, "x-should-retry"), Some("false"));
    let held = wait(Retry::AfterMilliseconds(1000));
    assert_eq!((header(&held, "retry-after"), header(&held, "retry-after-ms")), (Some("1"), Some("1000")));
    assert_eq!(header(&wait(Retry::After(Duration::from_micros(1))), "retry-after-ms"), Some("1"));
    assert_eq!(header(&wait(Retry::Always), "x-should-retry"), Some("true"));
    let running = render(&Code::IdempotencyInProgress.into(), OpenAi, "");
    assert_eq!((header(&running, "x-should-retry"), header(&running, "retry-after-ms")), (Some("true"), Some("500")));
}

#[test]
fn headers_that_belong_to_one_code() {
    assert_eq!(
        header(&render(&Code::UnsupportedContentEncoding.into(), OpenAi, ""), "accept-encoding"),
        Some("identity")
    );
    let error = PublicError { allow: Some("GET, HEAD".into()), ..Code::MethodNotAllowed.into() };
    assert_eq!(header(&render(&error, OpenAi, ""), "allow"), Some("GET, HEAD"));
}

#[test]
fn a_rejection_by_the_upstream_has_a_null_code_and_a_named_header() {
    let reply = render(&PublicError::with_message(Code::UpstreamRejected, "no"), OpenAi, "");
    assert_eq!(reply.body, r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#);
    assert_eq!(header(&reply, "x-claviger-code"), Some("upstream_rejected"));
}

#[test]
fn every_code_has_four_members_a_status_and_its_header_in_both_shapes() {
    for code in Code::ALL {
        let reply = render(&(*code).into(), OpenAi, "req_01");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let members: Vec<&String> = body["error"].as_object().unwrap().keys().collect();
        assert_eq!(members.len(), 4, "{members:?}");
        assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
        assert!(body["error"]["code"].is_string() || *code == Code::UpstreamRejected);
        assert!((400..600).contains(&reply.status), "{code:?}");
        assert!(header(&reply, "x-claviger-code").is_some_and(|code| !code.is_empty()));

        let reply = render(&(*code).into(), Anthropic, "req_01");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let expected = match reply.status {
            400 | 405..=412 | 414..=428 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            500..=502 => "api_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            other => panic!("{other} for {code:?}"),
        };
        assert_eq!(body["error"]["type"], expected, "{code:?}");
        assert_eq!((&body["type"], &body["request_id"]), (&"error".into(), &"req_01".into()));
    }
}

#[test]
fn a_message_is_cut_at_a_character() {
    let text = format!("{}é", "x".repeat(limits::UPSTREAM_MESSAGE_BYTES - 1));
    assert_eq!(cut_message(&text).len(), limits::UPSTREAM_MESSAGE_BYTES - 1);
    assert_eq!(cut_message("short"), "short");
}
