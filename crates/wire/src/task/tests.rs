//! What a body means, and what is left of it for an upstream.

use super::*;
use crate::inference::Edits;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_domain::error::Code;

fn read(body: &str, serves: &[EndpointName]) -> Result<TaskAsk, (Code, Option<String>)> {
    parse(body.to_owned().into(), |_| serves.to_vec()).map_err(|error| (error.code, error.param))
}

fn sent(task: &TaskAsk) -> String {
    let edits = Edits { upstream_model: "u", output_limit: None, dialect: Dialect::OpenAi };
    String::from_utf8(task.ask.upstream(&edits).body.concat()).unwrap()
}

#[test]
fn a_body_means_the_endpoint_that_it_fits() {
    use EndpointName::{AudioSpeech, Embeddings, Images, Messages, Video};
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"Hello world"}]}"#;
    let prompt = r#"{"model":"m","prompt":"a cat"}"#;
    for (body, serves, operation) in [
        (chat, &[][..], Operation::ChatCompletions),
        (
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
            &[Messages][..],
            Operation::Messages,
        ),
        (r#"{"model":"m","query":"q","documents":["a"]}"#, &[][..], Operation::Rerank),
        (prompt, &[][..], Operation::Completions),
        (prompt, &[Images][..], Operation::GenerateImages),
        (prompt, &[Video][..], Operation::CreateVideo),
        (r#"{"model":"m","input":"hi"}"#, &[Embeddings][..], Operation::Embeddings),
        (r#"{"model":"m","input":"hi","voice":"alloy"}"#, &[AudioSpeech][..], Operation::Speak),
        (r#"{"type":"response","model":"m","input":"hi"}"#, &[Embeddings][..], Operation::Responses),
    ] {
        assert_eq!(read(body, serves).unwrap().operation, operation, "{body}");
    }
    for (body, code, param) in [
        (r#"{"model":"m"}"#, Code::MissingRequiredParameter, "type"),
        (r#"{"model":"m","type":"dance"}"#, Code::InvalidValue, "type"),
        (r#"{"model":"m","stream":true,"messages":[]}"#, Code::InvalidValue, "stream"),
        (r#"{"model":"m","messages":[],"timeout_s":0}"#, Code::InvalidValue, "timeout_s"),
        (r#"{"model":"m","messages":[],"metadata":{"a":1}}"#, Code::InvalidValue, "metadata"),
        (r#"{"model":"m","messages":[],"type":"chat","type":"rerank"}"#, Code::DuplicateKey, "type"),
    ] {
        assert_eq!(read(body, &[]).unwrap_err(), (code, Some(param.to_owned())), "{body}");
    }
}

#[test]
fn what_is_the_tasks_own_never_reaches_an_upstream() {
    let body = r#"{"type":"chat","model":"m","metadata":{"order":"7"},"messages":[{"role":"user","content":"hi"}],"temperature":0.70,"callback_url":"https://a.example/x","timeout_s":60}"#;
    let task = read(body, &[]).unwrap();
    assert_eq!(sent(&task), r#"{"model":"u","messages":[{"role":"user","content":"hi"}],"temperature":0.70}"#);
    assert_eq!(task.own.metadata.get("order").map(String::as_str), Some("7"));
    assert_eq!((task.own.callback_url.as_deref(), task.own.timeout_s), (Some("https://a.example/x"), Some(60)));

    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = [
        part("metadata", r#"{"a":"b"}"#),
        part("prompt", "a cat"),
        part("timeout_s", "9"),
        part("model", "m"),
        part("seconds", "4"),
        part("type", "video"),
    ];
    let form = parse_form(Some("multipart/form-data; boundary=b"), Bytes::from(body.concat() + "--b--\r\n")).unwrap();
    assert_eq!(form.operation, Operation::CreateVideo);
    assert_eq!((form.own.metadata.len(), form.own.timeout_s), (1, Some(9)));
    assert_eq!(sent(&form), [part("prompt", "a cat"), part("model", "u"), part("seconds", "4")].concat() + "--b--\r\n");
}
