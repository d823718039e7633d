//! Responses: what is said, counted and broken is chat's, in typed events.

use super::*;

const ASK: &str = r#"{"model":"m","instructions":"Be nice","input":[{"role":"user","content":[{"type":"input_text","text":"Say hello"}]}]"#;

fn responses(more: &str, mode: Option<Value>) -> Played {
    let mode: Option<Mode> = mode.map(|mode| serde_json::from_value(mode).unwrap());
    let headers = HeaderMap::new();
    let standalone = Some(Standalone { mode: mode.as_ref(), headers: &headers, context_tokens: None });
    let body = format!("{ASK}{more}}}");
    let body = body.as_bytes();
    let endpoint = SimEndpoint::Responses;
    let call = SimCall { endpoint, body, request_id: "7", shape: Shape::OpenAi, now_seconds: 9, standalone };
    Played::of(simulate(&call))
}

#[test]
fn a_response_is_echoed_with_its_usage() {
    let whole = responses("", None).json();
    assert_eq!((&whole["id"], &whole["status"], &whole["model"]), (&json!("resp_7"), &json!("completed"), &json!("m")));
    assert_eq!(whole["output"][0]["content"][0]["text"], "Say hello");
    let usage = json!({"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10});
    assert_eq!(whole["usage"], usage);
    let text = responses("", Some(json!({ "mode": "no-usage" }))).json();
    assert_eq!(text["usage"], Value::Null);
    let plain = posted(SimEndpoint::Responses, r#"{"model":"sim-echo","input":"Say hello"}"#).json();
    assert_eq!(plain["usage"]["input_tokens"], 4);
}

#[test]
fn a_stream_counts_its_events_and_ends_with_the_whole_response() {
    let played = responses(r#","stream":true"#, None);
    let events = played.events();
    let names: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, "Say hello");
    assert_eq!(events[10]["response"], responses("", None).json());
    assert!(!played.text().contains("[DONE]"));
}

#[test]
fn calls_reasoning_limits_and_formats_are_told_in_its_words() {
    let with_model = |model: &str, more: &str| {
        let body = format!("{ASK}{more}}}").replace("\"model\":\"m\"", &format!("\"model\":\"{model}\""));
        posted(SimEndpoint::Responses, &body)
    };
    let schema = r#"{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}"#;
    let tools = format!(r#","tools":[{{"type":"function","name":"f","parameters":{schema}}}]"#);
    let called = with_model("sim-tools", &tools).json();
    let call = &called["output"][0];
    assert_eq!(
        (&call["type"], &call["name"], &call["arguments"]),
        (&json!("function_call"), &json!("f"), &json!(r#"{"a":"sim"}"#))
    );
    let streamed = with_model("sim-tools", &format!("{tools},\"stream\":true")).events();
    let arguments: String = streamed.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(arguments, r#"{"a":"sim"}"#);
    let thought = with_model("sim-reasoning", r#","sim":{"reasoning":2}"#).json();
    assert_eq!(thought["output"][0]["content"][0]["text"], "r01 r02 ");
    assert_eq!(thought["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
    let cut = with_model("sim-stream", r#","max_output_tokens":2"#).json();
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    let formatted = with_model(
        "sim-json",
        &format!(r#","text":{{"format":{{"type":"json_schema","name":"x","schema":{schema}}}}}"#),
    );
    assert_eq!(formatted.json()["output"][0]["content"][0]["text"], r#"{"a":"sim"}"#);
    let said = r#"{"model":"sim-tools","input":[{"role":"user","content":"?"},{"type":"function_call","name":"f"},{"type":"function_call_output","call_id":"x","output":"12"}]}"#;
    assert_eq!(posted(SimEndpoint::Responses, said).json()["output"][0]["content"][0]["text"], "tool said: 12");
}

#[test]
fn a_response_that_fails_says_so_in_its_last_event() {
    let failed = responses(r#","stream":true"#, Some(json!({ "mode": "error-chunk", "after": 2 }))).events();
    let last = failed.last().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!((&last["sequence_number"], &last["response"]["error"]["code"]), (&json!(6), &json!("server_error")));
    let truncated = responses(r#","stream":true"#, Some(json!({ "mode": "truncate", "after": 1 }))).events();
    assert_eq!(truncated.last().unwrap()["delta"], "Say ");
}
