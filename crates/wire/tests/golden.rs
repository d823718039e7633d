//! Protocol cases as files, one checker (`style.md` rule 26).
//!
//! ```text
//! tests/golden/<dialect>/<case>/
//!   request.json|.form     what the caller sends; of a form its first line names the boundary
//!   settings.txt           optional lines: endpoint (chat.completions), upstream_model, output_limit, status (of an
//!                          upstream's error), compute_tokens (of an answer's head), previous_upstream (shows the caller's ids)
//!   upstream.json|.sse     what the upstream answers; of an error, upstream.txt in any form
//!   upstream-request.json|.form  expected: what the upstream is sent
//!   reply.json|.sse        expected: what the caller gets, last piece included
//!   outcome.txt            expected: meters, source, content, ending
//! ```
//! Streams are fed at every split in two. With `UPDATE_GOLDEN=1` the expected files are written instead of compared:
//! read the difference before committing it.

mod relayed;

use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::{EndpointTable, ErrorShape, Operation};
use claviger_domain::error::PublicError;
use claviger_domain::id::ResponseId;
use claviger_wire::error_body::render;
use claviger_wire::inference::{self, Ask, Edits};
use claviger_wire::openai::responses::AnswerNames;
use relayed::{relay, removed, tell_usage};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[test]
fn every_golden_case_comes_out_as_written() {
    let mut cases = 0;
    for dialect in folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")) {
        let name = dialect.file_name().unwrap().to_str().unwrap().to_owned();
        let dialect_of = |word: &str| Dialect::ALL.iter().copied().find(|dialect| dialect.name() == word);
        for case in folders(&dialect) {
            Case::load(&case, dialect_of(&name).expect("a folder per dialect")).check();
            cases += 1;
        }
    }
    assert!(cases >= 20, "the cases are found: {cases}");
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

struct Case {
    path: PathBuf,
    dialect: Dialect,
    operation: Operation,
    request: Bytes,
    is_form: bool,
    upstream_model: Option<String>,
    output_limit: Option<u64>,
    status: u16,
    compute_tokens: Option<u64>,
    /// What the answer that is gone on from is called upstream; then ids are shown as the caller's.
    previous_upstream: Option<String>,
}

impl Case {
    fn load(path: &Path, dialect: Dialect) -> Self {
        let settings = std::fs::read_to_string(path.join("settings.txt")).unwrap_or_default();
        let setting = |name: &str| {
            let mut lines = settings.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let endpoint = setting("endpoint").unwrap_or_else(|| "chat.completions".to_owned());
        let is_asked = |operation: &Operation| operation.is_inference() && operation.name() == endpoint;
        let form = file(&path.join("request.form"));
        Self {
            path: path.to_owned(),
            dialect,
            operation: Operation::ALL.iter().copied().find(is_asked).expect("an endpoint"),
            is_form: form.is_some(),
            request: form.or_else(|| file(&path.join("request.json"))).expect("a request").into(),
            upstream_model: setting("upstream_model"),
            output_limit: setting("output_limit").map(|limit| limit.parse().unwrap()),
            status: setting("status").map_or(200, |status| status.parse().unwrap()),
            compute_tokens: setting("compute_tokens").map(|tokens| tokens.parse().unwrap()),
            previous_upstream: setting("previous_upstream"),
        }
    }

    fn check(&self) {
        let ask = self.parse();
        let mut ask = ask.unwrap_or_else(|error| panic!("{}: {error:?}", self.path.display()));
        if let Some(previous) = &self.previous_upstream {
            let previous_upstream = Some(previous.clone()).filter(|name| name != "none");
            ask.name_answer(AnswerNames { answer: ResponseId::from_u128(1), previous_upstream });
        }
        let ask = ask.as_ref();
        ask.check_dialect(self.dialect).unwrap();
        let model = self.upstream_model.as_deref().unwrap_or(ask.model());
        let edits = Edits { upstream_model: model, output_limit: self.output_limit, dialect: self.dialect };
        let name = if self.is_form { "upstream-request.form" } else { "upstream-request.json" };
        self.expect(name, &ask.upstream(&edits).body.concat());
        if let Some(body) = file(&self.path.join("upstream.txt")) {
            self.check_error(&body);
        } else if let Some(body) = file(&self.path.join("upstream.json")) {
            self.check_whole(ask, body);
        } else {
            self.check_stream(ask, &file(&self.path.join("upstream.sse")).expect("an answer").into());
        }
    }

    fn parse(&self) -> Result<Box<dyn Ask>, PublicError> {
        if !self.is_form {
            return inference::parse(self.operation, None, self.request.clone());
        }
        let line = self.request.split(|byte| *byte == b'\r').next().and_then(|line| line.strip_prefix(b"--"));
        let boundary = String::from_utf8_lossy(line.expect("a boundary"));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        inference::parse_form(self.operation, Some(&content_type), self.request.clone())
    }

    fn check_error(&self, body: &[u8]) {
        let error = claviger_wire::dialect::upstream_error(self.dialect, self.status, body, None);
        let reply = render(&error, self.error_shape(), "req_01");
        self.expect("reply.json", &reply.body);
        self.expect("outcome.txt", format!("status: {}\ncode: {:?}\n", reply.status, error.code).as_bytes());
    }

    fn error_shape(&self) -> ErrorShape {
        let row = EndpointTable::rows().find(|row| row.operation == self.operation).expect("a row");
        row.error_shape
    }

    fn check_whole(&self, ask: &dyn Ask, body: Vec<u8>) {
        let mut outcome = removed(ask);
        match ask.read_counted(body.into(), self.compute_tokens, self.dialect) {
            Ok(reply) => {
                tell_usage(&mut outcome, reply.usage);
                writeln!(outcome, "content bytes: {}", reply.content_bytes).unwrap();
                writeln!(outcome, "has content: {}\nfinished: {}", reply.has_content, reply.is_finished).unwrap();
                self.expect("reply.json", &reply.body);
            }
            Err(fault) => writeln!(outcome, "fault: {:?}: {}", fault.kind, fault.message).unwrap(),
        }
        self.expect("outcome.txt", outcome.as_bytes());
    }

    fn check_stream(&self, ask: &dyn Ask, upstream: &Bytes) {
        let (reply, outcome) = relay(ask, self.dialect, [upstream.clone()]);
        self.expect("reply.sse", reply.as_bytes());
        self.expect("outcome.txt", outcome.as_bytes());
        for at in 0..=upstream.len() {
            let cut = relay(ask, self.dialect, [upstream.slice(..at), upstream.slice(at..)]);
            assert_eq!(cut, (reply.clone(), outcome.clone()), "{} cut at {at}", self.path.display());
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a switch for whoever edits cases, not configuration")]
    fn expect(&self, name: &str, actual: &[u8]) {
        let path = self.path.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, actual).unwrap();
        }
        let expected = file(&path).unwrap_or_else(|| panic!("{} is missing", path.display()));
        let (actual, expected) = (String::from_utf8_lossy(actual), String::from_utf8_lossy(&expected));
        assert_eq!(actual, expected, "{}", path.display());
    }
}

fn file(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
