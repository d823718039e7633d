//! Rows 40 to 56 of the table of bad inputs: bodies. Every refusal costs nothing and calls nobody.
//!
//! Not here, because nothing can bring it about yet: row 48's foreign model (there is one organization), the second half
//! of row 56 (request encodings cannot be switched on). `model_not_allowed` of row 48 is a test key's, in `answers.rs`.

use claviger_e2e::{Answer, Fate, Raw, Result, World};
use std::time::Duration;

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

struct Bodies {
    world: World,
    key: String,
}

impl Bodies {
    async fn new() -> Result<Self> {
        let world = World::usual().await?;
        let key = world.key("bodies").await?;
        Ok(Self { world, key })
    }

    async fn send(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let bearer = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        self.world.client.send("POST", "/v1/chat/completions", &all, body).await
    }

    /// The body is refused with this code and, if given, this `param`.
    async fn refused(&self, row: &str, body: impl AsRef<[u8]>, code: &str, param: Option<&str>) -> Result<Answer> {
        let answer = self.send(&[("content-type", "application/json")], body.as_ref()).await?;
        let status = if code == "model_not_found" { 404 } else { 400 };
        assert_eq!(answer.refusal(), (status, code.to_owned()), "row {row}: {}", answer.text());
        assert_eq!(answer.header("x-claviger-code"), code, "row {row}");
        if let Some(param) = param {
            assert_eq!(answer.json()["error"]["param"], param, "row {row}: {}", answer.text());
        }
        Ok(answer)
    }

    async fn accepted(&self, row: &str, body: &str) -> Result<Answer> {
        let answer = self.send(&[("content-type", "application/json")], body.as_bytes()).await?;
        assert_eq!(answer.status, 200, "row {row}: {}", answer.text());
        Ok(answer)
    }

    /// Nothing was charged, held or sent.
    async fn assert_untouched(&self) -> Result<()> {
        assert_eq!((self.world.balance().await?, self.world.held().await?), (10_000_000_000, 0));
        assert_eq!(self.world.upstream.count().await?, 0);
        Ok(())
    }
}

