//! The whole matrix endpoint × {JSON, SSE} × {usage present, absent, running, twice, absurd} × every dialect that serves the
//! endpoint, as files:
//!
//! ```text
//! tests/matrix/<operation>/
//!   ask-json.json|.form, ask-sse.json|.form   what the caller sends; a form's boundary is `b`
//!   json-<usage>.json, sse-<usage>.sse        what the upstream answers
//!   <the same>.expected                       what is billed and what the caller gets, one section for the dialects that agree
//! ```
//! A cell that is missing fails, and so does a dialect of no section. Streams are fed at every split in two, byte by byte, and
//! with every kind of line end. With `UPDATE_GOLDEN=1` the expected files are written instead of compared.

mod relayed;

use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_wire::inference::{self, Ask, Edits};
use relayed::{relay, tell_usage};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const USAGES: [&str; 5] = ["present", "absent", "running", "twice", "absurd"];

/// Cells that cannot be: a whole answer has no running figure, sound as bytes has none at all, and only some stream.
fn cells(operation: &str) -> Vec<String> {
    let has_json = operation != "audio.speech";
    let streams = !matches!(operation, "embeddings" | "audio.translate");
    let json = USAGES.iter().filter(|usage| has_json && **usage != "running").map(|usage| format!("json-{usage}.json"));
    json.chain(USAGES.iter().filter(|_| streams).map(|usage| format!("sse-{usage}.sse"))).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn operation(name: &str) -> Operation {
    let is_meant = |operation: &Operation| operation.is_inference() && operation.name() == name;
    Operation::ALL.iter().copied().find(is_meant).expect("an operation")
}

fn ask(folder: &Path, form: &str, operation: Operation) -> Box<dyn Ask> {
    let read = |ending: &str| std::fs::read(folder.join(format!("ask-{form}.{ending}"))).ok().map(Bytes::from);
    match read("form") {
        Some(body) => inference::parse_form(operation, Some("multipart/form-data; boundary=b"), body).unwrap(),
        None => inference::parse(operation, None, read("json").expect("a request")).unwrap(),
    }
}

/// What is billed and what the caller gets.
fn outcome(ask: &dyn Ask, dialect: Dialect, upstream: &Bytes, is_stream: bool) -> String {
    let edits = Edits { upstream_model: "up-1", output_limit: None, dialect };
    let sent = String::from_utf8(ask.upstream(&edits).body.concat()).unwrap();
    let mut outcome = format!("sent: {}\n", sent.replace("\r\n", "⏎"));
    if is_stream {
        let (reply, told) = relay(ask, dialect, [upstream.clone()]);
        return outcome + &told + "--\n" + &reply;
    }
    match ask.read_reply(upstream.clone(), dialect) {
        Ok(reply) => {
            tell_usage(&mut outcome, reply.usage);
            let (bytes, has, whole) = (reply.content_bytes, reply.has_content, reply.is_finished);
            writeln!(outcome, "content bytes: {bytes}, has content: {has}, finished: {whole}\n--").unwrap();
            outcome + std::str::from_utf8(&reply.body).unwrap() + "\n"
        }
        Err(fault) => outcome + &format!("fault: {:?}: {}\n", fault.kind, fault.message),
    }
}

/// The same comes out however the bytes arrive, and whatever ends a line.
fn is_the_same_however_it_comes(ask: &dyn Ask, dialect: Dialect, upstream: &Bytes) {
    let whole = relay(ask, dialect, [upstream.clone()]);
    assert_eq!(relay(ask, dialect, upstream.chunks(1).map(Bytes::copy_from_slice)), whole, "byte by byte");
    for at in 1..upstream.len() {
        assert_eq!(relay(ask, dialect, [upstream.slice(..at), upstream.slice(at..)]), whole, "cut at {at}");
    }
    for end in ["\r\n", "\r"] {
        let other = std::str::from_utf8(upstream).unwrap().replace('\n', end);
        assert_eq!(relay(ask, dialect, [Bytes::from(other)]), whole, "lines end in {end:?}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for whoever edits cases, not configuration")]
fn every_cell_of_the_matrix_comes_out_as_written() {
    let mut count = 0;
    for folder in files(&root()) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let operation = operation(&name);
        for cell in files(&folder).iter().filter(|path| path.extension().is_some_and(|ending| ending != "expected")) {
            let file = cell.file_name().unwrap().to_str().unwrap();
            let Some((form, _)) = file.split_once('-').filter(|(form, _)| *form != "ask") else { continue };
            let (ask, upstream) = (ask(&folder, form, operation), Bytes::from(std::fs::read(cell).unwrap()));
            let mut sections: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for dialect in Dialect::ALL.iter().copied().filter(|dialect| ask.check_dialect(*dialect).is_ok()) {
                let what = outcome(ask.as_ref(), dialect, &upstream, form == "sse");
                // Dialects of one section take the same way, so one of them is cut at every byte.
                if form == "sse" && !sections.contains_key(&what) {
                    is_the_same_however_it_comes(ask.as_ref(), dialect, &upstream);
                }
                sections.entry(what).or_default().push(dialect.name());
                count += 1;
            }
            let mut parts: Vec<String> =
                sections.iter().map(|(what, dialects)| format!("== {}\n{what}", dialects.join(", "))).collect();
            parts.sort();
            let (actual, expected) = (parts.concat(), cell.with_extension("expected"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&expected, &actual).unwrap();
            }
            let expected_text = std::fs::read_to_string(&expected).unwrap_or_default();
            assert_eq!(actual, expected_text, "{}", expected.display());
        }
    }
    assert!(count > 300, "{count} cells");
}

#[test]
fn no_cell_of_the_matrix_is_missing() {
    let operations = ["chat.completions", "completions", "responses", "messages", "embeddings", "images.generate"];
    for name in operations.into_iter().chain(["images.edit", "audio.speech", "audio.transcribe", "audio.translate"]) {
        for cell in cells(name) {
            assert!(root().join(name).join(&cell).exists(), "{name}/{cell}");
        }
    }
    // Ranking has one form a server, so its cells are cases of their own, below `tests/golden`.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let rerank = include_bytes!("golden/vllm/rerank/request.json");
    let rerank = inference::parse(operation(EndpointName::Rerank.name()), None, Bytes::from_static(rerank)).unwrap();
    for dialect in Dialect::ALL.iter().filter(|dialect| rerank.check_dialect(**dialect).is_ok()) {
        for case in ["rerank", "rerank-without-usage"] {
            assert!(golden.join(dialect.name()).join(case).exists(), "{} {case}", dialect.name());
        }
    }
}
