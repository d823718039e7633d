//! Bytes that Claviger has no reason to touch leave as they came: whatever else stands in a body, in whatever order, spacing and
//! spelling, only the model's name is another one (W5, W8). Requests, forms, whole answers, events.

use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::Operation;
use claviger_wire::inference::{self, Ask, Edits};
use claviger_wire::sse::SseReader;
use proptest::prelude::*;

const OURS: &str = "acme/m";
const THEIRS: &str = "up-1";

/// Space as JSON has it.
fn space() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ \t\r\n]{0,3}").unwrap()
}

/// Numbers in spellings that a reader and a writer would not give back.
fn number() -> impl Strategy<Value = String> {
    const SPELLED: &[&str] =
        &["-0", "0.70", "1E+3", "1e-7", "12345678901234567890", "0.1000", "-1.50e2", "100000000000000000000000"];
    prop_oneof![proptest::sample::select(SPELLED).prop_map(str::to_owned), any::<i32>().prop_map(|n| n.to_string())]
}

/// Strings with escapes that need not be there, and letters that need not be escaped.
fn string() -> impl Strategy<Value = String> {
    const PARTS: &[&str] =
        &["a", "é", "\\u00e9", "\\/", "/", "\\n", "😀", "\\ud83d\\ude00", "\\\"", "model", "\\\\", " ", "{", "]", ","];
    proptest::collection::vec(proptest::sample::select(PARTS), 0..6).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn value() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(&["true", "false", "null"][..]).prop_map(str::to_owned);
    let leaf = prop_oneof![word, number(), string()];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let list = (proptest::collection::vec(inner.clone(), 0..4), space());
        let object = (proptest::collection::vec((inner, space()), 0..4), space());
        prop_oneof![
            list.prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(&format!("{space},")))),
            object.prop_map(|(values, space)| object_of(values.into_iter(), &space)),
        ]
    })
}

/// Names that are nobody's, each once.
fn object_of(values: impl Iterator<Item = (String, String)>, space: &str) -> String {
    let members = values.enumerate().map(|(at, (value, more))| format!("\"x\\u002d{at}é\"{more}:{space}{value}"));
    format!("{{{space}{}{space}}}", members.collect::<Vec<_>>().join(","))
}

/// `members` among unknown ones, in any order.
fn document(members: &[&str]) -> impl Strategy<Value = String> + use<> {
    let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
    let unknown = proptest::collection::vec((value(), space()), 0..6);
    (unknown, space(), any::<u64>()).prop_map(move |(values, space, order)| {
        let unknown =
            values.into_iter().enumerate().map(|(at, (value, more))| format!("\"y{at}-\\u0041\"{more}:{value}"));
        let mut all: Vec<String> = members.iter().cloned().chain(unknown).collect();
        let turn = usize::try_from(order % 97).unwrap() % all.len();
        all.rotate_left(turn);
        format!("{space}{{{}{space}}}{space}", all.join(&format!(",{space}")))
    })
}

fn edits(dialect: Dialect) -> Edits<'static> {
    Edits { upstream_model: THEIRS, output_limit: None, dialect }
}

fn sent(ask: &dyn Ask, dialect: Dialect) -> String {
    String::from_utf8(ask.upstream(&edits(dialect)).body.concat()).unwrap()
}

fn request(operation: Operation, body: &str) -> Box<dyn Ask> {
    inference::parse(operation, None, Bytes::copy_from_slice(body.as_bytes()))
        .unwrap_or_else(|error| panic!("{error:?}: {body}"))
}

const MODEL: &str = r#""model" : "acme/m""#;
const MESSAGES: &str = r#""messages":[ {"role":"user","content":"h\u0069", "name":"\u00e9"} ]"#;

