//! Requests row by row. Whole exchanges of each dialect are golden cases in `tests/golden/`.

use super::RerankAsk;
use crate::inference::{Ask, ModelLimits};
use claviger_domain::catalog::Dialect;
use claviger_domain::error::Code;
use claviger_domain::meter::{Meter, Meters, UsageSource};

fn parse(members: &str) -> Result<RerankAsk, (Code, Option<String>)> {
    let body = format!(r#"{{"model":"m/r",{members}}}"#);
    RerankAsk::parse(body.into()).map_err(|error| (error.code, error.param))
}

fn ask(members: &str) -> RerankAsk {
    parse(members).unwrap_or_else(|error| panic!("{error:?} for {members}"))
}

#[test]
fn what_is_no_query_or_no_list_of_documents_is_refused() {
    let about = |param: &str| Some(param.to_owned());
    for (members, code, param) in [
        (r#""documents":["a"]"#, Code::MissingRequiredParameter, "query"),
        (r#""query":"q""#, Code::MissingRequiredParameter, "documents"),
        (r#""query":"","documents":["a"]"#, Code::InvalidValue, "query"),
        (r#""query":["q"],"documents":["a"]"#, Code::InvalidValue, "query"),
        (r#""query":"q","documents":[]"#, Code::InvalidValue, "documents"),
        (r#""query":"q","documents":"a""#, Code::InvalidValue, "documents"),
        (r#""query":"q","documents":{"text":"a"}"#, Code::InvalidValue, "documents"),
        (r#""query":"q","documents":["a",1]"#, Code::InvalidValue, "documents"),
        (r#""query":"q","documents":[{"image":"a"}]"#, Code::InvalidValue, "documents"),
        (r#""query":"q","documents":[{"text":1}]"#, Code::InvalidValue, "documents"),
        (r#""query":"q","documents":["a"],"top_n":0"#, Code::InvalidValue, "top_n"),
        (r#""query":"q","documents":["a"],"return_documents":1"#, Code::InvalidValue, "return_documents"),
        (r#""query":"q","documents":["a"],"max_tokens_per_doc":-1"#, Code::InvalidValue, "max_tokens_per_doc"),
        (r#""query":"q","documents":["a"],"stream":true"#, Code::UnsupportedParameter, "stream"),
        (r#""query":"q","documents":["a"],"api_base":"http://x""#, Code::ForbiddenParameter, "api_base"),
        (r#""query":"q","documents":["a"],"Documents":["b"]"#, Code::AmbiguousKey, "Documents"),
        (r#""query":"q","documents":["a"],"documents":["b"]"#, Code::DuplicateKey, "documents"),
    ] {
        assert_eq!(parse(members).unwrap_err(), (code, about(param)), "{members}");
    }
    assert!(parse(r#""query":"q","documents":["",{"text":"b","id":7}],"top_n":null"#).is_ok());
}

#[test]
fn a_request_is_bounded_by_its_documents_with_the_query_beside_each() {
    let ask = ask(r#""query":"four","documents":["abcd","ef"]"#);
    let bound = |context_tokens| ask.bound(ModelLimits { context_tokens, output_tokens_max: None }).unwrap();
    let input = |tokens| Meters::NONE.with(Meter::InputToken, tokens).with(Meter::SearchUnit, 1);
    assert_eq!((bound(None).input, bound(None).output_per_choice), (input(6 + 2 * (4 + 8)), 0));
    assert_eq!(bound(Some(8)).input, input(16));
    let estimate = ask.estimate();
    assert_eq!((estimate.input, estimate.source, estimate.has_output), (input(4), UsageSource::Estimated, false));
}

#[test]
fn a_hundred_documents_are_a_unit() {
    let units = |count: usize| {
        let documents = vec!["\"a\""; count].join(",");
        ask(&format!(r#""query":"q","documents":[{documents}]"#)).estimate().input.of(Meter::SearchUnit)
    };
    assert_eq!([1, 100, 101, 250].map(units), [Some(1), Some(1), Some(2), Some(3)]);
}

#[test]
fn only_dialects_that_rank_are_asked() {
    let ask = ask(r#""query":"q","documents":["a"],"priority":3"#);
    let refused = |dialect| ask.check_dialect(dialect).unwrap_err().code;
    for dialect in [Dialect::OpenAi, Dialect::Ollama] {
        assert_eq!(refused(dialect), Code::UnsupportedEndpoint, "{dialect:?}");
    }
    for dialect in [Dialect::Vllm, Dialect::Sglang, Dialect::LlamaCpp, Dialect::Tei] {
        assert_eq!(refused(dialect), Code::ForbiddenParameter, "an engine's own field: {dialect:?}");
    }
    assert!(ask.check_dialect(Dialect::Cohere).is_ok() && ask.check_dialect(Dialect::Jina).is_ok());
}
