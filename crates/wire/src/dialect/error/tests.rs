//! Every form of W33.

use super::*;

fn error(status: u16, body: &str) -> PublicError {
    upstream_error(Dialect::Compatible, status, body.as_bytes(), Some("sk-upstream-secret"))
}

#[test]
fn the_message_is_found_in_every_form() {
    for (body, message) in [
        (r#"{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":null}}"#, "bad"),
        (r#"{"error":{"message":"bad","type":"BadRequestError","param":null,"code":400}}"#, "bad"),
        (r#"{"error":"bad"}"#, "bad"),
        (r#"{"error":"bad","error_type":"validation"}"#, "bad"),
        (r#"{"object":"error","message":"bad","type":"BadRequest","param":null,"code":400}"#, "bad"),
        (r#"{"message":"bad","code":413,"type":"Validation"}"#, "bad"),
        (r#"{"detail":"bad"}"#, "bad"),
        (r#"{"detail":[{"loc":["body","n"],"msg":"bad","type":"int_parsing"},{"msg":"worse"}]}"#, "bad"),
        (r#"{"detail":{"message":"bad"}}"#, "bad"),
        (r#"[{"error":{"message":"bad","code":400,"status":"INVALID_ARGUMENT"}}]"#, "bad"),
        (r#"{"error":{"message":"b\u0061d"}}"#, "bad"),
        ("bad", "bad"),
        (" bad \n", "bad"),
        ("<html><body>400 Bad Request nginx</body></html>", Code::UpstreamRejected.summary()),
        (r#"{"broken":"#, Code::UpstreamRejected.summary()),
        ("{}", Code::UpstreamRejected.summary()),
        ("", Code::UpstreamRejected.summary()),
        (r#"{"error":{"message":""}}"#, Code::UpstreamRejected.summary()),
    ] {
        let error = error(400, body);
        assert_eq!((error.code, error.message.as_ref()), (Code::UpstreamRejected, message), "{body}");
    }
}

#[test]
fn statuses_become_400_and_only_413_stays() {
    for status in [400, 409, 415, 422, 451] {
        assert_eq!(error(status, r#"{"error":"x"}"#).code.status(), 400);
    }
    let too_large = error(413, r#"{"message":"payload too large","type":"Validation"}"#);
    assert_eq!((too_large.code, too_large.message.as_ref()), (Code::RequestTooLarge, "payload too large"));
}

#[test]
fn a_prompt_that_is_too_long_keeps_the_words_clients_look_for() {
    for (body, message) in [
        (
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, you requested 9000.","code":"context_length_exceeded","param":"messages"}}"#,
            "This model's maximum context length is 8192 tokens. However, you requested 9000.",
        ),
        (
            r#"{"object":"error","message":"This model's maximum context length is 512 tokens.","type":"BadRequestError","code":400}"#,
            "This model's maximum context length is 512 tokens.",
        ),
        (
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":900,"n_ctx":512}}"#,
            "This model's maximum context length is 512 tokens. the request exceeds the available context size, try increasing it",
        ),
    ] {
        let error = error(400, body);
        assert_eq!(error.code, Code::ContextLengthExceeded, "{body}");
        assert_eq!((error.param.as_deref(), error.message.as_ref()), (Some("messages"), message));
    }
}

#[test]
fn moderation_is_named() {
    let body = r#"{"error":{"message":"no","type":"invalid_request_error","code":"content_policy_violation"}}"#;
    assert_eq!(error(400, body).code, Code::ContentPolicyViolation);
}

#[test]
fn the_param_is_kept_and_the_credential_masked() {
    let error = error(422, r#"{"error":{"message":"key sk-upstream-secret may not","param":"temperature"}}"#);
    assert_eq!(error.param.as_deref(), Some("temperature"));
    assert_eq!(error.message, "key **** may not");
}

#[test]
fn a_long_message_is_cut() {
    let error = error(400, &format!(r#"{{"error":"{}"}}"#, "é".repeat(5000)));
    assert!(error.message.len() <= 2048 && error.message.starts_with('é'));
}
