//! The upstream's copy: only what the rules name is changed.

use super::*;
use proptest::prelude::*;

fn sent(ask: &ChatAsk, upstream_model: &str, output_limit: Option<u64>, dialect: Dialect) -> String {
    String::from_utf8(ask.upstream_body(&Edits { upstream_model, output_limit, dialect }).concat()).unwrap()
}

/// What becomes of these members; the frame around them is taken off again.
fn members(members: &str, output_limit: Option<u64>, dialect: Dialect) -> String {
    let body = sent(&ask(members), "m/a", output_limit, dialect);
    serde_json::from_str::<serde_json::Value>(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    body.replacen(r#""model":"m/a","messages":[{"role":"user","content":"hi"}]"#, "…", 1)
}

#[test]
fn without_a_reason_the_body_is_the_very_buffer() {
    let ask = ask(r#""temperature":0.70,"seed":1e2,"x":{"b":1, "a":2}"#);
    let pieces = ask.upstream_body(&Edits { upstream_model: "m/a", output_limit: None, dialect: Dialect::Vllm });
    assert_eq!(pieces.len(), 1);
    assert!(std::ptr::eq(pieces[0].as_ptr(), ask.body.as_ptr()));
}

#[test]
fn the_model_is_replaced_and_quoted() {
    let ask = ask(r#""temperature":0.70"#);
    let body = sent(&ask, "up\"stream", None, Dialect::OpenAi);
    assert_eq!(body, r#"{"model":"up\"stream","messages":[{"role":"user","content":"hi"}],"temperature":0.70}"#);
    let escaped = ChatAsk::parse(r#"{"model":"m\/a","messages":[]}"#.into()).unwrap();
    assert_eq!(sent(&escaped, "m/a", None, Dialect::OpenAi), r#"{"model":"m/a","messages":[]}"#);
}

#[test]
fn usage_is_asked_for_on_streams_only() {
    use Dialect::{OpenAi, Sglang, Vllm};
    const OPTIONS: &str = r#""stream_options":"#;
    for (dialect, given, expected) in [
        (OpenAi, String::new(), "{…}".to_owned()),
        (Vllm, r#""stream":false"#.into(), r#"{…,"stream":false}"#.into()),
        (OpenAi, format!("{OPTIONS}{{}}"), format!("{{…,{OPTIONS}{{}}}}")),
        (OpenAi, r#""stream":true"#.into(), format!(r#"{{{OPTIONS}{{"include_usage":true}},…,"stream":true}}"#)),
        (
            Vllm,
            r#""stream":true"#.into(),
            format!(r#"{{{OPTIONS}{{"include_usage":true,"continuous_usage_stats":true}},…,"stream":true}}"#),
        ),
        (
            OpenAi,
            format!(r#""stream":true,{OPTIONS}null"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage":true}}}}"#),
        ),
        (
            OpenAi,
            format!(r#""stream":true,{OPTIONS}{{ }}"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage":true}}}}"#),
        ),
        (
            OpenAi,
            format!(r#""stream":true,{OPTIONS}{{"include_usage":false,"include_obfuscation":false}}"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage":true,"include_obfuscation":false}}}}"#),
        ),
        (
            OpenAi,
            format!(r#""stream":true,{OPTIONS}{{"include_obfuscation":false}}"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage":true,"include_obfuscation":false}}}}"#),
        ),
        (
            OpenAi,
            format!(r#""stream":true,{OPTIONS}{{"include_usage": true}}"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage": true}}}}"#),
        ),
        (
            Sglang,
            format!(r#""stream":true,{OPTIONS}{{"include_usage":null,"continuous_usage_stats":false}}"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage":true,"continuous_usage_stats":true}}}}"#),
        ),
        (
            Sglang,
            format!(r#""stream":true,{OPTIONS}{{"x":1}}"#),
            format!(r#"{{…,"stream":true,{OPTIONS}{{"include_usage":true,"continuous_usage_stats":true,"x":1}}}}"#),
        ),
    ] {
        assert_eq!(members(&given, None, dialect), expected, "{given}");
    }
}

#[test]
fn the_limit_is_lowered_where_the_caller_put_it_and_added_where_the_dialect_reads_it() {
    use Dialect::{Ollama, OpenAi};
    for (dialect, given, expected) in [
        (OpenAi, "", r#"{"max_completion_tokens":44,…}"#),
        (Ollama, "", r#"{"max_tokens":44,…}"#),
        (OpenAi, r#""max_tokens":100"#, r#"{…,"max_tokens":44}"#),
        (Ollama, r#""max_completion_tokens":100"#, r#"{…,"max_completion_tokens":44}"#),
        (OpenAi, r#""max_tokens":10"#, r#"{…,"max_tokens":10}"#),
        (OpenAi, r#""max_tokens":10,"max_completion_tokens":100"#, r#"{…,"max_tokens":10,"max_completion_tokens":44}"#),
        (OpenAi, r#""max_completion_tokens":null"#, r#"{…,"max_completion_tokens":44}"#),
        (Ollama, r#""max_tokens":null"#, r#"{…,"max_tokens":44}"#),
        (Ollama, r#""max_completion_tokens":null"#, r#"{"max_tokens":44,…,"max_completion_tokens":null}"#),
        (
            Ollama,
            r#""max_tokens":null,"max_completion_tokens":99"#,
            r#"{…,"max_tokens":null,"max_completion_tokens":44}"#,
        ),
    ] {
        assert_eq!(members(given, Some(44), dialect), expected, "{given}");
    }
}

#[test]
fn removed_tools_leave_valid_json_and_no_empty_list() {
    for (given, expected) in [
        (r#""tools":[{"type":"web_search"},{"type":"function"}]"#, r#"{…,"tools":[{"type":"function"}]}"#),
        (r#""tools":[{"type":"function"}, {"type":"web_search"}]"#, r#"{…,"tools":[{"type":"function"}]}"#),
        (
            r#""tools":[{"type":"a"},{"type":"function"},{"type":"b"},{"type":"c"}],"x":1"#,
            r#"{…,"tools":[{"type":"function"}],"x":1}"#,
        ),
        (r#""tools":[{"type":"web_search"}]"#, "{…}"),
        (r#""tools":[{"type":"web_search"}],"tool_choice":"auto","parallel_tool_calls":true,"x":1"#, r#"{…,"x":1}"#),
        (r#""x":1,"tools":[{"type":"a"},{"type":"b"}],"tool_choice":"none""#, r#"{…,"x":1}"#),
        (r#""tool_choice":"auto","x":1,"tools":[{"type":"a"}]"#, r#"{…,"x":1}"#),
    ] {
        assert_eq!(members(given, None, Dialect::OpenAi), expected, "{given}");
    }
}

#[test]
fn space_around_everything_is_kept() {
    let body = " {\n \"stream\" : true , \"model\" : \"m\" ,\n \"messages\" : [ ] }\n";
    let ask = ChatAsk::parse(body.into()).unwrap();
    assert_eq!(
        sent(&ask, "up", Some(5), Dialect::Vllm),
        " {\"max_tokens\":5,\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},\n \"stream\" : true , \"model\" : \"up\" ,\n \"messages\" : [ ] }\n"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_upstreams_copy_differs_in_nothing_but_the_edits(
        keys in prop::collection::btree_set("[a-z]{9,12}", 0..8),
        texts in prop::collection::vec(any::<String>(), 8),
        is_stream in any::<bool>(), limit in prop::option::of(1_u64..99), asked in prop::option::of(1_u64..99),
        tools in prop::collection::vec(prop::sample::select(vec!["function", "web_search", "mcp", "custom"]), 0..5),
        dialect in prop::sample::select(all()), is_pretty in any::<bool>(),
    ) {
        let mut document: serde_json::Value = serde_json::json!({
            "model": "caller/id", "stream": is_stream, "messages": [{"role": "user", "content": texts[0]}],
        });
        for (key, text) in keys.iter().zip(&texts) {
            document[key] = text.as_str().into();
        }
        if let Some(asked) = asked {
            document["max_tokens"] = asked.into();
        }
        if !tools.is_empty() {
            document["tools"] = tools.iter().map(|kind| serde_json::json!({"type": kind})).collect();
        }
        let text = if is_pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let ask = ChatAsk::parse(text.unwrap().into()).unwrap();
        let sent: serde_json::Value = serde_json::from_str(&sent(&ask, "upstream", limit, dialect)).unwrap();

        document["model"] = "upstream".into();
        let kept: Vec<_> = tools.iter().filter(|kind| matches!(**kind, "function" | "custom")).collect();
        if !tools.is_empty() {
            document["tools"] = kept.iter().map(|kind| serde_json::json!({"type": kind})).collect();
        }
        if kept.is_empty() {
            document.as_object_mut().unwrap().remove("tools");
        }
        if let Some(limit) = limit {
            let field = match asked {
                Some(_) => "max_tokens",
                None => crate::dialect::habits(dialect).limit_field,
            };
            document[field] = asked.map_or(limit, |asked| asked.min(limit)).into();
        }
        if is_stream {
            document["stream_options"] = serde_json::json!({"include_usage": true});
            if crate::dialect::habits(dialect).has_running_usage {
                document["stream_options"]["continuous_usage_stats"] = true.into();
            }
        }
        prop_assert_eq!(sent, document);
    }
}
