//! Messages in Anthropic's dialect: what is said, counted and broken is chat's, in other words.

use super::*;

const ASK: &str = r#"{"model":"m","max_tokens":100,"system":"Be nice","messages":[{"role":"user","content":[{"type":"text","text":"Say hello"}]}]"#;

fn messages(more: &str, mode: Option<Value>) -> Played {
    played(SimEndpoint::Messages, &format!("{ASK}{more}}}"), mode)
}

fn played(endpoint: SimEndpoint<'_>, body: &str, mode: Option<Value>) -> Played {
    let mode: Option<Mode> = mode.map(|mode| serde_json::from_value(mode).unwrap());
    let headers = HeaderMap::new();
    let standalone = Some(Standalone { mode: mode.as_ref(), headers: &headers, context_tokens: Some(1000) });
    let body = body.as_bytes();
    let call = SimCall { endpoint, body, request_id: "7", shape: Shape::Anthropic, now_seconds: 9, standalone };
    Played::of(simulate(&call))
}

#[test]
fn a_message_is_echoed_byte_for_byte() {
    assert_eq!(
        messages("", None).text(),
        r#"{"id":"msg_7","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Say hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":3}}"#
    );
    let counted = played(SimEndpoint::CountTokens, &format!("{ASK}}}"), None);
    assert_eq!(counted.text(), r#"{"input_tokens":7}"#);
    // In process nobody's shape decides: the endpoint has its own dialect.
    let in_process = posted(SimEndpoint::Messages, &format!("{ASK}}}"));
    assert_eq!((&in_process.json()["type"], &in_process.json()["id"]), (&json!("message"), &json!("msg_1")));
}

#[test]
fn a_stream_is_start_block_tokens_stop_byte_for_byte() {
    let streamed = messages(r#","stream":true"#, None).text();
    let names: Vec<&str> = streamed.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected);
    assert!(streamed.contains(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Say \"}}\n\n"
    ));
    assert!(
        streamed.ends_with(
            "\"usage\":{\"output_tokens\":3}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
        )
    );
}

#[test]
fn tools_reasoning_limits_and_caches_are_told_in_its_words() {
    let tools = r#","tools":[{"name":"f","input_schema":{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}}]"#;
    let with_model = |model: &str, more: &str| {
        let body = format!("{ASK}{more}}}").replace("\"model\":\"m\"", &format!("\"model\":\"{model}\""));
        played(SimEndpoint::Messages, &body, None)
    };
    let called = with_model("sim-tools", tools).json();
    assert_eq!(
        called["content"][0],
        json!({"type": "tool_use", "id": "toolu_sim_1", "name": "f", "input": {"a": "sim"}})
    );
    assert_eq!(called["stop_reason"], "tool_use");
    let text = with_model("sim-tools", &format!("{tools},\"stream\":true"));
    let parts: String =
        text.events().iter().filter_map(|event| event["delta"]["partial_json"].as_str().map(str::to_owned)).collect();
    assert_eq!(parts, r#"{"a":"sim"}"#);
    let thought = with_model("sim-reasoning", r#","sim":{"reasoning":2,"cached":3}"#).json();
    assert_eq!(thought["content"][0]["thinking"], "r01 r02 ");
    assert_eq!(
        (&thought["usage"]["input_tokens"], &thought["usage"]["cache_read_input_tokens"]),
        (&json!(4), &json!(3))
    );
    let cut = with_model("sim-stream", r#","sim":{"tokens":500},"stream":true"#);
    assert_eq!(cut.events().iter().rev().nth(1).unwrap()["delta"]["stop_reason"], "max_tokens");
    let result = r#"{"model":"sim-tools","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"12°"}]}]}"#;
    assert_eq!(played(SimEndpoint::Messages, result, None).json()["content"][0]["text"], "tool said: 12°");
}

#[test]
fn usage_is_absent_running_twice_or_absurd_on_demand() {
    let usages = |mode: &str| {
        let events = messages(r#","stream":true"#, Some(json!({ "mode": mode }))).events();
        let told = |event: &Value| event["usage"]["output_tokens"].as_i64();
        events.iter().filter_map(told).collect::<Vec<_>>()
    };
    assert_eq!(usages("no-usage"), [0; 0]);
    assert_eq!(usages("usage-running"), [1, 2, 3, 3]);
    assert_eq!(usages("usage-twice"), [3, 3]);
    assert_eq!(usages("usage-absurd"), [900_000_000_000]);
}

#[test]
fn errors_have_its_shape_before_and_within_a_stream() {
    let failed = messages(r#","stream":true"#, Some(json!({ "mode": "error-chunk", "after": 2 })));
    assert!(failed.text().ends_with("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"The simulator failed in the middle, as it was asked to.\"}}\n\n"), "{}", failed.text());
    let truncated = messages(r#","stream":true"#, Some(json!({ "mode": "truncate", "after": 1 })));
    assert_eq!(truncated.events().last().unwrap()["delta"]["text"], "Say ");
    let busy = messages("", Some(json!({ "mode": "status", "code": 529 })));
    assert_eq!((busy.status, &busy.json()["error"]["type"]), (529, &json!("overloaded_error")));
    let long = format!("{ASK}}}").replace("Say hello", &"a".repeat(5_000));
    let long = played(SimEndpoint::Messages, &long, None);
    assert_eq!((long.status, &long.json()["error"]["type"]), (400, &json!("invalid_request_error")));
    assert!(long.text().contains("prompt is too long: 1254 tokens > 1000 maximum"), "{}", long.text());
}
