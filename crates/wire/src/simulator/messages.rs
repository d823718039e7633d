//! A message in Anthropic's dialect, whole and as a stream, and the count of its tokens.

use super::ask::Ask;
use super::events::{Course, Events, Frame, Piece};
use super::fault::Fault;
use super::plan::{BreakKind, Plan, StreamForm};
use super::script::{Ending, Script, Source, Steps};
use super::shape::Shape;
use super::tokens::{self, Words};
use super::usage::{UsageForm, push_number, push_text};
use super::{SimCall, damage, knobs};
use bytes::Bytes;
use http::{HeaderValue, header};
use std::collections::VecDeque;

/// Renders the plan.
pub(super) fn script(plan: Plan) -> Script {
    match plan.stream {
        Some(form) => stream(plan, form),
        None => whole(&plan),
    }
}

/// Answers `POST messages/count_tokens`.
///
/// # Errors
/// What is wrong with the request, and the errors of the models that only fail.
pub(super) fn count(call: &SimCall<'_>) -> Result<Script, Fault> {
    let mut ask = Ask::read(call.body)?;
    ask.take_system()?;
    let knobs = knobs::Knobs::read(ask.sim, call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    // What refuses a message refuses its count.
    let plan = Plan::make(call, (&ask, 1), &knobs, mode)?;
    let mut out = Vec::new();
    push_number(&mut out, b"{\"input_tokens\":", plan.counts.prompt);
    out.push(b'}');
    let script = Script::json(200, plan.shape.json_type(), out);
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

fn whole(plan: &Plan) -> Script {
    let mut script = match plan.breaks {
        Some(breaks) if breaks.how == BreakKind::Error => Fault::midstream().script(plan.shape),
        _ => Script::json(200, plan.shape.json_type(), body(plan)),
    };
    let gaps = plan.answer.tokens().saturating_sub(1);
    script.head_wait_ms = plan.first_ms.saturating_add(plan.gap_ms.saturating_mul(gaps));
    script
}

/// `{"id":…,"type":"message","role":"assistant","model":…,"content":[`
fn push_head(out: &mut Vec<u8>, plan: &Plan) {
    out.extend_from_slice(b"{\"id\":");
    push_text(out, &plan.id);
    out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    push_text(out, &plan.model);
    out.extend_from_slice(b",\"content\":[");
}

fn body(plan: &Plan) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    push_head(&mut out, plan);
    let answer = &plan.answer;
    if answer.reasoning.tokens() > 0 {
        out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
        push_text(&mut out, &answer.reasoning.whole());
        out.extend_from_slice(b",\"signature\":\"sim\"},");
    }
    match &answer.call {
        Some(call) => {
            push_call(&mut out, &call.name);
            let arguments = call.arguments.whole();
            // A limit may have cut them.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&arguments).is_ok();
            out.extend_from_slice(if is_json { arguments.as_bytes() } else { b"{}" });
            out.push(b'}');
        }
        None => {
            out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
            push_text(&mut out, &answer.content.whole());
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"],\"stop_reason\":");
    push_text(&mut out, stop_reason(answer.finish));
    out.extend_from_slice(b",\"stop_sequence\":null");
    if plan.usage != UsageForm::Never {
        out.extend_from_slice(b",\"usage\":");
        plan.counts.push(&mut out, Shape::Anthropic, &plan.usage);
    }
    out.push(b'}');
    out
}

fn push_call(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":\"toolu_sim_1\",\"name\":");
    push_text(out, name);
    out.extend_from_slice(b",\"input\":");
}

fn stop_reason(finish: &str) -> &'static str {
    match finish {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

fn stream(plan: Plan, form: StreamForm) -> Script {
    let ending = match plan.breaks {
        Some(breaks) if breaks.how == BreakKind::Stall => Ending::Stall,
        _ => Ending::Clean,
    };
    let course = Course {
        first_ms: plan.first_ms,
        gap_ms: plan.gap_ms,
        breaks: plan.breaks,
        failure: Frame { before: Fault::midstream().event(plan.shape).to_vec(), ..Frame::default() },
        running: form.has_running_usage.then_some(running as _),
        is_numbered: false,
    };
    let steps = Steps(Source::Events(Box::new(Events::new(pieces(&plan, form), course))));
    let mut script = Script::at_once(200, plan.shape.stream_type(), steps);
    script.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    script.ending = ending;
    script
}

/// What came so far, as a word of the message's own.
fn running(sent: u64) -> Bytes {
    let delta = "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null,\"stop_sequence\":null}";
    format!("event: message_delta\ndata: {delta},\"usage\":{{\"output_tokens\":{sent}}}}}\n\n").into()
}

fn event(name: &str, data: &[u8]) -> Frame {
    let mut before = format!("event: {name}\ndata: {{\"type\":\"{name}\"").into_bytes();
    before.extend_from_slice(data);
    before.extend_from_slice(b"}\n\n");
    Frame { before, ..Frame::default() }
}

fn pieces(plan: &Plan, form: StreamForm) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let mut start = b",\"message\":".to_vec();
    push_head(&mut start, plan);
    start.extend_from_slice(b"],\"stop_reason\":null,\"stop_sequence\":null");
    if form.has_usage {
        start.extend_from_slice(b",\"usage\":");
        let begun = super::usage::Counts { completion: 1, reasoning: 0, ..plan.counts };
        begun.push(&mut start, Shape::Anthropic, &plan.usage);
    }
    start.push(b'}');
    pieces.push_back(Piece::fixed(event("message_start", &start)));
    let answer = &plan.answer;
    let mut index = 0_u64;
    if answer.reasoning.tokens() > 0 {
        block(&mut pieces, index, b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}", None);
        words(&mut pieces, index, ("thinking_delta", "thinking"), &answer.reasoning);
        index = index.saturating_add(1);
    }
    pieces.push_back(Piece::fixed(event("ping", b"")));
    match &answer.call {
        Some(call) => {
            let mut opened = Vec::new();
            push_call(&mut opened, &call.name);
            opened.extend_from_slice(b"{}}");
            block(&mut pieces, index, &opened, Some(tokens::count(&call.name)));
            words(&mut pieces, index, ("input_json_delta", "partial_json"), &call.arguments);
        }
        None => {
            block(&mut pieces, index, b"{\"type\":\"text\",\"text\":\"\"}", None);
            words(&mut pieces, index, ("text_delta", "text"), &answer.content);
        }
    }
    pieces.extend(ending(plan, form));
    pieces
}

fn block(pieces: &mut VecDeque<Piece>, index: u64, block: &[u8], tokens: Option<u64>) {
    let mut data = Vec::new();
    push_number(&mut data, b",\"index\":", index);
    data.extend_from_slice(b",\"content_block\":");
    data.extend_from_slice(block);
    pieces.push_back(Piece::Event { frame: event("content_block_start", &data), tokens });
}

/// The tokens of a block, and its end.
fn words(pieces: &mut VecDeque<Piece>, index: u64, (kind, member): (&str, &str), words: &Words) {
    let head = format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\
         \"{kind}\",\"{member}\":"
    );
    let frame = Frame { before: head.into_bytes(), between: Vec::new(), behind: b"}}\n\n".to_vec() };
    pieces.push_back(Piece::words(frame, words.clone()));
    let mut data = Vec::new();
    push_number(&mut data, b",\"index\":", index);
    // The last block ends where a broken stream has broken already.
    pieces.push_back(Piece::End { frame: event("content_block_stop", &data) });
}

fn ending(plan: &Plan, form: StreamForm) -> Vec<Piece> {
    let mut delta = b",\"delta\":{\"stop_reason\":".to_vec();
    push_text(&mut delta, stop_reason(plan.answer.finish));
    delta.extend_from_slice(b",\"stop_sequence\":null}");
    if form.has_usage {
        delta.extend_from_slice(b",\"usage\":");
        match &plan.usage {
            UsageForm::Absurd(_) => plan.counts.push(&mut delta, Shape::Anthropic, &plan.usage),
            _ => {
                push_number(&mut delta, b"{\"output_tokens\":", plan.counts.completion);
                delta.push(b'}');
            }
        }
    }
    let times = if plan.usage == UsageForm::Twice { 2 } else { 1 };
    let mut pieces: Vec<Piece> = (0..times).map(|_| Piece::fixed(event("message_delta", &delta))).collect();
    pieces.push(Piece::fixed(event("message_stop", b"")));
    pieces
}
