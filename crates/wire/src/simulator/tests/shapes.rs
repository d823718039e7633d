//! Each shape reproduces its row of W51.

use super::*;

const STREAM_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;
const RUNNING: &str = r#","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}"#;

#[test]
fn whole_answers_agree_in_text_and_tokens() {
    for shape in chatting() {
        let reply = standalone(*shape, HELLO, None).json();
        assert_eq!(reply["choices"][0]["message"]["content"], "Say hello", "{shape}");
        assert_eq!(
            (&reply["usage"]["prompt_tokens"], &reply["usage"]["completion_tokens"], &reply["usage"]["total_tokens"]),
            (&json!(4), &json!(3), &json!(7)),
            "{shape}"
        );
        assert_eq!((&reply["id"], &reply["object"]), (&json!("chatcmpl-7"), &json!("chat.completion")));
    }
}

#[test]
fn streams_agree_in_text_and_report_usage_in_a_chunk_without_choices() {
    for shape in chatting() {
        let played = standalone(*shape, &ask("any-name", STREAM_USAGE), None);
        assert_eq!(played.content(), "Say hello", "{shape}");
        let last = played.events().pop().unwrap();
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(7)), "{shape}");
        let silent = standalone(*shape, &ask("any-name", r#","stream":true"#), None);
        assert!(silent.events().iter().all(|event| event["usage"].is_null()), "{shape}");
        assert!(silent.text().ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn only_vllm_and_sglang_report_running_usage() {
    for shape in chatting() {
        let events = standalone(*shape, &ask("m", RUNNING), None).events();
        let running: Vec<_> = events.iter().filter_map(|event| event["usage"]["completion_tokens"].as_u64()).collect();
        let expected: &[u64] = if shape.has_running_usage() { &[0, 1, 2, 3, 3, 3] } else { &[3] };
        assert_eq!(running, expected, "{shape}");
    }
    let two = standalone(Shape::Vllm, &ask("m", &format!("{RUNNING},\"n\":2")), None).events();
    let running: Vec<_> = two.iter().filter_map(|event| event["usage"]["completion_tokens"].as_u64()).collect();
    assert_eq!(running, [0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6]);
    let alone = r#","stream":true,"stream_options":{"continuous_usage_stats":true}"#;
    assert!(!standalone(Shape::Vllm, &ask("m", alone), None).text().contains("usage"));
}

#[test]
fn vllm_refuses_stream_options_without_a_stream() {
    let body = ask("m", r#","stream_options":{"include_usage":true}"#);
    let played = standalone(Shape::Vllm, &body, None);
    assert_eq!(played.status, 400);
    let error = &played.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("BadRequestError"), &json!(400)));
    assert_eq!(standalone(Shape::OpenAi, &body, None).status, 200);
}

#[test]
fn details_come_in_each_servers_own_form() {
    let body = ask("sim-reasoning", r#","sim":{"reasoning":2,"cached":1}"#);
    let usage = |shape: Shape| standalone(shape, &body, None).json()["usage"].clone();
    assert_eq!(
        usage(Shape::Vllm),
        json!({"prompt_tokens": 4, "total_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 2}})
    );
    assert_eq!(
        usage(Shape::Sglang),
        json!({"prompt_tokens": 4, "total_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}, "reasoning_tokens": 2})
    );
    assert_eq!(
        usage(Shape::LlamaCpp),
        json!({"prompt_tokens": 4, "total_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}})
    );
    assert_eq!(usage(Shape::Ollama), json!({"prompt_tokens": 4, "total_tokens": 9, "completion_tokens": 5}));
    let silent = standalone(Shape::Vllm, HELLO, None).json();
    assert_eq!(silent["usage"]["prompt_tokens_details"], Value::Null);
    assert_eq!(standalone(Shape::LlamaCpp, HELLO, None).json()["timings"]["predicted_n"], 3);
}

#[test]
fn errors_have_each_servers_own_body() {
    let error = |shape: Shape| standalone(shape, &ask("sim-error-500", ""), None).json();
    let message = "The simulator failed, as it was asked to.";
    assert_eq!(
        error(Shape::OpenAi),
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": "internal_error"}})
    );
    assert_eq!(
        error(Shape::Vllm),
        json!({"error": {"message": message, "type": "InternalServerError", "param": null, "code": 500}})
    );
    assert_eq!(
        error(Shape::Sglang),
        json!({"object": "error", "message": message, "type": "InternalServerError", "param": null, "code": 500})
    );
    assert_eq!(error(Shape::LlamaCpp), json!({"error": {"code": 500, "message": message, "type": "server_error"}}));
    assert_eq!(
        error(Shape::Ollama),
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
    );
}

#[test]
fn an_error_in_a_stream_is_wrapped_and_vllm_and_sglang_still_say_done() {
    for shape in chatting() {
        let played = standalone(*shape, &ask("sim-error-midstream", r#","stream":true"#), None);
        assert_eq!(played.content(), "001 002 003 004 005 ", "{shape}");
        assert!(played.events().last().unwrap()["error"]["message"].is_string(), "{shape}");
        let says_done = matches!(shape, Shape::Vllm | Shape::Sglang);
        assert_eq!(played.text().ends_with("data: [DONE]\n\n"), says_done, "{shape}");
    }
}

#[test]
fn credentials_and_paths_are_refused_in_each_servers_own_way() {
    let body = |script: Script| Played::of(script).text();
    assert_eq!(body(refuse_credential(Shape::Vllm, false)), r#"{"error":"Unauthorized"}"#);
    assert_eq!(
        body(refuse_credential(Shape::LlamaCpp, true)),
        r#"{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}"#
    );
    assert!(body(refuse_credential(Shape::OpenAi, false)).contains(r#""code":"invalid_api_key""#));
    assert!(Shape::ALL.iter().all(|shape| refuse_credential(*shape, true).status == 401));
    assert_eq!(body(refuse_path(Shape::Sglang, "GET", "/x")), r#"{"detail":"Not Found"}"#);
    assert_eq!(body(refuse_path(Shape::Ollama, "GET", "/x")), "404 page not found");
    assert!(body(refuse_path(Shape::OpenAi, "GET", "/v1/x")).contains("Invalid URL (GET /v1/x)"));
}

#[test]
fn llamacpp_says_how_long_the_prompt_was() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(4 * 8192)}]}).to_string();
    let played = standalone(Shape::LlamaCpp, &body, None);
    let error = &played.json()["error"];
    assert_eq!((played.status, &error["type"]), (400, &json!("exceed_context_size_error")));
    assert_eq!((&error["n_prompt_tokens"], &error["n_ctx"]), (&json!(8193), &json!(8192)));
    assert_eq!(standalone(Shape::OpenAi, &body, None).status, 200);
}

#[test]
fn a_context_length_bounds_prompt_and_limit_together() {
    let headers = HeaderMap::new();
    let status = |shape: Shape, limit: u64| {
        let body = ask("m", &format!(",\"max_tokens\":{limit}"));
        let extra = Standalone { mode: None, headers: &headers, context_tokens: Some(100) };
        let call = SimCall {
            endpoint: SimEndpoint::Chat,
            body: body.as_bytes(),
            request_id: "7",
            shape,
            now_seconds: 9,
            standalone: Some(extra),
        };
        let played = Played::of(simulate(&call));
        assert!(played.status == 200 || played.text().contains("maximum context length"));
        played.status
    };
    assert_eq!((status(Shape::Vllm, 96), status(Shape::Vllm, 97), status(Shape::Sglang, 97)), (200, 400, 400));
    assert_eq!((status(Shape::Ollama, 97), status(Shape::LlamaCpp, 97)), (200, 200));
}

#[test]
fn models_are_listed_and_found_by_name() {
    let get = |shape: Shape, endpoint: SimEndpoint<'_>| {
        let call = SimCall { endpoint, body: b"", request_id: "7", shape, now_seconds: 9, standalone: None };
        Played::of(simulate(&call))
    };
    for shape in chatting() {
        let list = get(*shape, SimEndpoint::Models).json();
        let ids: Vec<_> = list["data"].as_array().unwrap().iter().filter_map(|item| item["id"].as_str()).collect();
        assert_eq!(ids, MODELS, "{shape}");
    }
    assert_eq!(
        get(Shape::OpenAi, SimEndpoint::Models).json()["data"][0],
        json!({"id": "sim-echo", "object": "model", "created": 9, "owned_by": "simulator"})
    );
    assert_eq!(get(Shape::Vllm, SimEndpoint::Model("a/b")).json()["id"], "a/b");
    assert_eq!(get(Shape::OpenAi, SimEndpoint::Model("sim-what")).status, 404);
    assert_eq!(get(Shape::LlamaCpp, SimEndpoint::Model("a")).status, 404);
}
