//! The course of a stream: what is forwarded, counted, held back and recognised.

use super::*;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};
use proptest::prelude::*;

const ASKED: &str = r#""stream":true,"stream_options":{"include_usage":true}"#;
const PLAIN: &str = r#""stream":true"#;

fn stream(members: &str, dialect: Dialect) -> ChoiceStream {
    ChoiceStream::new(ask(members).wanted(), dialect)
}

/// A chunk of one choice.
fn chunk(delta: &str, finish: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m/a","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
    )
}

fn tokens(input: u64, output: u64) -> Meters {
    Meters::NONE.with(Meter::InputToken, input).with(Meter::OutputToken, output)
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { meters: tokens(input, output), source: UsageSource::UpstreamFinal, is_anomalous: false }
}

#[test]
fn an_event_without_a_reason_to_edit_is_the_very_buffer() {
    let piece = Bytes::from(events(&[&chunk(r#"{"content":"hé\n"}"#, "null")]));
    let mut reader = SseReader::new();
    reader.push(piece.clone());
    let step = stream(PLAIN, Dialect::Vllm).event(reader.next().unwrap().unwrap());
    assert!(std::ptr::eq(step.forward.unwrap().as_ptr(), piece.as_ptr()));
    assert_eq!(step.content, Some(Content { bytes: 4, chunks: 1 }));
}

#[test]
fn the_model_is_the_callers_and_everything_else_stays() {
    let upstream =
        r#"{"x":[1,{"model":"y"}],"model" : "up" ,"choices":[{"index":0,"delta":{"content":"a"},"z":0.10}]}"#;
    let (forwarded, _) = run(&mut stream(PLAIN, Dialect::OpenAi), &events(&[upstream]));
    assert_eq!(forwarded, events(&[&upstream.replace(r#""up""#, r#""m/a""#)]));
    let upstream = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let (forwarded, _) = run(&mut stream(PLAIN, Dialect::OpenAi), &events(&[upstream]));
    assert_eq!(forwarded, events(&[&upstream.replacen('{', r#"{"model":"m/a","#, 1)]));
}

#[test]
fn every_kind_of_content_counts_and_nothing_else_does() {
    for (delta, expected) in [
        (r#"{"content":"a\u00e9\n"}"#, Some((4, 1))),
        (r#"{"content":[{"type":"text","text":"ab"}]}"#, Some((2, 1))),
        (r#"{"reasoning":"ab"}"#, Some((2, 1))),
        (r#"{"reasoning_content":"ab","content":null}"#, Some((2, 1))),
        (r#"{"refusal":"no"}"#, Some((2, 1))),
        (r#"{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":"{}"}}]}"#, Some((3, 1))),
        (r#"{"tool_calls":[{"index":0}]}"#, Some((0, 1))),
        (r#"{"function_call":{"name":"f","arguments":""}}"#, Some((1, 1))),
        (r#"{"audio":{"data":"AAAA"}}"#, Some((0, 1))),
        (r#"{"audio":{"id":"a"}}"#, None),
        (r#"{"role":"assistant","content":""}"#, None),
        (r#"{"tool_calls":[],"content":null}"#, None),
        ("{}", None),
    ] {
        let (_, steps) = run(&mut stream(PLAIN, Dialect::OpenAi), &events(&[&chunk(delta, "null")]));
        assert_eq!(steps[0].content.map(|content| (content.bytes, content.chunks)), expected, "{delta}");
    }
}

#[test]
fn usage_is_held_back_and_given_with_the_last_piece_only_if_asked_for() {
    let usage_chunk = r#"{"id":"c1","model":"up","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12},"x":1}"#;
    let upstream = events(&[&chunk(r#"{"content":"a"}"#, "null"), &chunk("{}", "\"stop\""), usage_chunk, "[DONE]"]);
    for (members, expected) in [(PLAIN, String::new()), (ASKED, events(&[&usage_chunk.replace("up", "m/a")]))] {
        let mut stream = stream(members, Dialect::OpenAi);
        let (forwarded, steps) = run(&mut stream, &upstream);
        assert!(!forwarded.contains("usage") && !forwarded.contains("DONE"));
        assert_eq!(steps[2].usage, Some((usage(10, 2), true)));
        assert!(steps[1].is_finished && steps[3].is_done && steps[3].is_finished);
        let ending = String::from_utf8(stream.ending(&usage(10, 2)).to_vec()).unwrap();
        assert_eq!(ending, format!("{expected}data: [DONE]\n\n"));
    }
}

#[test]
fn usage_that_was_asked_for_and_not_given_is_made_of_the_meters() {
    let mut stream = stream(ASKED, Dialect::LlamaCpp);
    run(&mut stream, &events(&[&chunk(r#"{"content":"a"}"#, "null"), &chunk("{}", "\"stop\""), "[DONE]"]));
    let metered = Usage {
        meters: tokens(8, 3).with(Meter::CachedInputToken, 2).with(Meter::ReasoningToken, 1),
        source: UsageSource::Estimated,
        is_anomalous: false,
    };
    assert_eq!(
        stream.ending(&metered),
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m/a\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4,\"total_tokens\":14,\"prompt_tokens_details\":{\"cached_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\ndata: [DONE]\n\n"
    );
}

#[test]
fn what_the_caller_is_told_is_what_was_metered() {
    let absurd = r#"{"id":"c1","model":"m/a","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":-2}}"#;
    let mut stream = stream(ASKED, Dialect::OpenAi);
    run(&mut stream, &events(&[&chunk(r#"{"content":"a"}"#, "\"stop\""), absurd]));
    let told = String::from_utf8(stream.ending(&usage(10, 1)).to_vec()).unwrap();
    assert!(told.contains(r#""completion_tokens":1,"total_tokens":11"#), "{told}");
}

#[test]
fn running_usage_is_stripped_and_the_last_value_wins() {
    let with_usage = |delta: &str, finish: &str, output: u64| {
        let chunk = chunk(delta, finish);
        format!(
            r#"{},"usage":{{"prompt_tokens":5,"completion_tokens":{output},"total_tokens":{}}}}}"#,
            &chunk[..chunk.len() - 1],
            5 + output
        )
    };
    let upstream = [
        with_usage(r#"{"role":"assistant","content":""}"#, "null", 0),
        with_usage(r#"{"content":"a"}"#, "null", 1),
        with_usage(r#"{"content":"b"}"#, "null", 2),
        with_usage("{}", "\"length\"", 2),
    ];
    let data: Vec<&str> = upstream.iter().map(String::as_str).collect();
    for members in [PLAIN, ASKED] {
        let (forwarded, steps) = run(&mut stream(members, Dialect::Vllm), &events(&data));
        assert!(!forwarded.contains("usage"), "{forwarded}");
        let running: Vec<_> =
            steps.iter().map(|step| step.usage.map(|(usage, is_final)| (usage.meters, is_final))).collect();
        assert_eq!(
            running,
            [
                Some((tokens(5, 0), false)),
                Some((tokens(5, 1), false)),
                Some((tokens(5, 2), false)),
                Some((tokens(5, 2), true))
            ]
        );
        assert_eq!(steps[1].usage.unwrap().0.source, UsageSource::UpstreamRunning);
    }
    let extended = r#""stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}"#;
    let (forwarded, _) = run(&mut stream(extended, Dialect::Vllm), &events(&data));
    assert_eq!(forwarded, events(&data), "a caller who asked for running usage gets it");
}

#[test]
fn zeros_before_the_real_usage_do_not_count() {
    let zero = r#""usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    let mut early = chunk(r#"{"content":"a"}"#, "null");
    early.insert_str(1, &format!("{zero},"));
    let last = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
    let twice = format!(r#"{{"choices":[],{zero}}}"#);
    let (forwarded, steps) =
        run(&mut stream(PLAIN, Dialect::Ollama), &events(&[&early, &chunk("{}", "\"stop\""), last, &twice]));
    assert_eq!(steps.iter().map(|step| step.usage.is_some()).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(!forwarded.contains("usage"));
}

#[test]
fn null_usage_stays_for_who_asked_and_goes_for_who_did_not() {
    let mut with_null = chunk(r#"{"content":"a"}"#, "null");
    with_null.insert_str(with_null.len() - 1, r#","usage":null"#);
    let (forwarded, _) = run(&mut stream(ASKED, Dialect::OpenAi), &events(&[&with_null]));
    assert_eq!(forwarded, events(&[&with_null]));
    let (forwarded, _) = run(&mut stream(PLAIN, Dialect::OpenAi), &events(&[&with_null]));
    assert_eq!(forwarded, events(&[&chunk(r#"{"content":"a"}"#, "null")]));
}

#[test]
fn only_five_finish_reasons_reach_a_client() {
    for (upstream, expected) in [
        ("\"stop\"", "\"stop\""),
        ("\"length\"", "\"length\""),
        ("\"tool_calls\"", "\"tool_calls\""),
        ("\"content_filter\"", "\"content_filter\""),
        ("\"function_call\"", "\"function_call\""),
        ("\"eos_token\"", "\"stop\""),
        ("\"max_tokens\"", "\"length\""),
        ("7", "\"stop\""),
    ] {
        let (forwarded, steps) = run(&mut stream(PLAIN, Dialect::Compatible), &events(&[&chunk("{}", upstream)]));
        assert_eq!(forwarded, events(&[&chunk("{}", expected)]), "{upstream}");
        assert!(steps[0].is_finished);
    }
    for open in ["null", "\"\""] {
        let (forwarded, steps) = run(&mut stream(PLAIN, Dialect::Compatible), &events(&[&chunk("{}", open)]));
        assert_eq!(forwarded, events(&[&chunk("{}", "null")]), "{open}");
        assert!(!steps[0].is_finished);
    }
    for error in ["\"error\"", "\"abort\""] {
        let (forwarded, steps) = run(&mut stream(PLAIN, Dialect::Compatible), &events(&[&chunk("{}", error)]));
        assert_eq!((forwarded.as_str(), steps[0].error.is_some()), ("", true), "{error}");
    }
}

#[test]
fn a_stream_is_whole_when_every_choice_has_finished() {
    let choice = |index: u32, finish: &str| {
        format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}},"finish_reason":{finish}}}]}}"#)
    };
    let two = r#""stream":true,"n":2"#;
    let upstream = [choice(0, "null"), choice(1, "null"), choice(1, "\"stop\""), choice(0, "\"stop\"")];
    let data: Vec<&str> = upstream.iter().map(String::as_str).collect();
    let (_, steps) = run(&mut stream(two, Dialect::Vllm), &events(&data));
    assert_eq!(steps.iter().map(|step| step.is_finished).collect::<Vec<_>>(), [false, false, false, true]);

    // One of two finished and a clean end: truncated, unless `[DONE]` says that there is no second.
    let mut half = stream(two, Dialect::Vllm);
    run(&mut half, &events(&[&choice(0, "\"stop\"")]));
    assert!(!half.is_finished());
    run(&mut half, &events(&["[DONE]"]));
    assert!(half.is_finished());

    // `[DONE]` without a finish reason is no whole answer.
    let (_, steps) = run(&mut stream(PLAIN, Dialect::Vllm), &events(&[&choice(0, "null"), "[DONE]"]));
    assert!(steps[1].is_done && !steps[1].is_finished);
}

#[test]
fn an_error_in_the_stream_ends_it_whatever_follows() {
    for upstream in [
        events(&[r#"{"error":{"message":"boom","type":"InternalServerError","code":500}}"#, "[DONE]"]),
        events(&[r#"{"error":"boom","error_type":"generation"}"#, "[DONE]"]),
        events(&[r#"{"object":"error","message":"boom","code":500}"#, "[DONE]"]),
        "event: error\ndata: {\"message\":\"boom\"}\n\ndata: [DONE]\n\n".to_owned(),
    ] {
        let mut stream = stream(ASKED, Dialect::Vllm);
        let (forwarded, steps) = run(&mut stream, &upstream);
        let fault = steps[0].error.as_ref().unwrap();
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Reported, "boom"), "{upstream}");
        assert_eq!(steps[1], StreamStep::default(), "{upstream}");
        assert_eq!(forwarded, "");
    }
    let (_, steps) = run(&mut stream(PLAIN, Dialect::Vllm), "data: {broken\n\n");
    assert_eq!(steps[0].error.as_ref().unwrap().kind, FaultKind::Unreadable);
    let (_, steps) = run(&mut stream(PLAIN, Dialect::Vllm), "data: {\"error\":null,\"choices\":[]}\n\n");
    assert_eq!(steps[0].error, None);
}

#[test]
fn a_cut_event_is_a_truncation_and_not_an_error() {
    let whole = chunk(r#"{"content":"a"}"#, "\"stop\"");
    for end in 1..whole.len() {
        let (_, steps) = run(&mut stream(PLAIN, Dialect::Vllm), &format!("data: {}", &whole[..end]));
        assert!(steps.iter().all(|step| *step == StreamStep::default()), "cut at {end}");
    }
    let mut stream = stream(PLAIN, Dialect::Vllm);
    run(&mut stream, &format!("data: {whole}"));
    assert!(stream.is_finished(), "only the blank line was missing");
}

#[test]
fn events_of_another_look_leave_in_ours() {
    let data = chunk(r#"{"content":"a"}"#, "null");
    for upstream in [
        format!("data: {data}\r\n\r\n"),
        format!("data:{data}\r\r"),
        format!(": ping\nevent: message\nid: 7\nretry: 1\ndata: {data}\n\n"),
    ] {
        let (forwarded, _) = run(&mut stream(PLAIN, Dialect::Compatible), &upstream);
        assert_eq!(forwarded, events(&[&data]), "{upstream:?}");
    }
    let (head, tail) = data.split_at(1);
    let (forwarded, _) = run(&mut stream(PLAIN, Dialect::Compatible), &format!("data: {head}\ndata: {tail}\n\n"));
    assert_eq!(forwarded, events(&[&format!("{head} {tail}")]));
    let (forwarded, steps) =
        run(&mut stream(PLAIN, Dialect::Compatible), "event: ping\ndata: {\"type\":\"ping\"}\n\ndata:\n\n");
    assert_eq!((forwarded.as_str(), &steps[0].error, &steps[1].error), ("", &None, &None));
}

#[test]
fn the_end_at_the_hold_closes_every_open_choice() {
    let choice = |index: u32, finish: &str| {
        format!(
            r#"{{"id":"c1","created":7,"choices":[{{"index":{index},"delta":{{"content":"a"}},"finish_reason":{finish}}}]}}"#
        )
    };
    let mut stream = stream(r#""stream":true,"n":3,"stream_options":{"include_usage":true}"#, Dialect::Vllm);
    run(&mut stream, &events(&[&choice(0, "null"), &choice(1, "\"stop\""), &choice(2, "null")]));
    let ending = String::from_utf8(stream.length_ending(&usage(4, 3)).to_vec()).unwrap();
    let head = r#"data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m/a","choices":["#;
    assert_eq!(
        ending,
        format!(
            "{head}{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"length\"}}]}}\n\n{head}{{\"index\":2,\"delta\":{{}},\"finish_reason\":\"length\"}}]}}\n\n{head}],\"usage\":{{\"prompt_tokens\":4,\"completion_tokens\":3,\"total_tokens\":7}}}}\n\ndata: [DONE]\n\n"
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_upstream_sends_leaves_as_one_data_line_each(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "data: ", "\n", "\n\n", "\r\n", "{", "}", "[", "]", ",", ":", "\"", "\\", "\"choices\":[", "\"usage\":",
                "{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}", "\"model\":\"up\"", "null", "-1",
                "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n",
                "event: error\n", "\"error\":", "data: [DONE]\n\n", "\"finish_reason\":\"stop\"", "\u{1}", "é",
            ]),
            0..24,
        ),
        dialect in prop::sample::select(all()), is_asked in any::<bool>(),
    ) {
        let mut stream = stream(if is_asked { ASKED } else { PLAIN }, dialect);
        let (forwarded, _) = run(&mut stream, &pieces.concat());
        for event in forwarded.split_terminator("\n\n") {
            let data = event.strip_prefix("data: ").unwrap();
            prop_assert!(!data.contains(['\n', '\r']), "{}", data);
            prop_assert!(serde_json::from_str::<serde_json::Value>(data).unwrap()["model"] == "m/a", "{}", data);
        }
    }
}

mod whole {
    //! Whole answers.

    use super::*;

    fn reply(body: &str) -> Result<Reply, UpstreamFault> {
        ask("").read_reply(Bytes::copy_from_slice(body.as_bytes()), Dialect::OpenAi)
    }

    #[test]
    fn an_answer_with_the_callers_model_is_the_very_buffer() {
        let body = Bytes::from(
            r#"{"model":"m/a","choices":[{"message":{"content":"é"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        );
        let reply = ask("").read_reply(body.clone(), Dialect::OpenAi).unwrap();
        assert!(std::ptr::eq(reply.body.as_ptr(), body.as_ptr()));
        assert_eq!((reply.has_content, reply.content_bytes, reply.is_finished), (true, 2, true));
        assert_eq!(reply.usage, Some(usage(1, 1)));
    }

    #[test]
    fn the_model_is_replaced_by_span() {
        let body = r#"{ "x":1.0, "model" : "up" , "choices":[{"index":0,"message":{"content":"model"},"finish_reason":"eos"}] }"#;
        let reply = reply(body).unwrap();
        assert_eq!(reply.body, body.replace("\"up\"", "\"m/a\"").replace("\"eos\"", "\"stop\""));
        assert_eq!(reply.usage, None);
        assert_eq!(reply.estimated_output_tokens(), 2);
    }

    #[test]
    fn an_empty_answer_has_no_content() {
        let reply = reply(
            r#"{"model":"m/a","choices":[{"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#,
        );
        assert!(!reply.unwrap().has_content);
    }

    #[test]
    fn what_is_no_answer_is_a_fault() {
        for (body, kind) in [
            ("", FaultKind::Unreadable),
            ("<html>", FaultKind::Unreadable),
            (r#"{"model":"m/a","choices":[{"message":{"con"#, FaultKind::Unreadable),
            ("[]", FaultKind::Unreadable),
            ("{}", FaultKind::Unreadable),
            (r#"{"model":"m/a","choices":[]}"#, FaultKind::Unreadable),
            (r#"{"error":{"message":"boom"}}"#, FaultKind::Reported),
            (r#"{"object":"error","message":"boom"}"#, FaultKind::Reported),
            (r#"{"choices":[{"message":{"content":"a"},"finish_reason":"error"}]}"#, FaultKind::Reported),
        ] {
            assert_eq!(reply(body).unwrap_err().kind, kind, "{body}");
        }
    }
}
