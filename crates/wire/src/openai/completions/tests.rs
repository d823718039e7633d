//! Requests, bounds and edits. Whole exchanges of each dialect are golden cases in `tests/golden/`.

use super::CompletionsAsk;
use crate::inference::{Ask, Edits, ModelLimits};
use claviger_domain::catalog::Dialect;
use claviger_domain::error::Code;
use claviger_domain::meter::Meter;

fn parse(members: &str) -> Result<CompletionsAsk, (Code, Option<String>)> {
    let body = format!(r#"{{"model":"m/a",{members}}}"#);
    CompletionsAsk::parse(body.into()).map_err(|error| (error.code, error.param))
}

fn ask(members: &str) -> CompletionsAsk {
    parse(members).unwrap_or_else(|error| panic!("{error:?} for {members}"))
}

#[test]
fn every_prompt_is_answered_as_often_as_is_asked() {
    for (members, choices, tokens) in [
        (r#""prompt":"hello""#, 1, 2),
        (r#""prompt":"""#, 1, 0),
        (r#""prompt":["a","b"],"n":3"#, 6, 1),
        (r#""prompt":[1,2,3]"#, 1, 3),
        (r#""prompt":[[1,2],[3]],"n":2,"best_of":2"#, 4, 3),
    ] {
        let ask = ask(members);
        assert_eq!((ask.choices(), ask.estimate().input.of(Meter::InputToken)), (choices, Some(tokens)), "{members}");
    }
}

#[test]
fn what_cannot_be_priced_or_read_is_refused() {
    for (members, code, param) in [
        (r#""x":1"#, Code::MissingRequiredParameter, "prompt"),
        (r#""prompt":[]"#, Code::InvalidValue, "prompt"),
        (r#""prompt":["a",1]"#, Code::InvalidValue, "prompt"),
        (r#""prompt":"a","n":2,"best_of":3"#, Code::UnpricedParameter, "best_of"),
        (r#""prompt":["a","b"],"n":65"#, Code::InvalidValue, "n"),
        (r#""prompt":"a","max_tokens":0.5"#, Code::InvalidValue, "max_tokens"),
        (r#""prompt":"a","stream_options":1"#, Code::InvalidValue, "stream_options"),
    ] {
        assert_eq!(parse(members).unwrap_err(), (code, Some(param.to_owned())), "{members}");
    }
}

#[test]
fn a_request_is_bounded_by_bytes_context_and_limit() {
    let two = ask(r#""prompt":["abc","d"],"n":2,"max_tokens":7"#);
    let limits = |context_tokens, output_tokens_max| ModelLimits { context_tokens, output_tokens_max };
    let bound = two.bound(limits(Some(10), Some(50))).unwrap();
    assert_eq!((bound.input.of(Meter::InputToken), bound.output_per_choice, bound.choices), (Some(20), 7, 4));
    let bytes = u64::try_from(two.body_bytes()).unwrap();
    assert_eq!(two.bound(limits(None, None)).unwrap().input.of(Meter::InputToken), Some(bytes + 16));
    let open = ask(r#""prompt":"a""#);
    assert_eq!(open.bound(limits(None, None)).unwrap_err().code, Code::UnboundedInput);
    assert_eq!(open.bound(limits(None, Some(9))).unwrap().output_per_choice, 9);
}

#[test]
fn the_limit_is_lowered_or_added_and_usage_is_asked_for() {
    let sent = |members: &str, output_limit| {
        let edits = Edits { upstream_model: "up", output_limit, dialect: Dialect::OpenAi };
        String::from_utf8(ask(members).upstream(&edits).body.concat()).unwrap()
    };
    assert_eq!(sent(r#""prompt":"a""#, None), r#"{"model":"up","prompt":"a"}"#);
    assert_eq!(sent(r#""prompt":"a""#, Some(5)), r#"{"max_tokens":5,"model":"up","prompt":"a"}"#);
    assert_eq!(sent(r#""prompt":"a","max_tokens":null"#, Some(5)), r#"{"model":"up","prompt":"a","max_tokens":5}"#);
    assert_eq!(sent(r#""prompt":"a","max_tokens":9"#, Some(5)), r#"{"model":"up","prompt":"a","max_tokens":5}"#);
    assert_eq!(sent(r#""prompt":"a","max_tokens":4"#, Some(5)), r#"{"model":"up","prompt":"a","max_tokens":4}"#);
    assert_eq!(
        sent(r#""prompt":"a","stream":true"#, None),
        r#"{"stream_options":{"include_usage":true},"model":"up","prompt":"a","stream":true}"#
    );
}
