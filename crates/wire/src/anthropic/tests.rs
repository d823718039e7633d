//! Requests and endings, row by row. Whole exchanges are golden cases in `tests/golden/`.

use super::*;
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits};
use crate::sse::SseReader;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};

const ASKED: &str = r#""model":"claude","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]"#;

fn parse(body: &str) -> Result<MessagesAsk, PublicError> {
    MessagesAsk::parse(None, Bytes::copy_from_slice(body.as_bytes()))
}

fn ask(members: &str) -> MessagesAsk {
    parse(&format!("{{{ASKED}{members}}}")).unwrap_or_else(|error| panic!("{members}: {error:?}"))
}

fn refused(members: &str) -> (Code, Option<String>) {
    let error = parse(&format!("{{{ASKED}{members}}}")).expect_err(members);
    (error.code, error.param)
}

fn sent(ask: &MessagesAsk, output_limit: Option<u64>) -> String {
    let edits = Edits { upstream_model: "claude", output_limit, dialect: Dialect::Anthropic };
    String::from_utf8(ask.upstream(&edits).body.concat()).unwrap()
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |body: &str| {
        let error = parse(body).expect_err(body);
        (error.code, error.param.unwrap_or_default())
    };
    let missing = |param: &str| (Code::MissingRequiredParameter, param.to_owned());
    assert_eq!(refused(r#"{"max_tokens":1,"messages":[]}"#), missing("model"));
    assert_eq!(refused(r#"{"model":"a","max_tokens":1}"#), missing("messages"));
    assert_eq!(refused(r#"{"model":"a","messages":[]}"#), missing("max_tokens"));
    let wrong = |param: &str| (Code::InvalidValue, param.to_owned());
    assert_eq!(refused(r#"{"model":"a","max_tokens":-1,"messages":[]}"#), wrong("max_tokens"));
    assert_eq!(refused(r#"{"model":"a","max_tokens":1,"messages":{}}"#), wrong("messages"));
    assert_eq!(refused(r#"{"model":"a","max_tokens":1,"messages":[{},1]}"#), wrong("messages[1]"));
}

#[test]
fn what_changes_the_price_of_tokens_is_refused() {
    for (members, param) in [
        (r#","service_tier":"priority""#, "service_tier"),
        (r#","speed":"fast""#, "speed"),
        (r#","inference_geo":"us""#, "inference_geo"),
        (r#","mcp_servers":[{"type":"url","url":"https://x"}]"#, "mcp_servers"),
        (r#","container":{"skills":[]}"#, "container"),
    ] {
        assert_eq!(refused(members), (Code::UnpricedParameter, Some(param.to_owned())), "{members}");
    }
    ask(r#","service_tier":"standard_only","speed":null,"mcp_servers":[],"container":null"#);
    assert_eq!(refused(r#","api_base":"x""#), (Code::ForbiddenParameter, Some("api_base".to_owned())));
}

#[test]
fn tools_that_anthropic_runs_are_taken_out_unless_the_choice_insists_on_them() {
    let search = r#"{"type":"web_search_20250305","name":"web_search"}"#;
    let mine = r#"{"name":"f","input_schema":{"type":"object"}}"#;
    let both = ask(&format!(r#","tools":[{search},{mine},{{"type":"bash_20250124","name":"bash"}}]"#));
    assert_eq!(both.removed_tools(), ["web_search_20250305"]);
    assert!(sent(&both, None).contains(&format!(r#""tools":[{mine},"#)));
    let only = ask(&format!(r#","tools":[{search}],"tool_choice":{{"type":"auto"}}"#));
    assert_eq!(sent(&only, None), format!("{{{ASKED}}}"));
    for choice in [r#"{"type":"any"}"#, r#"{"type":"tool","name":"web_search"}"#] {
        let members = format!(r#","tools":[{search}],"tool_choice":{choice}"#);
        assert_eq!(refused(&members), (Code::UnpricedParameter, Some("tool_choice".to_owned())), "{choice}");
    }
    ask(&format!(r#","tools":[{search},{mine}],"tool_choice":{{"type":"tool","name":"f"}}"#));
}

#[test]
fn media_are_bounded_by_the_context_and_never_fetched_by_servers_of_ones_own() {
    let picture = |source: &str| {
        let block = format!(r#"{{"type":"image","source":{source}}}"#);
        let body = format!(r#"{{"model":"a","max_tokens":9,"messages":[{{"role":"user","content":[{block}]}}]}}"#);
        parse(&body).unwrap()
    };
    let known = ModelLimits { context_tokens: Some(200_000), output_tokens_max: None };
    let url = picture(r#"{"type":"url","url":"https://x/a.png"}"#);
    assert_eq!(url.bound(known).unwrap().input.of(Meter::InputToken), Some(200_000));
    assert_eq!(url.bound(ModelLimits::default()).unwrap_err().code, Code::UnboundedInput);
    url.check_dialect(Dialect::Anthropic).unwrap();
    let refusal = url.check_dialect(Dialect::Vllm).unwrap_err();
    assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidValue, Some("messages[0]")));
    picture(r#"{"type":"base64","media_type":"image/png","data":"AA=="}"#).check_dialect(Dialect::Vllm).unwrap();
    assert_eq!(url.check_dialect(Dialect::OpenAi).unwrap_err().code, Code::UnsupportedEndpoint);
}

#[test]
fn the_bound_covers_every_byte_and_the_dearest_cache_that_is_asked_for() {
    let body = format!("{{{ASKED}}}");
    let bound = ask("").bound(ModelLimits::default()).unwrap();
    assert_eq!(bound.input.of(Meter::InputToken), Some(body.len() as u64 + 2048));
    assert_eq!((bound.output_per_choice, bound.input.of(Meter::CacheWrite1hToken)), (100, None));
    for place in [
        r#","cache_control":{"type":"ephemeral","ttl":"1h"}"#,
        r#","system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#,
        r#","tools":[{"name":"f","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#,
    ] {
        let bound = ask(place).bound(ModelLimits::default()).unwrap();
        assert_eq!(bound.input.of(Meter::CacheWrite1hToken), Some(0), "{place}");
    }
    let short = ask(r#","cache_control":{"type":"ephemeral","ttl":"5m"}"#);
    assert_eq!(short.bound(ModelLimits::default()).unwrap().input.of(Meter::CacheWrite1hToken), None);
    let small = ModelLimits { context_tokens: None, output_tokens_max: Some(7) };
    assert_eq!(ask("").bound(small).unwrap().output_per_choice, 7);
}

#[test]
fn a_lowered_limit_takes_the_budget_of_thinking_with_it() {
    let thinking = ask(r#","thinking":{"type":"enabled","budget_tokens":5000}"#);
    let lowered = sent(&thinking, Some(50));
    assert!(lowered.contains(r#""max_tokens":50,"#) && lowered.contains(r#""budget_tokens":1024"#), "{lowered}");
    assert_eq!(
        sent(&thinking, Some(9_000)),
        format!(r#"{{{ASKED},"thinking":{{"type":"enabled","budget_tokens":5000}}}}"#)
    );
}

#[test]
fn only_the_beta_of_the_query_is_passed_on() {
    let path = |query: Option<&str>| {
        let ask = MessagesAsk::parse(query, format!("{{{ASKED}}}").into()).unwrap();
        ask.upstream(&Edits { upstream_model: "claude", output_limit: None, dialect: Dialect::Anthropic }).path
    };
    assert_eq!(path(None), "/v1/messages");
    assert_eq!(path(Some("beta=true")), "/v1/messages?beta=true");
    assert_eq!(path(Some("x=1&beta=true")), "/v1/messages?beta=true");
    assert_eq!(path(Some("beta=false&x=/../")), "/v1/messages");
}

#[test]
fn counting_is_free_and_asks_for_no_limit() {
    let body = r#"{"model":"claude","messages":[{"role":"user","content":"Hello"}]}"#;
    let count = CountAsk::parse(Some("beta=true"), body.into()).unwrap();
    assert!(count.is_free() && !ask("").is_free());
    count.check_dialect(Dialect::Anthropic).unwrap();
    assert_eq!(count.check_dialect(Dialect::Ollama).unwrap_err().code, Code::UnsupportedEndpoint);
    let reply = count.read_reply(Bytes::from_static(br#"{"input_tokens":9}"#), Dialect::Anthropic).unwrap();
    assert_eq!((reply.body.as_ref(), reply.usage), (br#"{"input_tokens":9}"#.as_ref(), None));
    assert!(count.read_reply(Bytes::from_static(b"{}"), Dialect::Anthropic).is_err());
}

/// The stream after these events.
fn stream(events: &str) -> Box<dyn AnswerStream> {
    let mut stream = ask(r#","stream":true"#).stream(Dialect::Anthropic).unwrap();
    let mut reader = SseReader::new();
    reader.push(Bytes::copy_from_slice(events.as_bytes()));
    while let Some(frame) = reader.next() {
        stream.event(frame.unwrap());
    }
    stream
}

#[test]
fn a_stream_at_its_hold_ends_as_one_that_reached_its_limit() {
    let usage =
        Usage { meters: Meters::NONE.with(Meter::OutputToken, 7), source: UsageSource::Estimated, is_anomalous: false };
    let open = "data: {\"type\":\"message_start\",\"message\":{}}\n\n\
                data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"text\"}}\n\n";
    let text = |stream: Box<dyn AnswerStream>| String::from_utf8(stream.length_ending(&usage).to_vec()).unwrap();
    let ending = text(stream(open));
    assert!(ending.starts_with("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n"));
    assert!(ending.contains("\"stop_reason\":\"max_tokens\"") && ending.contains("\"output_tokens\":7"), "{ending}");
    assert!(ending.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    let closed = format!("{open}data: {{\"type\":\"content_block_stop\",\"index\":2}}\n\n");
    assert!(text(stream(&closed)).starts_with("event: message_delta\n"));
}

#[test]
fn what_a_stream_tells_before_it_begins_is_its_input_alone() {
    let mut stream = ask(r#","stream":true"#).stream(Dialect::Anthropic).unwrap();
    let mut reader = SseReader::new();
    reader.push(Bytes::from_static(
        b"data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":3,\
          \"output_tokens\":1}}}\n\n",
    ));
    let (usage, is_final) = stream.event(reader.next().unwrap().unwrap()).usage.unwrap();
    let told: Vec<_> = usage.meters.iter().collect();
    assert_eq!((told, is_final), (vec![(Meter::InputToken, 5), (Meter::CachedInputToken, 3)], false));
}
