//! Requests row by row of `reliability.md` §4-D, edits, bounds, and the course of streams. Whole exchanges of each
//! dialect are golden cases in `tests/golden/`.

mod ask;
mod edit;
mod stream;

use super::*;
use crate::dialect::check_serves;
use crate::inference::*;
use crate::openai::choices::ChoiceStream;
use crate::sse::SseReader;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;

/// A request with these members beside the model and one message.
fn ask(members: &str) -> ChatAsk {
    parse(members).unwrap_or_else(|error| panic!("{error:?} for {members}"))
}

fn parse(members: &str) -> Result<ChatAsk, claviger_domain::error::PublicError> {
    let comma = if members.is_empty() { "" } else { "," };
    let body = format!(r#"{{"model":"m/a","messages":[{{"role":"user","content":"hi"}}]{comma}{members}}}"#);
    ChatAsk::parse(body.into())
}

/// Runs an upstream's stream through the editor; what is forwarded, and each step.
fn run(stream: &mut ChoiceStream, upstream: &str) -> (String, Vec<StreamStep>) {
    let mut reader = SseReader::new();
    reader.push(Bytes::copy_from_slice(upstream.as_bytes()));
    let (mut forwarded, mut steps) = (String::new(), Vec::new());
    while let Some(frame) = reader.next() {
        let step = stream.event(frame.unwrap());
        forwarded.push_str(std::str::from_utf8(step.forward.as_deref().unwrap_or_default()).unwrap());
        steps.push(step);
    }
    if let Some(frame) = reader.finish() {
        steps.push(stream.event(frame));
    }
    (forwarded, steps)
}

/// Events of these data, one each.
fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// The dialects that have the endpoint.
fn all() -> Vec<Dialect> {
    let serves = |dialect: &Dialect| check_serves(*dialect, EndpointName::ChatCompletions).is_ok();
    Dialect::ALL.iter().copied().filter(serves).collect()
}
