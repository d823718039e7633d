//! What the scanner accepts, `serde_json`, Python and Node read alike: every field that decides money or rights has one
//! value in a body that passes, whoever reads it behind us (W48).
//!
//! Bodies are made by damaging good ones in every way that parsers are known to disagree about, by a fixed seed. Each
//! accepted body, and its upstream's copy with an edited model and limit, is read by all three; refused bodies may be
//! refused for more reasons than theirs.

use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::Operation;
use claviger_wire::inference::{self, Edits};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Fields that decide money or rights, by endpoint.
const ENDPOINTS: &[(Operation, &[&str])] = &[
    (Operation::ChatCompletions, &["model", "stream", "n", "max_tokens", "max_completion_tokens", "service_tier"]),
    (Operation::Completions, &["model", "stream", "n", "best_of", "max_tokens"]),
    (
        Operation::Responses,
        &["model", "stream", "max_output_tokens", "previous_response_id", "background", "service_tier"],
    ),
    (Operation::Messages, &["model", "stream", "max_tokens", "speed", "service_tier"]),
    (Operation::Embeddings, &["model", "dimensions", "encoding_format"]),
];

/// Members that no accepted body may have at its top, in whatever case.
const FORBIDDEN: &[&str] = &["api_base", "base_url", "api_key", "extra_headers", "custom_llm_provider"];

const BODIES: usize = 40_000;

/// Whole numbers above this are rounded by readers with doubles only, all to something as large.
const EXACT: u64 = 1 << 53;

/// A fixed sequence: the same bodies in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const VALUES: &[&str] = &[
    "1",
    "10",
    "128",
    "129",
    "0",
    "-1",
    "-0",
    "01",
    "1.0",
    "1e3",
    "1E3",
    "0.5",
    "\"10\"",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x10",
    "1_000",
    "+1",
    ".5",
    "1.",
    "\"a/b\"",
    "\"\\u0061\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\udc00x\"",
    "\"a\\u0000b\"",
    "\"\u{7f}\"",
    "\"é\"",
    "\"\\x41\"",
    "'a'",
    "\"a\nb\"",
    "\"\\/\"",
    "True",
    "None",
    "undefined",
    "\"auto\"",
    "\"default\"",
    "\"priority\"",
    "5 /* c */",
    "5 // c\n",
];

const SPACES: &[&str] = &["", " ", "\n", "\t", "\r\n", "\u{a0}", "\u{feff}", "\u{2028}", "\u{c}", "/**/"];

/// A key in one of the ways in which it can be written, or almost.
fn written(key: &str, draw: &mut Draw) -> String {
    let at = draw.below(key.len());
    let (head, tail) = key.split_at(at);
    let first = tail.chars().next().unwrap_or('x');
    let rest = &tail[first.len_utf8()..];
    match draw.below(9) {
        0 => format!("{head}\\u{:04x}{rest}", first as u32),
        1 => format!("{head}\\u{:04X}{rest}", first as u32),
        2 => format!("{head}{}{rest}", first.to_ascii_uppercase()),
        3 => key.replace('k', "\u{212A}").replace('s', "\u{17F}"),
        4 => format!("{key}\\u0000"),
        5 => format!(" {key}"),
        _ => key.to_owned(),
    }
}

