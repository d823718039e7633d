//! Golden bytes of the simulator, and its promises.

use super::*;
use serde_json::{Value, json};

const HELLO: &str = r#"{"model":"sim-echo","messages":[{"role":"user","content":"Say hello"}]}"#;

/// The shapes of servers that chat.
fn chatting() -> impl Iterator<Item = &'static Shape> {
    Shape::ALL.iter().filter(|shape| shape.serves(SimEndpoint::Chat))
}

/// One answer played without waiting.
struct Played {
    status: u16,
    head_wait_ms: u64,
    waits_ms: Vec<u64>,
    steps: Vec<String>,
    ending: Ending,
    is_raw: bool,
    headers: HeaderMap,
}

impl Played {
    fn of(script: Script) -> Self {
        let Script { head_wait_ms, status, headers, steps, ending, is_raw } = script;
        let steps: Vec<Step> = steps.collect();
        Self {
            status,
            head_wait_ms,
            waits_ms: steps.iter().map(|step| step.wait_ms).collect(),
            steps: steps.iter().map(|step| String::from_utf8_lossy(&step.bytes).into_owned()).collect(),
            ending,
            is_raw,
            headers,
        }
    }

    fn text(&self) -> String {
        self.steps.concat()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn events(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]");
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    fn content(&self) -> String {
        self.events()
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect()
    }
}

fn in_process(body: &str) -> Played {
    posted(SimEndpoint::Chat, body)
}

fn posted(endpoint: SimEndpoint<'_>, body: &str) -> Played {
    let call = SimCall {
        endpoint,
        body: body.as_bytes(),
        request_id: "req_1",
        shape: Shape::OpenAi,
        now_seconds: 9,
        standalone: None,
    };
    Played::of(simulate(&call))
}

fn standalone(shape: Shape, body: &str, mode: Option<Value>) -> Played {
    let mode: Option<Mode> = mode.map(|mode| serde_json::from_value(mode).unwrap());
    let mut headers = HeaderMap::new();
    headers.insert("x-one", http::HeaderValue::from_static("1"));
    let extra = Standalone { mode: mode.as_ref(), headers: &headers, context_tokens: shape.default_context_tokens() };
    let call = SimCall {
        endpoint: SimEndpoint::Chat,
        body: body.as_bytes(),
        request_id: "7",
        shape,
        now_seconds: 9,
        standalone: Some(extra),
    };
    Played::of(simulate(&call))
}

fn ask(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say hello"}}]{more}}}"#)
}

#[test]
fn the_echo_of_say_hello_costs_seven_tokens_byte_for_byte() {
    let played = in_process(HELLO);
    assert_eq!(
        played.text(),
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":9,"model":"sim-echo","system_fingerprint":"sim-1","choices":[{"index":0,"message":{"role":"assistant","content":"Say hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":3,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#
    );
    assert_eq!((played.status, played.head_wait_ms, played.ending), (200, 0, Ending::Clean));
    assert_eq!(played.headers["content-type"], "application/json");
}

#[test]
fn a_stream_is_role_tokens_finish_usage_done_byte_for_byte() {
    let played = in_process(&ask("sim-echo", r#","stream":true,"stream_options":{"include_usage":true}"#));
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":9,\"model\":\"sim-echo\",\
             \"system_fingerprint\":\"sim-1\",\"choices\":[{rest}}}\n\n"
        )
    };
    let delta = |delta: &str, finish: &str| {
        chunk(&format!(
            "{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":null"
        ))
    };
    let expected = [
        delta(r#""role":"assistant","content":"""#, "null"),
        delta(r#""content":"Say ""#, "null"),
        delta(r#""content":"hell""#, "null"),
        delta(r#""content":"o""#, "null"),
        delta("", r#""stop""#),
        chunk(
            r#"],"usage":{"prompt_tokens":4,"completion_tokens":3,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(played.steps, expected);
    assert_eq!(played.waits_ms, [0; 7]);
    assert_eq!(played.headers["content-type"], "text/event-stream; charset=utf-8");
}

#[test]
fn usage_comes_on_a_stream_only_when_asked() {
    let played = in_process(&ask("sim-echo", r#","stream":true"#));
    assert!(!played.text().contains("usage"));
    assert!(played.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn the_prompt_counts_messages_parts_and_tools() {
    let body = json!({"model": "x", "tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
        {"role": "system", "content": "12345"},
        {"role": "user", "content": [{"type": "text", "text": "ab"}, {"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "c\n"}]},
        {"role": "assistant", "content": null}]});
    let reply = in_process(&body.to_string()).json();
    // 2 + 1, 1 + 1 + 10, 0 + 1, and 8.
    assert_eq!(reply["usage"]["prompt_tokens"], 24);
    assert_eq!(reply["choices"][0]["message"]["content"], "abc\n");
}

#[test]
fn the_token_limit_cuts_and_says_length_and_the_newer_name_wins() {
    for (more, text, finish) in [
        (r#","max_tokens":2"#, "Say hell", "length"),
        (r#","max_tokens":3"#, "Say hello", "stop"),
        (r#","max_tokens":3,"max_completion_tokens":1"#, "Say ", "length"),
        (r#","max_tokens":0"#, "", "length"),
    ] {
        let reply = in_process(&ask("sim-echo", more)).json();
        assert_eq!(reply["choices"][0]["message"]["content"], text);
        assert_eq!(reply["choices"][0]["finish_reason"], finish);
        let streamed = in_process(&ask("sim-echo", &format!("{more},\"stream\":true")));
        assert_eq!(streamed.content(), text);
        assert_eq!(streamed.events().last().unwrap()["choices"][0]["finish_reason"], finish);
    }
}

#[test]
fn choices_are_interleaved_and_all_of_them_count() {
    let more = r#","n":2,"stream":true,"stream_options":{"include_usage":true}"#;
    let events = in_process(&ask("sim-echo", more)).events();
    let order: Vec<_> = events.iter().filter_map(|event| event["choices"][0]["index"].as_u64()).collect();
    assert_eq!(order, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 6);
    assert_eq!(in_process(&ask("sim-echo", r#","n":3"#)).json()["usage"]["completion_tokens"], 9);
}

#[test]
fn sim_stream_paces_its_numbered_tokens() {
    let played = in_process(&ask("sim-stream", r#","stream":true,"sim":{"tokens":3}"#));
    assert_eq!(played.content(), "001 002 003 ");
    assert_eq!(played.waits_ms, [200, 0, 20, 20, 0, 0]);
    let whole = in_process(&ask("sim-stream", r#","sim":{"tokens":3,"first_ms":7,"gap_ms":5}"#));
    assert_eq!(whole.head_wait_ms, 17);
    assert_eq!(whole.json()["choices"][0]["message"]["content"], "001 002 003 ");
    assert_eq!(in_process(&ask("sim-stream", "")).json()["usage"]["completion_tokens"], 100);
}

#[test]
fn ten_thousand_tokens_are_made_one_at_a_time() {
    let body = ask("sim-stream", r#","stream":true,"sim":{"tokens":10000,"gap_ms":0}"#);
    let call = SimCall {
        endpoint: SimEndpoint::Chat,
        body: body.as_bytes(),
        request_id: "req_1",
        shape: Shape::OpenAi,
        now_seconds: 9,
        standalone: None,
    };
    let script = simulate(&call);
    assert_eq!(script.steps.size_bytes(), None);
    assert_eq!(script.steps.count(), 10_003);
}

#[test]
fn sim_tools_calls_the_chosen_tool_with_arguments_of_its_schema() {
    let tools = r#","tools":[{"type":"function","function":{"name":"first"}},{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}}]"#;
    let choice = r#","tool_choice":{"type":"function","function":{"name":"get_weather"}}"#;
    let reply = in_process(&ask("sim-tools", &format!("{tools}{choice}"))).json();
    let call = json!({"id": "call_sim_1", "type": "function", "function": {"name": "get_weather", "arguments": r#"{"city":"sim","days":1}"#}});
    assert_eq!(reply["choices"][0]["message"]["tool_calls"], json!([call]));
    assert_eq!(reply["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
    // 3 for the name, 6 for the arguments; 4 + 2 * 8 for the prompt.
    assert_eq!((&reply["usage"]["completion_tokens"], &reply["usage"]["prompt_tokens"]), (&json!(9), &json!(20)));

    let events = in_process(&ask("sim-tools", &format!("{tools}{choice},\"stream\":true"))).events();
    let deltas: Vec<_> = events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0)).collect();
    assert_eq!(deltas[0]["function"], json!({"name": "get_weather", "arguments": ""}));
    let arguments: String = deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
    assert_eq!((deltas.len(), arguments.as_str()), (7, r#"{"city":"sim","days":1}"#));

    assert_eq!(
        in_process(&ask("sim-tools", tools)).json()["choices"][0]["message"]["tool_calls"][0]["function"],
        json!({"name": "first", "arguments": "{}"})
    );
    assert_eq!(in_process(&ask("sim-tools", "")).json()["choices"][0]["message"]["content"], "Say hello");
    assert_eq!(
        in_process(&ask("sim-tools", r#","tool_choice":{"type":"function","function":{"name":"x"}}"#)).status,
        400
    );
    let after = r#"{"model":"sim-tools","messages":[{"role":"user","content":"q"},{"role":"tool","tool_call_id":"call_sim_1","content":"sun"}]}"#;
    assert_eq!(in_process(after).json()["choices"][0]["message"]["content"], "tool said: sun");
}

#[test]
fn a_tool_call_never_sends_more_tokens_than_the_limit() {
    let tools = r#","tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]"#;
    for limit in 0..9_u64 {
        let reply = in_process(&ask("sim-tools", &format!("{tools},\"max_tokens\":{limit}"))).json();
        assert!(reply["usage"]["completion_tokens"].as_u64().unwrap() <= limit);
    }
}

#[test]
fn sim_json_answers_by_schema_or_wraps_the_echo() {
    let content = |more: &str| in_process(&ask("sim-json", more)).json()["choices"][0]["message"]["content"].clone();
    assert_eq!(content(""), r#"{"echo":"Say hello"}"#);
    let schema = r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}}}"#;
    assert_eq!(content(schema), r#"{"ok":true}"#);
}

#[test]
fn sim_reasoning_reasons_before_the_echo_and_reports_it() {
    let reply = in_process(&ask("sim-reasoning", r#","sim":{"reasoning":2,"cached":3}"#)).json();
    assert_eq!(reply["choices"][0]["message"]["reasoning_content"], "r01 r02 ");
    assert_eq!(reply["choices"][0]["message"]["content"], "Say hello");
    assert_eq!(reply["usage"]["completion_tokens"], 5);
    assert_eq!(reply["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
    assert_eq!(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
    let played = in_process(&ask("sim-reasoning", r#","stream":true,"max_tokens":21"#));
    let reasons =
        played.events().iter().filter(|event| event["choices"][0]["delta"]["reasoning_content"].is_string()).count();
    assert_eq!((reasons, played.content().as_str()), (20, "Say "));
}

#[test]
fn the_failing_models_fail_as_named() {
    let played = in_process(&ask("sim-error-429", ""));
    assert_eq!((played.status, played.headers["retry-after"].to_str().unwrap()), (429, "1"));
    let error = &played.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (&json!("requests"), &json!("rate_limit_exceeded"), &Value::Null)
    );
    assert!(error["message"].as_str().unwrap().ends_with("Please try again in 1s."));

    let played = in_process(&ask("sim-error-500", r#","stream":true"#));
    assert_eq!((played.status, &played.json()["error"]["code"]), (500, &json!("internal_error")));
    let played = in_process(&ask("sim-error-timeout", ""));
    assert_eq!(
        (played.status, played.head_wait_ms, &played.json()["error"]["code"]),
        (504, 10_000, &json!("upstream_timeout"))
    );
    assert_eq!(in_process(&ask("sim-error-timeout", r#","sim":{"first_ms":5}"#)).head_wait_ms, 5);

    for model in ["sim-error-midstream", "sim-error-truncate"] {
        let whole = in_process(&ask(model, ""));
        assert_eq!((whole.status, &whole.json()["error"]["code"]), (502, &json!("upstream_error")));
        let streamed =
            in_process(&ask(model, r#","stream":true,"stream_options":{"include_usage":true},"sim":{"fail_after":2}"#));
        assert_eq!((streamed.status, streamed.content().as_str(), streamed.ending), (200, "001 002 ", Ending::Clean));
        assert!(!streamed.text().contains("[DONE]") && !streamed.text().contains("\"stop\""));
        let last = streamed.events().pop().unwrap();
        let code = if model == "sim-error-midstream" { json!("upstream_error") } else { Value::Null };
        assert_eq!(last["error"]["code"], code);
    }
}

#[test]
fn what_the_simulator_does_not_know_is_refused() {
    for (body, status, code, param) in [
        ("nonsense", 400, "invalid_json", Value::Null),
        (r#"{"messages":[]}"#, 400, "missing_required_parameter", json!("model")),
        (r#"{"model":"x"}"#, 400, "missing_required_parameter", json!("messages")),
        (r#"{"model":"sim-what","messages":[]}"#, 404, "model_not_found", json!("model")),
        (r#"{"model":"x","messages":[],"n":0}"#, 400, "invalid_value", json!("n")),
        (r#"{"model":"x","messages":[],"n":129}"#, 400, "invalid_value", json!("n")),
        (r#"{"model":"x","messages":[],"sim":{"what":1}}"#, 400, "invalid_value", json!("sim.what")),
        (r#"{"model":"x","messages":[],"sim":{"mode":"no-usage"}}"#, 400, "invalid_value", json!("sim.mode")),
        (r#"{"model":"x","messages":[],"sim":[]}"#, 400, "invalid_value", json!("sim")),
        (r#"{"model":"x","messages":[],"sim":{"tokens":10001}}"#, 400, "invalid_value", json!("sim.tokens")),
        (r#"{"model":"x","messages":[],"sim":{"first_ms":-1}}"#, 400, "invalid_value", json!("sim.first_ms")),
        (r#"{"model":"x","messages":[],"sim":{"gap_ms":"1"}}"#, 400, "invalid_value", json!("sim.gap_ms")),
        (r#"{"model":"x","messages":[],"sim":{"finish":"error"}}"#, 400, "invalid_value", json!("sim.finish")),
        (r#"{"model":"x","messages":[],"sim":{"cached":1}}"#, 400, "invalid_value", json!("sim.cached")),
    ] {
        let played = in_process(body);
        let error = &played.json()["error"];
        assert_eq!((played.status, &error["code"], &error["param"]), (status, &json!(code), &param), "{body}");
    }
    assert_eq!(
        in_process(&ask("sim-echo", r#","sim":{"finish":"content_filter"}"#)).json()["choices"][0]["finish_reason"],
        "content_filter"
    );
    assert_eq!(in_process(&ask("sim-echo", r#","sim":null,"stop":["x"],"seed":1,"stream_options":null"#)).status, 200);
}

#[test]
fn the_answer_depends_on_the_request_alone() {
    for model in MODELS {
        let body = ask(model, r#","stream":true"#);
        assert_eq!(in_process(&body).steps, in_process(&body).steps);
    }
}

mod messages;
mod modes;
mod responses;
mod shapes;

#[test]
fn a_vector_is_a_function_of_its_input_and_of_length_one() {
    let vectors = |body: &str| -> Vec<Vec<f64>> {
        let answer = posted(SimEndpoint::Embeddings, body).json();
        let of = |item: &Value| serde_json::from_value(item["embedding"].clone()).unwrap();
        answer["data"].as_array().unwrap().iter().map(of).collect()
    };
    let two = vectors(r#"{"model":"sim-embed","input":["Say hello","Say hellp"]}"#);
    assert_eq!((two.len(), two[0].len()), (2, 64));
    assert_ne!(two[0], two[1]);
    for vector in &two {
        let length = vector.iter().map(|number| number * number).sum::<f64>();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_eq!(vectors(r#"{"model":"sim-embed","input":"Say hello"}"#)[0], two[0]);
    let wide = &vectors(r#"{"model":"any","input":[1,22],"dimensions":100}"#)[0];
    assert_eq!(wide.len(), 100);
    assert_eq!(wide, &vectors(r#"{"model":"any","input":"1,22","dimensions":100}"#)[0], "ids are their text");
}

#[test]
fn a_ranking_is_a_function_of_the_words() {
    const ASK: &str = r#"{"model":"sim-rerank","query":"Red apples","documents":["green pears",{"text":"apples, red"},"an apple is red"],"top_n":2,"return_documents":true}"#;
    let answer = posted(SimEndpoint::Rerank, ASK).json();
    let expected = json!([
        { "index": 1, "relevance_score": 1.0, "document": { "text": "apples, red" } },
        { "index": 2, "relevance_score": 0.5, "document": { "text": "an apple is red" } },
    ]);
    assert_eq!(answer["results"], expected);
    // Three tokens of the query with each document: 3 + 3, 3 + 3, 3 + 4.
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 19, "total_tokens": 19 }));
    assert_eq!(answer["meta"]["billed_units"]["search_units"], 1);
    let of = |shape: Shape, body: &str| {
        let call = SimCall { endpoint: SimEndpoint::Rerank, ..call_of(shape, body) };
        Played::of(simulate(&call))
    };
    let tei = of(Shape::Tei, r#"{"query":"a b","texts":["c","b"]}"#);
    assert_eq!(tei.text(), r#"[{"index":1,"score":0.500000},{"index":0,"score":0.000000}]"#);
    assert_eq!(tei.headers["x-compute-tokens"], "4");
    assert!(!Shape::Ollama.serves(SimEndpoint::Rerank) && !Shape::Tei.serves(SimEndpoint::Chat));
    assert!(of(Shape::Sglang, ASK).text().starts_with(r#"[{"index":1,"score":1.000000,"document":"apples, red""#));
}

fn call_of(shape: Shape, body: &str) -> SimCall<'_> {
    SimCall {
        endpoint: SimEndpoint::Chat,
        body: body.as_bytes(),
        request_id: "7",
        shape,
        now_seconds: 0,
        standalone: None,
    }
}
