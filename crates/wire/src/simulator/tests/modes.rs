//! Each mode misbehaves as named, by rule and by body member.

use super::*;

const STREAM_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

fn streamed(mode: Value) -> Played {
    standalone(Shape::OpenAi, &ask("m", STREAM_USAGE), Some(mode))
}

fn whole(mode: Value) -> Played {
    standalone(Shape::OpenAi, HELLO, Some(mode))
}

fn usages(played: &Played) -> Vec<Value> {
    played.events().iter().map(|event| event["usage"].clone()).filter(|usage| !usage.is_null()).collect()
}

#[test]
fn usage_is_missing_running_doubled_or_absurd() {
    assert_eq!(usages(&streamed(json!({"mode": "no-usage"}))), [Value::Null; 0]);
    assert_eq!(whole(json!({"mode": "no-usage"})).json()["usage"], Value::Null);
    let running = usages(&streamed(json!({"mode": "usage-running"})));
    assert_eq!(
        running.iter().map(|usage| usage["completion_tokens"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 3, 3]
    );
    let twice = usages(&streamed(json!({"mode": "usage-twice"})));
    assert!(twice.len() == 2 && twice[0] == twice[1]);
    assert_eq!(usages(&streamed(json!({"mode": "usage-absurd"})))[0]["prompt_tokens"], -5);
    let given = json!({"mode": "usage-absurd", "usage": {"prompt_tokens": "many"}});
    assert_eq!(whole(given).json()["usage"], json!({"prompt_tokens": "many"}));
}

#[test]
fn a_mode_can_stand_in_the_body_beside_knobs() {
    let body = ask("sim-stream", r#","stream":true,"sim":{"mode":"truncate","after":2,"tokens":9,"gap_ms":1}"#);
    let played = standalone(Shape::OpenAi, &body, None);
    assert_eq!((played.content().as_str(), &played.waits_ms[..]), ("001 002 ", &[200, 0, 1][..]));
    let body = ask("sim-stream", r#","stream":true,"sim":{"mode":"slow","first_ms":3,"gap_ms":4,"tokens":2}"#);
    assert_eq!(standalone(Shape::OpenAi, &body, None).waits_ms, [3, 0, 4, 0, 0]);
    for sim in [
        r#"{"mode":"what"}"#,
        r#"{"mode":"cut"}"#,
        r#"{"mode":"cut","bytes":1,"what":2}"#,
        r#"{"mode":"no-usage","after":2}"#,
    ] {
        let played = standalone(Shape::OpenAi, &ask("m", &format!(",\"sim\":{sim}")), None);
        assert_eq!((played.status, &played.json()["error"]["param"]), (400, &json!("sim.mode")), "{sim}");
    }
}

#[test]
fn streams_break_behind_the_named_token() {
    let played = streamed(json!({"mode": "error-chunk", "after": 2}));
    assert_eq!(played.content(), "Say hell");
    assert_eq!(played.events().last().unwrap()["error"]["code"], "upstream_error");
    let played = streamed(json!({"mode": "truncate", "after": 1}));
    assert_eq!((played.content().as_str(), played.ending, played.steps.len()), ("Say ", Ending::Clean, 2));
    let played = streamed(json!({"mode": "truncate", "after": 99}));
    assert!(played.content() == "Say hello" && !played.text().contains("stop"));
    let played = streamed(json!({"mode": "stall", "after": 0}));
    assert_eq!((played.steps.len(), played.ending), (1, Ending::Stall));
}

#[test]
fn whole_answers_break_behind_the_named_byte() {
    assert_eq!(whole(json!({"mode": "error-chunk", "after": 2})).status, 502);
    for (mode, ending) in [
        (json!({"mode": "truncate", "after": 10}), Ending::Clean),
        (json!({"mode": "stall", "after": 10}), Ending::Stall),
        (json!({"mode": "cut", "bytes": 10}), Ending::Cut { is_reset: false }),
        (json!({"mode": "cut", "bytes": 10, "rst": true}), Ending::Cut { is_reset: true }),
    ] {
        let played = whole(mode);
        assert_eq!((played.text().as_str(), played.ending), (r#"{"id":"cha"#, ending));
    }
    let played = streamed(json!({"mode": "cut", "bytes": 500}));
    assert_eq!(played.text().len(), 500);
}

#[test]
fn bytes_drip_and_lines_end_with_cr_lf() {
    let played = whole(json!({"mode": "drip"}));
    assert!(
        played.steps.iter().all(|step| step.len() == 1)
            && played.text() == standalone(Shape::OpenAi, HELLO, None).text()
    );
    let played = streamed(json!({"mode": "crlf"}));
    assert!(played.text().ends_with("data: [DONE]\r\n\r\n"));
    assert_eq!(played.text().matches('\n').count(), played.text().matches("\r\n").count());
}

#[test]
fn some_modes_answer_instead_of_the_model_and_need_no_body() {
    let by_rule = |mode: Value| standalone(Shape::Vllm, "nonsense", Some(mode));
    let played = by_rule(json!({"mode": "status", "code": 503, "headers": {"retry-after": "9"}, "body": {"a": 1}}));
    assert_eq!(
        (played.status, played.text().as_str(), played.headers["retry-after"].to_str().unwrap()),
        (503, r#"{"a":1}"#, "9")
    );
    assert_eq!(by_rule(json!({"mode": "status", "code": 400, "body": "<html>"})).text(), "<html>");
    assert_eq!(by_rule(json!({"mode": "status", "code": 422})).json()["error"]["type"], "UnprocessableEntityError");
    assert_eq!(by_rule(json!({"mode": "status", "code": 42})).status, 400);
    let played = by_rule(json!({"mode": "raw", "base64": "SGk="}));
    assert_eq!((played.is_raw, played.text().as_str()), (true, "Hi"));
    let played = by_rule(json!({"mode": "refuse"}));
    assert_eq!((played.is_raw, played.steps.len(), played.ending), (true, 0, Ending::Cut { is_reset: true }));
    let played = by_rule(json!({"mode": "redirect", "to": "http://x/"}));
    assert_eq!((played.status, played.headers["location"].to_str().unwrap()), (307, "http://x/"));
}

#[test]
fn received_headers_are_shown_as_content_or_in_an_error() {
    let played = whole(json!({"mode": "echo-headers", "where": "content"}));
    assert_eq!(played.json()["choices"][0]["message"]["content"], r#"{"x-one":"1"}"#);
    let played = whole(json!({"mode": "echo-headers", "where": "error"}));
    assert_eq!((played.status, &played.json()["error"]["message"]), (400, &json!(r#"{"x-one":"1"}"#)));
}

#[test]
fn bad_json_is_not_json_and_a_huge_line_is_huge() {
    assert!(serde_json::from_str::<Value>(&whole(json!({"mode": "bad-json"})).text()).is_err());
    let played = streamed(json!({"mode": "bad-json"}));
    let lines: Vec<_> =
        played.text().lines().filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)).collect();
    let broken: Vec<_> = lines.iter().map(|line| serde_json::from_str::<Value>(line).is_err()).collect();
    assert_eq!(broken, [false, true, false, false, false, false, true]);
    let played = streamed(json!({"mode": "huge-line"}));
    assert!(played.text().lines().any(|line| line.len() > 17 * 1024 * 1024));
    assert_eq!(played.events()[1]["choices"][0]["delta"]["content"], "Say ");
    let played = whole(json!({"mode": "huge-line", "bytes": 100_000}));
    assert_eq!(played.json()["padding"].as_str().unwrap().len(), 100_000);
}

#[test]
fn a_gzip_bomb_is_small_and_begins_as_gzip_does() {
    let mode: Mode = serde_json::from_value(json!({"mode": "gzip-bomb"})).unwrap();
    let headers = HeaderMap::new();
    let extra = Standalone { mode: Some(&mode), headers: &headers, context_tokens: None };
    let call = SimCall {
        endpoint: SimEndpoint::Chat,
        body: b"",
        request_id: "7",
        shape: Shape::OpenAi,
        now_seconds: 9,
        standalone: Some(extra),
    };
    let mut script = simulate(&call);
    assert_eq!(script.headers["content-encoding"], "gzip");
    let bytes = script.steps.take_whole().unwrap();
    assert!(bytes.len() < 1024 * 1024 && bytes.starts_with(&[0x1F, 0x8B, 8]));
    assert_eq!(&bytes[bytes.len() - 4..], (104_857_651_u32).to_le_bytes());
}

#[test]
fn rules_bend_the_models_endpoint_too() {
    let mode = Mode::Cut { bytes: 5, rst: false };
    let headers = HeaderMap::new();
    let extra = Standalone { mode: Some(&mode), headers: &headers, context_tokens: None };
    let call = SimCall {
        endpoint: SimEndpoint::Models,
        body: b"",
        request_id: "7",
        shape: Shape::OpenAi,
        now_seconds: 9,
        standalone: Some(extra),
    };
    assert_eq!(Played::of(simulate(&call)).text(), "{\"obj");
}
