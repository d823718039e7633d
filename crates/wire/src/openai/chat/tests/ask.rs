//! Reading: every refusal with its code and param.

use super::*;
use claviger_domain::error::Code;
use claviger_domain::meter::{Meter, Meters};
use claviger_domain::price::Condition;

fn refusal(body: &str) -> (Code, Option<String>) {
    let error = ChatAsk::parse(Bytes::copy_from_slice(body.as_bytes())).expect_err(body);
    (error.code, error.param)
}

fn refused(members: &str) -> (Code, Option<String>) {
    let error = parse(members).expect_err(members);
    (error.code, error.param)
}

fn about(code: Code, param: &str) -> (Code, Option<String>) {
    (code, Some(param.to_owned()))
}

#[test]
fn row_40_a_repeated_key() {
    assert_eq!(refusal(r#"{"model":"a","model":"b"}"#), about(Code::DuplicateKey, "model"));
    assert_eq!(refusal(r#"{"model":"a","mod\u0065l":"b"}"#), about(Code::DuplicateKey, "model"));
    assert_eq!(
        refusal(r#"{"model":"a","messages":[{"content":[{"text":"a","text":"b"}]}]}"#),
        about(Code::DuplicateKey, "messages[0].content[0].text")
    );
}

#[test]
fn rows_41_and_42_a_key_in_another_case() {
    for key in ["Model", "MODEL", "max_to\u{212A}ens", "max_token\u{17F}", "Stream", "API_BASE", "Priority", "N"] {
        assert_eq!(refused(&format!(r#""{key}":1"#)), about(Code::AmbiguousKey, key));
    }
    assert_eq!(
        refused(r#""stream_options":{"Include_usage":true}"#),
        about(Code::AmbiguousKey, "stream_options.Include_usage")
    );
    assert_eq!(refused(r#""tools":[{"Type":"x"}]"#), about(Code::AmbiguousKey, "tools[0].Type"));
    // Tool schemas and metadata are not read.
    ask(
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"Model":1,"Type":2}}}],"metadata":{"Model":"x"}"#,
    );
}

#[test]
fn rows_43_to_45_what_is_no_json_object() {
    assert_eq!(refusal(r#"{"model":"a","x":1e400}"#), (Code::InvalidJson, None));
    assert_eq!(refusal(""), (Code::InvalidJson, None));
    assert_eq!(refusal(&format!("{{\"x\":{}", "[".repeat(64))).0, Code::JsonTooDeep);
    for body in ["[]", "null", "\"x\""] {
        assert_eq!(refusal(body), (Code::BodyNotObject, None));
    }
}

#[test]
fn row_46_the_model() {
    assert_eq!(refusal(r#"{"messages":[]}"#), about(Code::MissingRequiredParameter, "model"));
    let long = format!("\"{}\"", "a".repeat(257));
    for model in ["null", "1", r#"["a"]"#, "{}", "true", r#""""#, r#""a\u0000""#, r#""a\n""#, r#""\u0085""#, &long] {
        let body = format!(r#"{{"model":{model},"messages":[]}}"#);
        assert_eq!(refusal(&body), about(Code::InvalidModel, "model"), "{model}");
    }
    let model = "a".repeat(256);
    let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
    assert_eq!(ChatAsk::parse(body.into()).unwrap().model(), model);
}

#[test]
fn row_47_any_other_text_is_a_model_name_and_stays_byte_exact() {
    for model in ["meta-llama/Llama-3.1-8B-Instruct", "u-8105f7322477/test", "../x", "a#b", "a?x", "A ", "a\u{2011}b"] {
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        assert_eq!(ChatAsk::parse(body.into()).unwrap().model(), model);
    }
}

#[test]
fn messages_must_be_a_list_of_objects() {
    assert_eq!(refusal(r#"{"model":"a"}"#), about(Code::MissingRequiredParameter, "messages"));
    assert_eq!(refusal(r#"{"model":"a","messages":"hi"}"#), about(Code::InvalidValue, "messages"));
    assert_eq!(refusal(r#"{"model":"a","messages":[{},"hi"]}"#), about(Code::InvalidValue, "messages[1]"));
}

#[test]
fn row_49_where_the_request_goes_is_not_the_callers() {
    for name in ["api_base", "base_url", "api_key", "extra_headers", "custom_llm_provider"] {
        assert_eq!(refused(&format!(r#""{name}":null"#)), about(Code::ForbiddenParameter, name));
    }
}

#[test]
fn row_49_engine_fields_are_refused_where_an_engine_would_obey() {
    for name in [
        "priority",
        "kv_transfer_params",
        "bootstrap_host",
        "bootstrap_port",
        "bootstrap_room",
        "bootstrap_pair_key",
        "routed_dp_rank",
        "data_parallel_rank",
        "disagg_prefill_dp_rank",
        "lora_path",
        "custom_logit_processor",
        "session_params",
        "rid",
        "request_id",
    ] {
        let ask = ask(&format!(r#""{name}":1"#));
        for dialect in all() {
            let is_hosted = matches!(dialect, Dialect::OpenAi | Dialect::AzureOpenAi | Dialect::Gemini);
            let expected = (!is_hosted).then(|| about(Code::ForbiddenParameter, name));
            let refusal = ask.check_dialect(dialect).err().map(|error| (error.code, error.param));
            assert_eq!(refusal, expected, "{name} {dialect:?}");
        }
    }
}

#[test]
fn row_50_reserved_numbers_are_plain_integers_in_range() {
    for name in ["max_tokens", "max_completion_tokens", "n", "best_of"] {
        for value in [
            "-1",
            "0",
            "0.5",
            "\"10\"",
            "1e3",
            "1.0",
            "9223372036854775808",
            "99999999999999999999",
            "true",
            "[]",
            "{}",
        ] {
            assert_eq!(refused(&format!(r#""{name}":{value}"#)), about(Code::InvalidValue, name), "{value}");
        }
    }
    assert_eq!(refused(r#""n":129"#), about(Code::InvalidValue, "n"));
    assert_eq!(refused(r#""n":1000000"#), about(Code::InvalidValue, "n"));
    assert_eq!(ask(r#""n":128"#).choices, 128);
    assert_eq!(ask(r#""n":null"#).choices, 1);
    assert_eq!(ask(r#""max_tokens":9223372036854775807"#).output_limit, Some(9_223_372_036_854_775_807));
    assert_eq!(ask(r#""max_tokens":null"#).output_limit, None);
    assert_eq!(ask(r#""max_tokens":7,"max_completion_tokens":9"#).output_limit, Some(9));
}

#[test]
fn row_51_what_costs_and_has_no_price_is_refused_by_name() {
    for (members, param) in [
        (r#""n":2,"best_of":3"#, "best_of"),
        (r#""best_of":2"#, "best_of"),
        (r#""web_search_options":{}"#, "web_search_options"),
        (r#""modalities":["text","audio"]"#, "modalities"),
        (r#""prediction":{"type":"content","content":"x"}"#, "prediction"),
    ] {
        assert_eq!(refused(members), about(Code::UnpricedParameter, param), "{members}");
    }
    assert_eq!(refused(r#""service_tier":1"#), about(Code::InvalidValue, "service_tier"));
    assert_eq!(refused(r#""service_tier":"a b""#), about(Code::InvalidValue, "service_tier"));
    // Whether one of these has a price, the model's price book says.
    for (tier, asked) in
        [("priority", Some("priority")), ("fl\\u0065x", Some("flex")), ("auto", None), ("default", None)]
    {
        let asks = ask(&format!(r#""service_tier":"{tier}""#)).conditions();
        assert_eq!(asks.of(Condition::ServiceTier), asked, "{tier}");
    }
    for members in [
        r#""service_tier":"auto""#,
        r#""service_tier":"default""#,
        r#""service_tier":null"#,
        r#""n":3,"best_of":3"#,
        r#""modalities":["text"]"#,
        r#""web_search_options":null,"prediction":null,"modalities":null"#,
        r#""temperature":0.7,"unknown":{"deep":[1]}"#,
    ] {
        ask(members);
    }
}

#[test]
fn row_52_stream_and_its_options() {
    assert_eq!(refused(r#""stream":"true""#), about(Code::InvalidValue, "stream"));
    assert_eq!(refused(r#""stream":1"#), about(Code::InvalidValue, "stream"));
    assert_eq!(refused(r#""stream_options":1"#), about(Code::InvalidValue, "stream_options"));
    assert_eq!(
        refused(r#""stream_options":{"include_usage":1}"#),
        about(Code::InvalidValue, "stream_options.include_usage")
    );
    for (members, is_stream, wants_usage) in [
        ("", false, false),
        (r#""stream":false"#, false, false),
        (r#""stream":null"#, false, false),
        (r#""stream":true"#, true, false),
        (r#""stream":true,"stream_options":null"#, true, false),
        (r#""stream":true,"stream_options":{}"#, true, false),
        (r#""stream":true,"stream_options":{"include_usage":false}"#, true, false),
        (r#""stream":true,"stream_options":{"include_usage":true}"#, true, true),
        (r#""stream_options":{"include_usage":true}"#, false, false),
    ] {
        let ask = ask(members);
        assert_eq!((ask.is_stream, ask.wants_usage), (is_stream, wants_usage), "{members}");
    }
}

#[test]
fn tools_that_the_upstream_runs_are_named_and_others_stay() {
    let ask = ask(
        r#""tools":[{"type":"web_search"},{"type":"function"},{"type":"mcp"},{"type":"we\u0062_search"},{"type":"a b"}]"#,
    );
    assert_eq!(ask.removed_tools(), ["web_search", "mcp", "web_search", "tools[4]"]);
    let ask = super::ask(
        r#""tools":[{"type":"function"},{"type":"custom"},{"type":"local_shell"},{"type":"shell"},{"type":"apply_patch"},{"type":"computer_use_preview"},{"type":"bash_20250124"},{"type":"text_editor_20250728"},{"type":"memory_20250818"},{}]"#,
    );
    assert!(ask.removed_tools().is_empty());
}

#[test]
fn a_tool_choice_that_insists_on_a_removed_tool_is_refused() {
    const TOOLS: &str = r#""tools":[{"type":"web_search"},{"type":"function","function":{"name":"f"}}]"#;
    let unpriced = about(Code::UnpricedParameter, "tool_choice");
    assert_eq!(refused(&format!(r#"{TOOLS},"tool_choice":{{"type":"web_search"}}"#)), unpriced);
    let allowed =
        r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"web_search"}]}}"#;
    assert_eq!(refused(&format!("{TOOLS},{allowed}")), unpriced);
    assert_eq!(refused(r#""tools":[{"type":"web_search"}],"tool_choice":"required""#), unpriced);
    for choice in [r#""auto""#, r#""required""#, r#""none""#, "null", r#"{"type":"function","function":{"name":"f"}}"#]
    {
        ask(&format!(r#"{TOOLS},"tool_choice":{choice}"#));
    }
}

/// A request whose one message has these parts.
fn parts(parts: &str) -> ChatAsk {
    ChatAsk::parse(format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{parts}]}}]}}"#).into()).unwrap()
}

#[test]
fn media_from_elsewhere_are_refused_where_the_server_would_fetch_them() {
    let remote = parts(r#"{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#);
    for dialect in all() {
        let is_refused =
            matches!(dialect, Dialect::Vllm | Dialect::Sglang | Dialect::LlamaCpp | Dialect::Ollama | Dialect::Tgi);
        let refusal = remote.check_dialect(dialect).err().map(|error| (error.code, error.param));
        assert_eq!(refusal, is_refused.then(|| about(Code::InvalidValue, "messages[0].content[1]")), "{dialect:?}");
    }
    let second = r#"{"model":"m","messages":[{"content":[{"type":"text","text":"x"}]},{"content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]}"#;
    let refusal = ChatAsk::parse(second.into()).unwrap().check_dialect(Dialect::Vllm).unwrap_err();
    assert_eq!(refusal.param.as_deref(), Some("messages[1].content[0]"));
    for inline in [
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#,
        r#"{"type":"image_url","image_url":{"url":"d\u0061ta:image/png;base64,AA=="}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#,
    ] {
        assert!(parts(inline).check_dialect(Dialect::Vllm).is_ok(), "{inline}");
    }
    for remote in [
        r#"{"type":"image_url","image_url":"http://x"}"#,
        r#"{"type":"video_url","video_url":{"url":"file:///etc/passwd"}}"#,
        r#"{"type":"text","text":"x","audio_url":{"url":"http://x"}}"#,
    ] {
        assert!(parts(remote).check_dialect(Dialect::Vllm).is_err(), "{remote}");
    }
}

#[test]
fn v15_the_bound_is_bytes_and_a_template_times_nothing_else() {
    let body = |length: usize| {
        let empty = r#"{"model":"m","messages":[{"role":"user","content":""}]}"#;
        let text = "x".repeat(length - empty.len());
        ChatAsk::parse(empty.replace("\"\"", &format!("\"{text}\"")).into()).unwrap()
    };
    let limits = ModelLimits { context_tokens: Some(131_072), output_tokens_max: Some(16_384) };
    let bound = body(2_000).bound(limits).unwrap();
    assert_eq!(bound.input, Meters::NONE.with(Meter::InputToken, 3_024));
    assert_eq!((bound.output_per_choice, bound.choices), (16_384, 1));
    let bound = body(1_000_000).bound(ModelLimits { context_tokens: Some(1_048_576), output_tokens_max: Some(8_192) });
    assert_eq!(bound.unwrap().input.of(Meter::InputToken), Some(1_001_024));
    let bound = body(1_000_000).bound(limits).unwrap();
    assert_eq!(bound.input.of(Meter::InputToken), Some(131_072), "never above the context");
}

#[test]
fn the_output_bound_is_the_asked_limit_but_never_above_the_models() {
    let limits = ModelLimits { context_tokens: Some(1000), output_tokens_max: Some(100) };
    let output =
        |members: &str, limits| ask(members).bound(limits).map(|bound| (bound.output_per_choice, bound.choices));
    assert_eq!(output("", limits), Ok((100, 1)));
    assert_eq!(output(r#""max_tokens":10,"n":4"#, limits), Ok((10, 4)));
    assert_eq!(output(r#""max_completion_tokens":5000"#, limits), Ok((100, 1)));
    assert_eq!(output("", ModelLimits { output_tokens_max: None, ..limits }), Ok((1000, 1)));
    let error = ask("").bound(ModelLimits::default()).unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (Code::UnboundedInput, Some("max_completion_tokens")));
    assert_eq!(output(r#""max_tokens":10"#, ModelLimits::default()), Ok((10, 1)));
}

#[test]
fn what_makes_tokens_without_bytes_is_bounded_by_the_context() {
    for media in [
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#,
        r#"{"type":"input_audio","input_audio":{"data":"AA=="}}"#,
        r#"{"type":"file","file":{"file_id":"file-1"}}"#,
        r#"{"type":"unheard_of"}"#,
    ] {
        let ask = parts(&format!(r#"{{"type":"text","text":"x"}},{media}"#));
        let limits = ModelLimits { context_tokens: Some(50_000), output_tokens_max: Some(10) };
        assert_eq!(ask.bound(limits).unwrap().input.of(Meter::InputToken), Some(50_000), "{media}");
        let error = ask.bound(ModelLimits { context_tokens: None, ..limits }).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnboundedInput, Some("messages")));
    }
    assert!(
        ask(r#""chat_template":"{% for i in range(9**9) %}a{% endfor %}","max_tokens":1"#)
            .bound(ModelLimits::default())
            .is_err()
    );
}

#[test]
fn the_estimate_is_a_quarter_of_the_text_and_four_a_message() {
    let body = r#"{"model":"m","messages":[{"role":"system","content":"12345"},{"role":"user","content":[{"type":"text","text":"\u00e9\n"},{"type":"text","text":"1"}]}]}"#;
    // 5 + (2 + 1) + 1 bytes = 9 → 3, and 2 × 4.
    assert_eq!(ChatAsk::parse(body.into()).unwrap().estimated_input_tokens(), 11);
}

#[test]
fn the_simulators_member_is_reserved() {
    assert_eq!(refused(r#""Sim":{}"#), about(Code::AmbiguousKey, "Sim"));
}