fn body(operation: Operation, fields: &[&str], draw: &mut Draw) -> Vec<u8> {
    let content = match operation {
        Operation::Completions => r#""prompt":"hi""#,
        Operation::Responses | Operation::Embeddings => r#""input":"hi""#,
        _ => r#""messages":[{"role":"user","content":"hi"}]"#,
    };
    let mut members = vec![content.to_owned()];
    if draw.below(20) > 0 {
        members.push(r#""model":"acme/chat""#.to_owned());
    }
    if operation == Operation::Messages && draw.below(10) > 0 {
        members.push(r#""max_tokens":100"#.to_owned());
    }
    for _ in 0..draw.below(4) {
        let key = match draw.below(12) {
            0 => draw.of(FORBIDDEN),
            1 => "unknown",
            2 => "sim",
            _ => draw.of(fields),
        };
        let value = match draw.below(3) {
            0 => draw.of(&["1", "7", "100", "true", "false", "null", "\"auto\"", "\"default\"", "\"float\""]),
            _ => draw.of(VALUES),
        };
        let space = if draw.below(8) == 0 { draw.of(SPACES) } else { "" };
        members.push(format!("\"{}\"{space}:{space}{value}", written(key, draw)));
    }
    for at in (1..members.len()).rev() {
        members.swap(at, draw.below(at + 1));
    }
    let mut text = format!("{{{}}}", members.join(","));
    match draw.below(40) {
        0 => text.push(','),
        1 => text.insert(text.len() - 1, ','),
        2 => text.insert(0, '\u{feff}'),
        3 => text = format!("[{text}]"),
        4 => text.push_str(&text.clone()),
        5 => text.push('\0'),
        _ => {}
    }
    let mut bytes = text.into_bytes();
    if draw.below(12) == 0 {
        let at = draw.below(bytes.len());
        bytes[at] = [b'"', b'\\', b'{', b'}', b',', b':', 0x80, 0xff, 0xc0, b' '][draw.below(10)];
    }
    bytes
}

/// What each parser reads in each body: the fields, or `null` when it refuses.
fn read_by_serde(bodies: &[Vec<u8>], fields: &[&str]) -> Vec<Value> {
    let read = |body: &Vec<u8>| match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => told(&members, fields),
        _ => Value::Null,
    };
    bodies.iter().map(read).collect()
}

/// Texts as they are, numbers as texts, so that no reader's number is compared with another's.
fn told(members: &Map<String, Value>, fields: &[&str]) -> Value {
    let shown = |value: Option<&Value>| match value {
        None => json!("absent"),
        Some(Value::Number(number)) if number.as_u64().is_some_and(|number| number > EXACT) => json!("number beyond"),
        Some(Value::Number(number)) => json!(format!("number {number}")),
        Some(Value::String(text)) => json!(format!("text {text}")),
        Some(Value::Bool(flag)) => json!(format!("flag {flag}")),
        Some(Value::Null) => json!("null"),
        Some(Value::Array(_) | Value::Object(_)) => json!("nested"),
    };
    let values: BTreeMap<&str, Value> = fields.iter().map(|field| (*field, shown(members.get(*field)))).collect();
    let mut keys: Vec<&String> = members.keys().collect();
    keys.sort();
    json!({ "values": values, "keys": keys })
}

/// One process for all bodies: a line of hexadecimal digits in, a line of JSON out.
fn read_by(program: &str, script: &str, bodies: &[Vec<u8>], fields: &[&str]) -> Vec<Value> {
    let path = format!("{}/tests/differential/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(program)
        .arg(path)
        .args(fields)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut input = child.stdin.take().unwrap();
    let lines: String = bodies.iter().map(|body| hex(body) + "\n").collect();
    // Both read to the end before they write.
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} failed");
    let told: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(told.len(), bodies.len(), "{program}");
    told
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_passes_the_scanner_is_read_alike_by_serde_python_and_node() {
    let mut draw = Draw(0x9E37_79B9_7F4A_7C15);
    let (mut accepted_in_all, mut refused_in_all) = (0, 0);
    for (operation, fields) in ENDPOINTS {
        let (mut bodies, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..BODIES / ENDPOINTS.len() {
            let body = body(*operation, fields, &mut draw);
            let Ok(ask) = inference::parse(*operation, None, Bytes::from(body.clone())) else {
                refused_in_all += 1;
                continue;
            };
            let dialect = if *operation == Operation::Messages { Dialect::Anthropic } else { Dialect::OpenAi };
            let limit = ask.output_limit().map(|asked| asked.min(5));
            let edits = Edits { upstream_model: "their/model", output_limit: limit, dialect };
            ours.push((ask.model().to_owned(), ask.is_stream(), ask.output_limit()));
            bodies.push(body);
            bodies.push(ask.upstream(&edits).body.concat());
        }
        accepted_in_all += ours.len();
        let serde = read_by_serde(&bodies, fields);
        let python = read_by("python3", "read.py", &bodies, fields);
        let node = read_by("node", "read.mjs", &bodies, fields);
        for (at, body) in bodies.iter().enumerate() {
            let shown = String::from_utf8_lossy(body);
            assert!(!serde[at].is_null(), "serde refuses {shown}");
            assert_eq!(serde[at], python[at], "serde and Python: {shown}");
            assert_eq!(serde[at], node[at], "serde and Node: {shown}");
            let keys: Vec<String> =
                serde[at]["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_lowercase()).collect();
            assert!(FORBIDDEN.iter().all(|name| !keys.iter().any(|key| key == name)), "{shown}");
            assert!(fields.iter().all(|name| keys.iter().filter(|key| key == name).count() <= 1), "{shown}");
        }
        for (at, (model, is_stream, limit)) in ours.iter().enumerate() {
            let (came, sent) = (&serde[2 * at]["values"], &serde[2 * at + 1]["values"]);
            let shown = String::from_utf8_lossy(&bodies[2 * at]);
            assert_eq!(came["model"], json!(format!("text {model}")), "{shown}");
            assert_eq!(came["stream"] == "flag true", *is_stream, "{shown}");
            assert_eq!(sent["model"], "text their/model", "{shown}");
            check_limits(limit, came, sent, &shown);
        }
    }
    assert!(
        accepted_in_all > BODIES / 10 && refused_in_all > BODIES / 4,
        "{accepted_in_all} passed, {refused_in_all} not"
    );
}

/// The limit we read is the largest that came, and none that is sent is above the one we wrote.
fn check_limits(limit: &Option<u64>, came: &Value, sent: &Value, shown: &str) {
    let limits = |values: &Value| -> Vec<u64> {
        ["max_tokens", "max_completion_tokens", "max_output_tokens"]
            .iter()
            .filter_map(|name| values[*name].as_str()?.strip_prefix("number ")?.parse().ok())
            .collect()
    };
    if limit.is_none_or(|limit| limit <= EXACT) {
        assert_eq!(limits(came).into_iter().max(), *limit, "{shown}");
    }
    let most = limit.map_or(0, |asked| asked.min(5));
    assert!(limits(sent).into_iter().all(|told| told <= most), "{shown} became {sent}");
}
