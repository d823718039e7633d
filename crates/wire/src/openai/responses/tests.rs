//! Requests and endings, row by row. Whole exchanges are golden cases in `tests/golden/`.

use super::*;
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits};
use crate::sse::SseReader;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::ResponseId;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};
use claviger_domain::price::Condition;
use serde_json::{Value, json};

const ASKED: &str = r#""model":"gpt","input":"Hello""#;

fn parse(body: &str) -> Result<ResponsesAsk, PublicError> {
    ResponsesAsk::parse(Bytes::copy_from_slice(body.as_bytes()))
}

fn ask(members: &str) -> ResponsesAsk {
    parse(&format!("{{{ASKED}{members}}}")).unwrap_or_else(|error| panic!("{members}: {error:?}"))
}

fn refusal(body: &str) -> (Code, String) {
    let error = parse(body).expect_err(body);
    (error.code, error.param.unwrap_or_default())
}

fn sent(ask: &ResponsesAsk, output_limit: Option<u64>) -> String {
    let edits = Edits { upstream_model: "gpt", output_limit, dialect: Dialect::OpenAi };
    String::from_utf8(ask.upstream(&edits).body.concat()).unwrap()
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let missing = |param: &str| (Code::MissingRequiredParameter, param.to_owned());
    assert_eq!(refusal(r#"{"input":"a"}"#), missing("model"));
    assert_eq!(refusal(r#"{"model":"a"}"#), missing("input"));
    assert_eq!(refusal(r#"{"model":"a","input":null}"#), missing("input"));
    let wrong = |param: &str| (Code::InvalidValue, param.to_owned());
    assert_eq!(refusal(r#"{"model":"a","input":{}}"#), wrong("input"));
    assert_eq!(refusal(r#"{"model":"a","input":"x","max_output_tokens":0}"#), wrong("max_output_tokens"));
    assert_eq!(refusal(r#"{"model":"a","input":"x","stream":1}"#), wrong("stream"));
    assert_eq!(refusal(r#"{"model":"a","input":"x","background":"yes"}"#), wrong("background"));
    assert_eq!(refusal(r#"{"model":"a","input":"x","service_tier":7}"#), wrong("service_tier"));
    let flex = parse(r#"{"model":"a","input":"x","service_tier":"flex"}"#).unwrap();
    assert_eq!(flex.conditions().of(Condition::ServiceTier), Some("flex"));
    assert_eq!(refusal(r#"{"model":"a","input":"x","background":true}"#).0, Code::UnsupportedParameter);
    parse(r#"{"model":"a","prompt":{"id":"pmpt_1"},"background":false,"service_tier":"auto"}"#).unwrap();
}

#[test]
fn ids_that_are_bound_to_nobody_are_not_found_wherever_they_stand() {
    let not_found = |param: &str| (Code::NotFound, param.to_owned());
    for (members, param) in [
        (r#""input":"x","conversation":"conv_1""#, "conversation"),
        (r#""input":"x","conversation":{"id":"conv_1"}"#, "conversation"),
        (r#""input":[{"role":"user","content":"x"},{"type":"item_reference","id":"msg_1"}]"#, "input[1]"),
        (r#""input":[{"type":"item_refer\u0065nce","id":"msg_1"}]"#, "input[0]"),
    ] {
        assert_eq!(refusal(&format!(r#"{{"model":"a",{members}}}"#)), not_found(param), "{members}");
    }
    ask(r#","previous_response_id":null,"conversation":null"#);
}

#[test]
fn an_answer_that_is_gone_on_from_has_its_servers_name_upstream_and_its_callers_name_everywhere_else() {
    let mut on = ask(r#","previous_response_id":"resp_mine""#);
    assert_eq!(on.previous(), Some("resp_mine"));
    on.name_answer(AnswerNames { answer: ResponseId::from_u128(7), previous_upstream: Some("resp_\"up".to_owned()) });
    assert_eq!(sent(&on, None), format!(r#"{{{ASKED},"previous_response_id":"resp_\"up"}}"#));
    let answer = r#"{"id":"resp_new","object":"response","status":"completed","previous_response_id":"resp_up","output":[],"model":"up"}"#;
    assert_eq!(on.upstream_id(answer.as_bytes()).as_deref(), Some("resp_new"));
    let reply = on.read_reply(Bytes::from_static(answer.as_bytes()), Dialect::OpenAi).unwrap();
    let shown: Value = serde_json::from_slice(&reply.body).unwrap();
    let named = json!({ "id": ResponseId::from_u128(7).to_string(), "object": "response", "status": "completed",
        "previous_response_id": "resp_mine", "output": [], "model": "gpt" });
    assert_eq!(shown, named);
    // What is no text is no id of anybody's.
    let odd = refusal(&format!(r#"{{{ASKED},"previous_response_id":7}}"#));
    assert_eq!(odd, (Code::NotFound, "previous_response_id".to_owned()));
    assert_eq!(ask(r#","store":false"#).upstream_id(answer.as_bytes()), None);
    let known = ModelLimits { context_tokens: Some(100_000), output_tokens_max: Some(50) };
    assert_eq!(on.bound(known).unwrap().input.of(Meter::InputToken), Some(100_000), "its tokens have no bytes here");
    assert_eq!(on.bound(ModelLimits::default()).unwrap_err().param.as_deref(), Some("previous_response_id"));
}

#[test]
fn a_compaction_is_held_with_all_that_the_model_can_make_and_a_count_with_nothing() {
    let parse =
        |purpose, members: &str| ConversationAsk::parse(purpose, Bytes::from(format!("{{{ASKED}{members}}}"))).unwrap();
    let known = ModelLimits { context_tokens: Some(100_000), output_tokens_max: Some(50) };
    let compact = parse(Purpose::Compact, "");
    let bound = compact.bound(known).unwrap();
    assert_eq!((bound.input.of(Meter::OutputToken), bound.output_per_choice), (Some(50), 0));
    assert!(bound.input.of(Meter::InputToken).is_some() && !compact.is_free());
    let count = parse(Purpose::Count, r#","previous_response_id":"resp_1""#);
    assert!(count.is_free() && count.bound(ModelLimits::default()).unwrap().input == Meters::NONE);
    for (dialect, serves) in [(Dialect::OpenAi, true), (Dialect::Simulator, true), (Dialect::Vllm, false)] {
        assert_eq!(compact.check_dialect(dialect).is_ok(), serves, "{}", dialect.name());
    }
}

#[test]
fn calls_about_a_kept_answer_are_written_anew_and_read_with_the_callers_names() {
    let path = |call: KeptCall, query: &str| {
        call.path("resp_up", Some(query)).map_err(|error| error.param.unwrap_or_default())
    };
    assert_eq!(
        path(KeptCall::Read, "include%5B%5D=message.output_text.logprobs&x=1").unwrap(),
        "/v1/responses/resp_up?include%5B%5D=message.output_text.logprobs"
    );
    assert_eq!(
        path(KeptCall::InputItems, "after=msg_1&limit=2&order=asc").unwrap(),
        "/v1/responses/resp_up/input_items?after=msg_1&limit=2&order=asc"
    );
    assert_eq!(path(KeptCall::Cancel, "limit=7").unwrap(), "/v1/responses/resp_up/cancel");
    for (query, param) in
        [("limit=101", "limit"), ("after=a/b", "after"), ("order=x", "order"), ("include=%2e%2e%2f", "include")]
    {
        assert_eq!(path(KeptCall::InputItems, query), Err(param.to_owned()), "{query}");
    }
    assert_eq!(path(KeptCall::Read, "stream=true"), Err("stream".to_owned()));
    let known_as = KnownAs { answer: ResponseId::from_u128(7), model: "gpt", previous: Some(ResponseId::from_u128(6)) };
    let read = |call: KeptCall, body: &str| call.read_reply(&Bytes::copy_from_slice(body.as_bytes()), &known_as);
    let (mine, former) = (ResponseId::from_u128(7).to_string(), ResponseId::from_u128(6).to_string());
    let told = read(
        KeptCall::Read,
        r#"{"id":"resp_up","model":"up","previous_response_id":"resp_old","status":"failed","error":{}}"#,
    );
    let expected =
        format!(r#"{{"id":"{mine}","model":"gpt","previous_response_id":"{former}","status":"failed","error":{{}}}}"#);
    assert_eq!(told.unwrap(), expected);
    let told = read(KeptCall::Delete, r#"{"id":"resp_up","object":"response","deleted":true}"#).unwrap();
    assert_eq!(told, format!(r#"{{"id":"{mine}","object":"response","deleted":true}}"#));
    for (call, body) in [
        (KeptCall::Read, "{}"),
        (KeptCall::Read, "<html>"),
        (KeptCall::Delete, r#"{"id":"resp_up","deleted":false}"#),
        (KeptCall::InputItems, r#"{"data":{}}"#),
    ] {
        assert!(read(call, body).is_err(), "{body}");
    }
}

#[test]
fn tools_that_openai_runs_are_taken_out_unless_the_choice_insists_on_them() {
    let mine = r#"{"type":"function","name":"f","parameters":{}}"#;
    let shell = r#"{"type":"local_shell"}"#;
    let codex = ask(&format!(r#","tools":[{mine},{shell},{{"type":"web_search"}},{{"type":"mcp","server_url":"x"}}]"#));
    assert_eq!(codex.removed_tools(), ["web_search", "mcp"]);
    assert_eq!(sent(&codex, None), format!(r#"{{{ASKED},"tools":[{mine},{shell}]}}"#));
    for choice in
        [r#""required""#, r#"{"type":"web_search"}"#, r#"{"type":"allowed_tools","tools":[{"type":"web_search"}]}"#]
    {
        let body = format!(r#"{{{ASKED},"tools":[{{"type":"web_search"}}],"tool_choice":{choice}}}"#);
        assert_eq!(refusal(&body), (Code::UnpricedParameter, "tool_choice".to_owned()), "{choice}");
    }
}

#[test]
fn the_limit_is_lowered_or_inserted_under_its_own_name() {
    assert_eq!(sent(&ask(""), Some(9)), format!(r#"{{"max_output_tokens":9,{ASKED}}}"#));
    assert_eq!(sent(&ask(r#","max_output_tokens":10"#), Some(9)), format!(r#"{{{ASKED},"max_output_tokens":9}}"#));
    assert_eq!(sent(&ask(r#","max_output_tokens":null"#), Some(9)), format!(r#"{{{ASKED},"max_output_tokens":9}}"#));
    assert_eq!(sent(&ask(r#","max_output_tokens":8"#), Some(9)), format!(r#"{{{ASKED},"max_output_tokens":8}}"#));
}

#[test]
fn media_files_and_stored_prompts_are_bounded_by_the_context() {
    let known = ModelLimits { context_tokens: Some(100_000), output_tokens_max: Some(50) };
    for input in [
        r#"[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AA=="}]}]"#,
        r#"[{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}]"#,
        r#"[{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"data:x"}}]"#,
        r#"[{"type":"web_search_call","id":"x"}]"#,
    ] {
        let ask = parse(&format!(r#"{{"model":"a","input":{input}}}"#)).unwrap();
        assert_eq!(ask.bound(known).unwrap().input.of(Meter::InputToken), Some(100_000), "{input}");
        assert_eq!(ask.bound(ModelLimits::default()).unwrap_err().code, Code::UnboundedInput, "{input}");
    }
    let text = r#"{"model":"a","input":[{"role":"user","content":[{"type":"input_text","text":"x"}]},{"type":"function_call_output","output":"y"}]}"#;
    let bound = parse(text).unwrap().bound(known).unwrap();
    assert_eq!(bound.input.of(Meter::InputToken), Some(text.len() as u64 + 2048));
    assert_eq!((bound.output_per_choice, bound.choices), (50, 1));
    let remote =
        r#"{"model":"a","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x/y"}]}]}"#;
    let remote = parse(remote).unwrap();
    assert_eq!(remote.check_dialect(Dialect::Vllm).unwrap_err().param.as_deref(), Some("input[0]"));
    remote.check_dialect(Dialect::OpenAi).unwrap();
    assert_eq!(remote.check_dialect(Dialect::Anthropic).unwrap_err().code, Code::UnsupportedEndpoint);
}

const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":4,\"response\":\
                       {\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"error\":null,\
                       \"incomplete_details\":null,\"model\":\"up\",\"output\":[],\"x\":[1],\"usage\":null}}\n\n";

fn stream(events: &str) -> Box<dyn AnswerStream> {
    let mut stream = ask(r#","stream":true"#).stream(Dialect::OpenAi).unwrap();
    let mut reader = SseReader::new();
    reader.push(Bytes::copy_from_slice(events.as_bytes()));
    while let Some(frame) = reader.next() {
        stream.event(frame.unwrap());
    }
    stream
}

fn data(ending: &Bytes, name: &str) -> Value {
    let text = std::str::from_utf8(ending).unwrap();
    let data = text.strip_prefix(&format!("event: {name}\ndata: ")).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap()
}

#[test]
fn endings_of_ours_have_the_whole_response_object_and_the_next_number() {
    let usage = Usage {
        meters: Meters::NONE.with(Meter::InputToken, 3).with(Meter::CachedInputToken, 1).with(Meter::OutputToken, 7),
        source: UsageSource::Estimated,
        is_anomalous: false,
    };
    let begun = stream(CREATED);
    let cut = data(&begun.length_ending(&usage), "response.incomplete");
    assert_eq!((&cut["type"], &cut["sequence_number"]), (&json!("response.incomplete"), &json!(5)));
    let response = &cut["response"];
    assert_eq!(
        (&response["status"], &response["model"], &response["x"]),
        (&json!("incomplete"), &json!("gpt"), &json!([1]))
    );
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!((&response["usage"]["input_tokens"], &response["usage"]["total_tokens"]), (&json!(4), &json!(11)));
    let failed =
        data(&begun.error_ending(&PublicError::with_message(Code::UpstreamError, "a \"b\"")), "response.failed");
    assert_eq!(failed["response"]["error"], json!({ "code": "server_error", "message": "a \"b\"" }));
    assert_eq!((&failed["response"]["status"], &failed["response"]["id"]), (&json!("failed"), &json!("resp_1")));
    let nothing = data(&stream("").error_ending(&PublicError::new(Code::UpstreamError)), "response.failed");
    assert_eq!((&nothing["response"]["model"], &nothing["response"]["object"]), (&json!("gpt"), &json!("response")));
}

#[test]
fn a_stream_without_its_last_event_is_not_whole() {
    let delta =
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n";
    let whole = "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[]}}\n\n";
    assert!(!stream(&format!("{CREATED}{delta}data: [DONE]\n\n")).is_finished());
    assert!(stream(&format!("{CREATED}{delta}{whole}")).is_finished());
}