/// A good body with more members.
fn with(more: &str) -> String {
    format!(r#"{{"model":"free/echo",{MESSAGES},{more}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_40_to_42_keys_that_two_parsers_read_differently() -> Result<()> {
    let bodies = Bodies::new().await?;
    let twice = bodies
        .refused("40", format!(r#"{{"model":"a","model":"b",{MESSAGES}}}"#), "duplicate_key", Some("model"))
        .await?;
    assert_eq!(
        twice.text(),
        r#"{"error":{"message":"Duplicate key 'model'.","type":"invalid_request_error","param":"model","code":"duplicate_key"}}"#
    );
    bodies
        .refused("40", format!(r#"{{"model":"a","mod\u0065l":"b",{MESSAGES}}}"#), "duplicate_key", Some("model"))
        .await?;
    bodies.refused("40", with(r#""metadata":{"a":{"b":1,"b":2}}"#), "duplicate_key", None).await?;
    for key in ["Model", "MODEL", "max_to\u{212A}ens", "max_token\u{17F}", "Stream"] {
        bodies.refused("41/42", with(&format!(r#""{key}":1"#)), "ambiguous_key", None).await?;
    }
    bodies.assert_untouched().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_43_to_45_what_is_not_a_json_object() -> Result<()> {
    let bodies = Bodies::new().await?;
    let good = with(r#""x":1"#);
    let mut latin = with(r#""x":"?""#).into_bytes();
    if let Some(byte) = latin.iter_mut().find(|byte| **byte == b'?') {
        *byte = 0xE9;
    }
    let cases: Vec<Vec<u8>> = vec![
        with(r#""x":NaN"#).into(),
        with(r#""x":Infinity"#).into(),
        with(r#""x":1e400"#).into(),
        with(r#""x":"\ud800""#).into(),
        format!("\u{FEFF}{good}").into(),
        format!("{good}x").into(),
        with(r#""x":[1,]"#).into(),
        with(r#""x":1,"#).into(),
        with(r#"/* c */"x":1"#).into(),
        good.replace('"', "'").into(),
        latin,
        Vec::new(),
    ];
    for body in cases {
        let answer = bodies.refused("43", &body, "invalid_json", None).await?;
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.chars().any(|character| character.is_ascii_digit()), "row 43: the byte offset: {message}");
    }
    let deep = with(&format!(r#""x":{}1{}"#, "[".repeat(65), "]".repeat(65)));
    bodies.refused("44", deep, "json_too_deep", None).await?;
    let many = with(&format!(r#""x":[{}1]"#, "1,".repeat(1_000_001)));
    bodies.refused("44", many, "json_too_large", None).await?;
    for body in ["[]", "null", "\"x\"", "1"] {
        bodies.refused("45", body, "body_not_object", None).await?;
    }
    bodies.assert_untouched().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_46_to_49_models_and_parameters_that_are_not_the_callers() -> Result<()> {
    let bodies = Bodies::new().await?;
    bodies.refused("46", format!("{{{MESSAGES}}}"), "missing_required_parameter", Some("model")).await?;
    let long = format!("\"{}\"", "m".repeat(257));
    for model in ["null", "1", "[\"a\"]", "\"a\\u0000\"", "\"a\\u001f\"", &long] {
        bodies.refused("46", format!(r#"{{"model":{model},{MESSAGES}}}"#), "invalid_model", Some("model")).await?;
    }
    for model in
        ["Free/Echo", "free/echo ", "free\u{2011}echo", "../x", "free/echo#b", "free/echo?x", "upstream", "echo"]
    {
        let answer = bodies
            .refused("47", format!(r#"{{"model":"{model}",{MESSAGES}}}"#), "model_not_found", Some("model"))
            .await?;
        assert!(answer.text().contains("does not exist or you do not have access to it."), "row 47");
    }
    for name in ["api_base", "base_url", "api_key", "extra_headers", "custom_llm_provider"] {
        bodies.refused("49", with(&format!(r#""{name}":"x""#)), "forbidden_parameter", Some(name)).await?;
    }
    bodies.assert_untouched().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_50_to_53_values_and_prices() -> Result<()> {
    let bodies = Bodies::new().await?;
    for (name, value) in [
        ("max_tokens", "-1"),
        ("max_tokens", "0.5"),
        ("max_tokens", "\"10\""),
        ("max_tokens", "9223372036854775808"),
        ("max_tokens", "1e3"),
        ("max_completion_tokens", "-1"),
        ("n", "1000000"),
        ("n", "0.5"),
        ("stream", "\"true\""),
        ("stream", "1"),
    ] {
        bodies.refused("50/52", with(&format!(r#""{name}":{value}"#)), "invalid_value", Some(name)).await?;
    }
    for (name, value) in [
        ("service_tier", "\"priority\""),
        ("best_of", "5"),
        ("web_search_options", "{}"),
        ("modalities", "[\"text\",\"audio\"]"),
        ("prediction", "{\"type\":\"content\",\"content\":\"x\"}"),
    ] {
        bodies.refused("51", with(&format!(r#""{name}":{value}"#)), "unpriced_parameter", Some(name)).await?;
    }
    let unpriced = format!(r#"{{"model":"unpriced/echo",{MESSAGES}}}"#);
    bodies.refused("53", unpriced, "model_not_priced", Some("model")).await?;
    bodies.assert_untouched().await?;

    for more in
        [r#""service_tier":"auto""#, r#""service_tier":"default""#, r#""unknown_field":{"a":[1.50,null]}"#, r#""n":3"#]
    {
        bodies.accepted("51", &with(more)).await?;
    }
    bodies.accepted("52", &with(r#""stream":true,"stream_options":{"include_usage":false}"#)).await?;
    let tools =
        r#""tools":[{"type":"web_search"},{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#;
    let answer = bodies.accepted("51", &with(tools)).await?;
    assert!(answer.header("x-claviger-removed").contains("web_search"), "row 51: {:?}", answer.headers);
    let seen = bodies.world.upstream.seen().await?.pop().map(|seen| seen.json()).unwrap_or_default();
    assert_eq!(seen["tools"].as_array().map(Vec::len), Some(1), "row 51: {seen}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_54_to_56_types_sizes_encodings() -> Result<()> {
    let bodies = Bodies::new().await?;
    let good = with(r#""x":1"#);
    for types in [
        vec![],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![("content-type", "application/json; charset=utf-16")],
        vec![("content-type", "application/json"), ("content-type", "application/json")],
    ] {
        let answer = bodies.send(&types, good.as_bytes()).await?;
        assert_eq!(answer.refusal(), (415, "unsupported_media_type".to_owned()), "row 54: {types:?}");
    }
    for coding in ["gzip", "br", "gzip, gzip"] {
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        let answer = bodies.send(&headers, good.as_bytes()).await?;
        assert_eq!(answer.refusal(), (415, "unsupported_content_encoding".to_owned()), "row 56, {coding}");
        assert_eq!(answer.header("accept-encoding"), "identity", "row 56, {coding}");
    }
    bodies.assert_untouched().await?;
    for accepted in ["application/json; charset=utf-8", "application/json;charset=UTF-8"] {
        let answer = bodies.send(&[("content-type", accepted)], good.as_bytes()).await?;
        assert_eq!(answer.status, 200, "row 54, {accepted}");
    }
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        bodies.key
    );
    let mut announced = Raw::connect(bodies.world.address()).await?;
    announced.send(format!("{head}Content-Length: {}\r\n\r\n", 32 * 1024 * 1024 + 1)).await?;
    let answer = announced.answer().await?;
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"), "row 55, before the first byte");

    let mut endless = Raw::connect(bodies.world.address()).await?;
    endless.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await?;
    let chunk = format!("{:x}\r\n{}\r\n", 1024 * 1024, " ".repeat(1024 * 1024));
    for _ in 0..34 {
        if endless.send(&chunk).await.is_err() {
            break;
        }
    }
    let answer = endless.answer().await?;
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"), "row 55, endless");
    assert_eq!(endless.fate(Duration::from_secs(3)).await.0, Fate::Closed, "row 55, endless");
    Ok(())
}