/// Every endpoint that is asked in JSON, with what it needs.
const ASKS: &[(Operation, Dialect, &[&str])] = &[
    (Operation::ChatCompletions, Dialect::OpenAi, &[MODEL, MESSAGES, r#""temperature":0.70"#]),
    (Operation::ChatCompletions, Dialect::Vllm, &[MODEL, MESSAGES, r#""stream" :false"#]),
    (Operation::Completions, Dialect::OpenAi, &[MODEL, r#""prompt":"Say \u0068i""#]),
    (Operation::Responses, Dialect::OpenAi, &[MODEL, r#""input":[{"role":"user","content":"\u0068i"}]"#]),
    (Operation::Messages, Dialect::Anthropic, &[MODEL, MESSAGES, r#""max_tokens": 64"#]),
    (Operation::CountMessageTokens, Dialect::Anthropic, &[MODEL, MESSAGES]),
    (Operation::Embeddings, Dialect::OpenAi, &[MODEL, r#""input": [ "a","\u00e9" ]"#]),
    (Operation::Rerank, Dialect::Vllm, &[MODEL, r#""query":"\u0061""#, r#""documents":[ "a","b" ]"#]),
    (Operation::GenerateImages, Dialect::OpenAi, &[MODEL, r#""prompt":"\u0061""#, r#""n" : 2"#]),
    (Operation::Speak, Dialect::OpenAi, &[MODEL, r#""input":"h\u00e9llo""#]),
];

/// Whole answers, with what they need.
const ANSWERS: &[(usize, &[&str])] = &[
    (
        0,
        &[
            r#""model": "up-1""#,
            r#""choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"h\u0069"}}]"#,
        ],
    ),
    (2, &[r#""model": "up-1""#, r#""choices":[{"index":0,"finish_reason":"stop","text":"h\u0069"}]"#]),
    (3, &[r#""model": "up-1""#, r#""status":"completed""#, r#""output":[]"#]),
    (4, &[r#""model": "up-1""#, r#""type":"message""#, r#""content":[{"type":"text","text":"\u0068"}]"#]),
];

proptest! {
    #[test]
    fn requests_differ_in_the_models_name_alone(which in 0..ASKS.len(), bodies in asked()) {
        let (operation, dialect, _) = ASKS[which];
        let body = &bodies[which];
        prop_assert_eq!(sent(request(operation, body).as_ref(), dialect), body.replacen(OURS, THEIRS, 1));
    }

    #[test]
    fn answers_differ_in_the_models_name_alone(which in 0..ANSWERS.len(), answers in answered()) {
        let (asked, _) = ANSWERS[which];
        let (operation, dialect, members) = ASKS[asked];
        let ask = request(operation, &format!("{{{}}}", members.join(",")));
        let body = &answers[which];
        let reply = ask.read_reply(Bytes::copy_from_slice(body.as_bytes()), dialect).unwrap();
        prop_assert_eq!(std::str::from_utf8(&reply.body).unwrap(), body.replacen(THEIRS, OURS, 1));
    }

    #[test]
    fn events_differ_in_the_models_name_alone(chunk in document(&[
        r#""model": "up-1""#, r#""choices":[{"index":0,"delta":{"content":"\u0068i"},"finish_reason":null}]"#,
    ])) {
        // Line ends cannot stand in one line of data.
        let chunk = chunk.replace(['\r', '\n'], " ").trim().to_owned();
        let body = format!("{{{MODEL},{MESSAGES},\"stream\":true}}");
        let ask = request(Operation::ChatCompletions, &body);
        let (mut reader, mut stream) = (SseReader::new(), ask.stream(Dialect::OpenAi).unwrap());
        reader.push(Bytes::from(format!("data: {chunk}\n\n")));
        let forward = stream.event(reader.next().unwrap().unwrap()).forward.unwrap_or_default();
        let expected = format!("data: {}\n\n", chunk.replacen(THEIRS, OURS, 1));
        prop_assert_eq!(std::str::from_utf8(&forward).unwrap(), expected);
    }

    #[test]
    fn forms_differ_in_the_models_name_alone(
        file in proptest::collection::vec(any::<u8>(), 1..200), order in 0..6_usize, name in "[a-zé ]{1,9}",
    ) {
        // A file that holds the boundary is another form.
        prop_assume!(!file.windows(3).any(|three| three == b"--b"));
        let part = |head: &str, value: &[u8]| [format!("--b\r\n{head}\r\n\r\n").as_bytes(), value, b"\r\n"].concat();
        let mut parts = [
            part(&format!("content-disposition:form-data; name=\"file\"; filename=\"{name}.wav\"\r\nContent-Type: audio/x"), &file),
            part("Content-Disposition: form-data; name=\"model\"", OURS.as_bytes()),
            part("Content-Disposition: form-data; name=\"timestamp_granularities[]\"", b"word"),
            part("Content-Disposition: form-data; name=\"x-unknown\"\r\nX-More: 1", b" 0.70 "),
        ];
        let last = parts.len() - 1;
        parts.rotate_left(order % 4);
        parts.swap(order % 4, last);
        let form = [parts.concat(), b"--b--\r\n".to_vec()].concat();
        let kind = Some("multipart/form-data; boundary=b");
        let ask = inference::parse_form(Operation::Transcribe, kind, Bytes::from(form.clone())).unwrap();
        let expected = form.windows(OURS.len()).position(|window| window == OURS.as_bytes()).map(|at| {
            [&form[..at], THEIRS.as_bytes(), &form[at + OURS.len()..]].concat()
        });
        prop_assert_eq!(Some(ask.upstream(&edits(Dialect::OpenAi)).body.concat()), expected);
    }
}

fn asked() -> impl Strategy<Value = Vec<String>> {
    ASKS.iter().map(|(_, _, members)| document(members).boxed()).collect::<Vec<_>>()
}

fn answered() -> impl Strategy<Value = Vec<String>> {
    ANSWERS.iter().map(|(_, members)| document(members).boxed()).collect::<Vec<_>>()
}
