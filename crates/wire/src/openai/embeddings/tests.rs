//! Requests and vectors, row by row. Whole exchanges of each dialect are golden cases in `tests/golden/`.

use super::EmbeddingsAsk;
use crate::inference::{Ask, FaultKind, ModelLimits};
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::Code;
use claviger_domain::meter::{Meter, Meters, UsageSource};
use proptest::prelude::*;

fn parse(members: &str) -> Result<EmbeddingsAsk, (Code, Option<String>)> {
    let body = format!(r#"{{"model":"m/e",{members}}}"#);
    EmbeddingsAsk::parse(body.into()).map_err(|error| (error.code, error.param))
}

fn ask(members: &str) -> EmbeddingsAsk {
    parse(members).unwrap_or_else(|error| panic!("{error:?} for {members}"))
}

fn tokens(count: u64) -> Meters {
    Meters::NONE.with(Meter::InputToken, count)
}

#[test]
fn every_form_of_input_is_counted() {
    for (input, inputs, estimate, source) in [
        (r#""hello""#, 1, 2, UsageSource::Estimated),
        (r#"["a","hello"]"#, 2, 2, UsageSource::Estimated),
        ("[1,2,3]", 1, 3, UsageSource::Computed),
        ("[[1,2],[3]]", 2, 3, UsageSource::Computed),
    ] {
        let ask = ask(&format!(r#""input":{input}"#));
        assert_eq!(ask.inputs.inputs, inputs, "{input}");
        let told = ask.estimate();
        assert_eq!((told.input, told.source, told.has_output), (tokens(estimate), source, false), "{input}");
    }
}

#[test]
fn what_is_no_input_is_refused() {
    let about = |param: &str| Some(param.to_owned());
    assert_eq!(parse(r#""x":1"#).unwrap_err(), (Code::MissingRequiredParameter, about("input")));
    for input in [
        "null",
        "7",
        "\"\"",
        "[]",
        "[\"\"]",
        "[[]]",
        "[\"a\",1]",
        "[[1],2]",
        "[1.5]",
        "[-1]",
        "[[\"a\"]]",
        "[null]",
        "{}",
    ] {
        assert_eq!(parse(&format!(r#""input":{input}"#)).unwrap_err(), (Code::InvalidValue, about("input")), "{input}");
    }
    for (members, code, param) in [
        (r#""input":"a","encoding_format":"hex""#, Code::InvalidValue, "encoding_format"),
        (r#""input":"a","dimensions":0"#, Code::InvalidValue, "dimensions"),
        (r#""input":"a","stream":true"#, Code::UnsupportedParameter, "stream"),
        (r#""input":"a","api_base":"http://x""#, Code::ForbiddenParameter, "api_base"),
        (r#""input":"a","Input":"b""#, Code::AmbiguousKey, "Input"),
        (r#""input":"a","input":"b""#, Code::DuplicateKey, "input"),
    ] {
        assert_eq!(parse(members).unwrap_err(), (code, about(param)), "{members}");
    }
}

#[test]
fn a_request_is_bounded_by_its_bytes_and_by_the_context_of_each_input() {
    let ask = ask(r#""input":["abcd","efgh"]"#);
    let bound = |context_tokens| ask.bound(ModelLimits { context_tokens, output_tokens_max: None }).unwrap();
    let bytes = u64::try_from(ask.body_bytes()).unwrap();
    assert_eq!((bound(None).input, bound(None).output_per_choice), (tokens(bytes + 16), 0));
    assert_eq!(bound(Some(8)).input, tokens(16));
}

#[test]
fn token_ids_go_only_where_they_are_understood() {
    let ids = ask(r#""input":[1,2]"#);
    let refused = ids.check_dialect(Dialect::Ollama).unwrap_err();
    assert_eq!((refused.code, refused.param.as_deref()), (Code::UnsupportedParameter, Some("input")));
    assert!(ids.check_dialect(Dialect::Vllm).is_ok());
    assert!(ask(r#""input":"a""#).check_dialect(Dialect::Ollama).is_ok());
}

fn answer(vector: &str) -> String {
    format!(r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":{vector}}}],"model":"up"}}"#)
}

fn vector(members: &str, upstream: &str) -> String {
    let reply = ask(members).read_reply(answer(upstream).into(), Dialect::OpenAi).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(value["model"], "m/e");
    value["data"][0]["embedding"].to_string()
}

#[test]
fn vectors_come_in_the_form_that_was_asked_for() {
    const BASE64: &str = r#""AACAPwAAAL8AAAA+""#; // 1.0, -0.5, 0.125
    const FLOATS: &str = "[1.0,-0.5,0.125]";
    let base64 = r#""input":"a","encoding_format":"base64""#;
    assert_eq!(vector(base64, FLOATS), BASE64);
    assert_eq!(vector(base64, " [ 1e0 , -5E-1, 0.125 ] "), BASE64);
    assert_eq!(vector(base64, BASE64), BASE64);
    for floats in [r#""input":"a""#, r#""input":"a","encoding_format":"float""#] {
        assert_eq!(vector(floats, BASE64), FLOATS);
        assert_eq!(vector(floats, FLOATS), FLOATS);
    }
}

#[test]
fn a_vector_in_a_list_of_its_own_is_taken_out_and_one_for_each_token_is_no_answer() {
    for (members, expected) in
        [(r#""input":"a""#, "[1.0,-0.5,0.125]"), (r#""input":"a","encoding_format":"base64""#, r#""AACAPwAAAL8AAAA+""#)]
    {
        assert_eq!(vector(members, "[[1.0,-0.5,0.125]]"), expected);
        assert_eq!(vector(members, " [ [1.0,-0.5,0.125] ] "), expected);
        for nested in ["[[1.0],[2.0]]", "[[[1.0]]]", "[[1.0],2.0]"] {
            let fault = ask(members).read_reply(answer(nested).into(), Dialect::LlamaCpp).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Unreadable, "{nested}");
        }
    }
}

#[test]
fn what_is_no_vector_is_no_answer() {
    let base64 = r#""input":"a","encoding_format":"base64""#;
    for (members, upstream) in [
        (base64, "[1,\"a\"]"),
        (base64, "null"),
        (r#""input":"a""#, r#""!!!""#),
        (r#""input":"a""#, r#""AACA""#),
        (r#""input":"a""#, r#""AADAfw==""#), // not a number
    ] {
        let fault = ask(members).read_reply(answer(upstream).into(), Dialect::OpenAi).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unreadable, "{upstream}");
    }
    let two = ask(r#""input":["a","b"]"#).read_reply(answer("[1.0]").into(), Dialect::OpenAi);
    assert!(two.is_err(), "one vector for two inputs");
}

#[test]
fn an_answer_that_needs_no_change_is_the_very_buffer() {
    let body = Bytes::from(answer("[1.0]").replace("up", "m/e"));
    let reply = ask(r#""input":"a""#).read_reply(body.clone(), Dialect::OpenAi).unwrap();
    assert!(std::ptr::eq(reply.body.as_ptr(), body.as_ptr()));
}

proptest! {
    #[test]
    fn any_vector_survives_both_conversions(bits in prop::collection::vec(any::<u32>(), 1..40)) {
        let numbers: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|number| number.is_finite()).collect();
        prop_assume!(!numbers.is_empty());
        let floats = serde_json::to_string(&numbers).unwrap();
        let base64 = vector(r#""input":"a","encoding_format":"base64""#, &floats);
        let back: Vec<f32> = serde_json::from_str(&vector(r#""input":"a""#, &base64)).unwrap();
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back), bits(&numbers));
    }
}
