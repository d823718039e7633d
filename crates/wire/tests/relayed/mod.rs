//! What the data plane does with an answer, without its clocks and holds; what is expected of it, the tests know.

use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meters, Usage, UsageSource};
use claviger_wire::inference::{AnswerStream, Ask, Content};
use claviger_wire::sse::SseReader;
use std::fmt::Write as _;

/// Relays a stream in these pieces: what the caller gets, and what is billed and why.
pub(crate) fn relay(ask: &dyn Ask, dialect: Dialect, pieces: impl IntoIterator<Item = Bytes>) -> (String, String) {
    let (mut reader, mut stream) = (SseReader::new(), ask.stream(dialect).expect("a stream"));
    let (mut reply, mut outcome, mut fault) = (Vec::new(), removed(ask), None);
    let (mut usage, mut content) = (None, Content { bytes: 0, chunks: 0 });
    let mut take = |stream: &mut dyn AnswerStream, frame| {
        let step = stream.event(frame);
        reply.extend_from_slice(step.forward.as_deref().unwrap_or_default());
        usage = step.usage.map(|(usage, _)| usage).or(usage);
        let came = step.content.unwrap_or(Content { bytes: 0, chunks: 0 });
        content = Content { bytes: content.bytes + came.bytes, chunks: content.chunks + came.chunks };
        fault = fault.take().or(step.error);
    };
    for piece in pieces {
        reader.push(piece);
        while let Some(frame) = reader.next() {
            take(stream.as_mut(), frame.unwrap());
        }
    }
    if let Some(frame) = reader.finish() {
        take(stream.as_mut(), frame);
    }
    let code = match &fault {
        Some(_) => Some(Code::UpstreamError),
        None => (!stream.is_finished()).then_some(Code::StreamTruncated),
    };
    tell_usage(&mut outcome, usage);
    let estimated = content.bytes.div_ceil(4).max(content.chunks.min(content.bytes.div_ceil(2)));
    writeln!(outcome, "estimated output: {estimated}").unwrap();
    writeln!(outcome, "ending: {}", code.map_or("complete", Code::text)).unwrap();
    if let Some(fault) = fault {
        writeln!(outcome, "fault: {:?}: {}", fault.kind, fault.message).unwrap();
    }
    let none = Usage { meters: Meters::NONE, source: UsageSource::None, is_anomalous: false };
    let ending = match code {
        Some(code) => stream.error_ending(&PublicError::new(code)),
        None => stream.ending(&usage.unwrap_or(none)),
    };
    reply.extend_from_slice(&ending);
    (String::from_utf8(reply).unwrap(), outcome)
}

/// The tools that were taken out.
pub(crate) fn removed(ask: &dyn Ask) -> String {
    match ask.removed_tools() {
        [] => String::new(),
        names => format!("removed: {}\n", names.join(", ")),
    }
}

/// One line about what was used.
pub(crate) fn tell_usage(outcome: &mut String, usage: Option<Usage>) {
    let Some(usage) = usage else { return outcome.push_str("usage: none\n") };
    let meters: Vec<String> = usage.meters.iter().map(|(meter, n)| format!("{meter} {n}")).collect();
    let anomaly = if usage.is_anomalous { ", anomalous" } else { "" };
    writeln!(outcome, "usage: {} ({}{anomaly})", meters.join(", "), usage.source.name()).unwrap();
}
