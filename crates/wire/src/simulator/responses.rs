//! A response, whole and as typed events: what is said, counted and broken is chat's, in other words.

use super::ask::Ask;
use super::events::{Course, Events, Frame, Piece};
use super::fault::Fault;
use super::knobs::Knobs;
use super::plan::{BreakKind, Plan};
use super::script::{Ending, Script, Source, Steps};
use super::tokens;
use super::usage::{UsageForm, push_number, push_text};
use super::{Mode, SimCall, SimEndpoint, damage};
use http::{HeaderValue, header};
use std::collections::VecDeque;
use std::io::Write as _;

/// Renders the plan.
pub(super) fn script(plan: Plan) -> Script {
    if plan.stream.is_none() {
        return whole(&plan);
    }
    let ending = match plan.breaks {
        Some(breaks) if breaks.how == BreakKind::Stall => Ending::Stall,
        _ => Ending::Clean,
    };
    let course = Course {
        first_ms: plan.first_ms,
        gap_ms: plan.gap_ms,
        breaks: plan.breaks,
        failure: event("response.failed", &around(&plan, &State::Failed)),
        running: None,
        is_numbered: true,
    };
    let steps = Steps(Source::Events(Box::new(Events::new(pieces(&plan), course))));
    let mut script = Script::at_once(200, plan.shape.stream_type(), steps);
    script.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    script.ending = ending;
    script
}

fn whole(plan: &Plan) -> Script {
    let mut script = match plan.breaks {
        Some(breaks) if breaks.how == BreakKind::Error => Fault::midstream().script(plan.shape),
        _ => Script::json(200, plan.shape.json_type(), response(plan, &State::Ended)),
    };
    let gaps = plan.answer.tokens().saturating_sub(1);
    script.head_wait_ms = plan.first_ms.saturating_add(plan.gap_ms.saturating_mul(gaps));
    script
}

/// A response as a server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResponse {
    /// What it is called.
    pub id: String,
    /// The response object, as JSON.
    pub response: Vec<u8>,
    /// What it was made of: a text or a list of items, as JSON.
    pub input: String,
}

/// What is kept of a call.
pub(super) fn kept(call: &SimCall<'_>) -> Result<Option<KeptResponse>, Fault> {
    let mut ask = Ask::read(call.body)?;
    if call.endpoint != SimEndpoint::Responses || ask.store == Some(false) {
        return Ok(None);
    }
    let input = ask.input.map(|input| input.get().to_owned()).unwrap_or_default();
    let plan = plan_of(call, &mut ask)?.0;
    Ok(Some(KeptResponse { response: response(&plan, &State::Ended), id: plan.id, input }))
}

/// Answers a call about a conversation: how many tokens it has, or what it is compacted to.
///
/// # Errors
/// What refuses a response refuses this.
pub(super) fn about(call: &SimCall<'_>) -> Result<Script, Fault> {
    let mut ask = Ask::read(call.body)?;
    let (plan, mode) = plan_of(call, &mut ask)?;
    if let Some(mode) = &mode
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let mut out = Vec::new();
    if call.endpoint == SimEndpoint::CountResponseTokens {
        push_number(&mut out, b"{\"object\":\"response.input_tokens\",\"input_tokens\":", plan.counts.prompt);
    } else {
        out.extend_from_slice(b"{\"id\":");
        push_text(&mut out, &plan.id);
        let created = u64::try_from(plan.created_seconds).unwrap_or(0);
        push_number(&mut out, b",\"object\":\"response.compaction\",\"created_at\":", created);
        out.extend_from_slice(b",\"output\":[{\"id\":");
        push_text(&mut out, &plan.id.replacen("resp_", "cmp_", 1));
        out.extend_from_slice(b",\"type\":\"compaction\",\"encrypted_content\":");
        push_text(&mut out, &plan.answer.content.whole());
        out.extend_from_slice(b"}],\"usage\":");
        match plan.usage {
            UsageForm::Never => out.extend_from_slice(b"null"),
            _ => plan.counts.push_response(&mut out, &plan.usage),
        }
    }
    out.push(b'}');
    let script = Script::json(200, plan.shape.json_type(), out);
    Ok(match &mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}

/// The plan of a response, whole, and how it is bent.
fn plan_of(call: &SimCall<'_>, ask: &mut Ask<'_>) -> Result<(Plan, Option<Mode>), Fault> {
    ask.take_input()?;
    ask.stream = None;
    let knobs = Knobs::read(ask.sim, call.standalone.is_some())?;
    let mode = call.mode(&knobs).cloned();
    Ok((Plan::make(call, (ask, 1), &knobs, mode.as_ref())?, mode))
}

/// How far the response is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Failed,
    Ended,
}

impl State {
    fn status(self, plan: &Plan) -> &'static str {
        match self {
            Self::Begun => "in_progress",
            Self::Failed => "failed",
            Self::Ended if plan.answer.finish == "length" => "incomplete",
            Self::Ended => "completed",
        }
    }
}

fn response(plan: &Plan, state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"id\":");
    push_text(&mut out, &plan.id);
    push_number(
        &mut out,
        b",\"object\":\"response\",\"created_at\":",
        u64::try_from(plan.created_seconds).unwrap_or(0),
    );
    let status = state.status(plan);
    let failed = r#"{"code":"server_error","message":"The simulator failed in the middle, as it was asked to."}"#;
    let error = if *state == State::Failed { failed } else { "null" };
    let why = if status == "incomplete" { r#"{"reason":"max_output_tokens"}"# } else { "null" };
    // Writing into memory cannot fail.
    let _ = write!(
        out,
        ",\"status\":\"{status}\",\"background\":false,\"error\":{error},\"incomplete_details\":{why},\
         \"instructions\":null,\"max_output_tokens\":null,\"model\":"
    );
    push_text(&mut out, &plan.model);
    out.extend_from_slice(b",\"output\":[");
    if *state == State::Ended {
        let items = items(plan).into_iter().map(|item| item.whole(plan, status)).collect::<Vec<_>>();
        out.extend_from_slice(&items.join(&b","[..]));
    }
    out.extend_from_slice(b"],\"parallel_tool_calls\":true,\"previous_response_id\":");
    match &plan.previous {
        Some(previous) => push_text(&mut out, previous),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(
        b",\"reasoning\":{\"effort\":null,\"summary\":null},\
          \"store\":true,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\
          \"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\",\"usage\":",
    );
    if *state == State::Ended && plan.usage != UsageForm::Never {
        plan.counts.push_response(&mut out, &plan.usage);
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b",\"user\":null,\"metadata\":{}}");
    out
}

/// A part of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Reasoning,
    Message,
    Call,
}

fn items(plan: &Plan) -> Vec<Item> {
    let reasoning = (plan.answer.reasoning.tokens() > 0).then_some(Item::Reasoning);
    let said = if plan.answer.call.is_some() { Item::Call } else { Item::Message };
    reasoning.into_iter().chain([said]).collect()
}

impl Item {
    fn id(self, plan: &Plan) -> String {
        let rest = plan.id.strip_prefix("resp_").unwrap_or(&plan.id);
        match self {
            Self::Reasoning => format!("rs_{rest}"),
            Self::Message => format!("msg_{rest}"),
            Self::Call => format!("fc_{rest}"),
        }
    }

    /// The item as it ends; `status` is the response's.
    fn whole(self, plan: &Plan, status: &str) -> Vec<u8> {
        self.render(plan, status, true)
    }

    /// The item as it begins.
    fn begun(self, plan: &Plan) -> Vec<u8> {
        self.render(plan, "in_progress", false)
    }

    fn render(self, plan: &Plan, status: &str, is_whole: bool) -> Vec<u8> {
        let mut out = b"{\"id\":".to_vec();
        push_text(&mut out, &self.id(plan));
        let content = |kind: &str, text: &str, more: &str| {
            let mut part = format!("{{\"type\":\"{kind}\",\"text\":").into_bytes();
            push_text(&mut part, text);
            part.extend_from_slice(more.as_bytes());
            part.push(b'}');
            if is_whole { part } else { Vec::new() }
        };
        match (self, &plan.answer.call) {
            (Self::Call, Some(call)) => {
                out.extend_from_slice(b",\"type\":\"function_call\",\"call_id\":\"call_sim_1\",\"name\":");
                push_text(&mut out, &call.name);
                out.extend_from_slice(b",\"arguments\":");
                push_text(&mut out, if is_whole { call.arguments.whole() } else { "".into() }.as_ref());
            }
            (Self::Reasoning, _) => {
                out.extend_from_slice(b",\"type\":\"reasoning\",\"summary\":[],\"content\":[");
                out.extend_from_slice(&content("reasoning_text", &plan.answer.reasoning.whole(), ""));
                out.push(b']');
            }
            _ => {
                out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
                let more = ",\"annotations\":[],\"logprobs\":[]";
                out.extend_from_slice(&content("output_text", &plan.answer.content.whole(), more));
                out.push(b']');
            }
        }
        let _ = write!(out, ",\"status\":\"{status}\"}}");
        out
    }
}

/// An event with these members behind its number.
fn event(name: &str, members: &[u8]) -> Frame {
    let before = format!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":").into_bytes();
    let behind = [members, b"}\n\n"].concat();
    Frame { before, between: Vec::new(), behind }
}

fn around(plan: &Plan, state: &State) -> Vec<u8> {
    [b",\"response\":".as_ref(), &response(plan, state)].concat()
}

fn pieces(plan: &Plan) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    for name in ["response.created", "response.in_progress"] {
        pieces.push_back(Piece::fixed(event(name, &around(plan, &State::Begun))));
    }
    for (index, item) in items(plan).into_iter().enumerate() {
        push_item(&mut pieces, plan, (index, item));
    }
    let status = State::Ended.status(plan);
    pieces.push_back(Piece::fixed(event(&format!("response.{status}"), &around(plan, &State::Ended))));
    pieces
}

fn push_item(pieces: &mut VecDeque<Piece>, plan: &Plan, (index, item): (usize, Item)) {
    let id = item.id(plan);
    let framed = |item: &[u8]| [format!(",\"output_index\":{index},\"item\":").as_bytes(), item].concat();
    let at = format!(",\"item_id\":\"{id}\",\"output_index\":{index}");
    let text_at = format!("{at},\"content_index\":0");
    let cost = plan.answer.call.as_ref().filter(|_| item == Item::Call).map(|call| tokens::count(&call.name));
    let added = event("response.output_item.added", &framed(&item.begun(plan)));
    pieces.push_back(Piece::Event { frame: added, tokens: cost });
    let words = |name: &str, at: &str, more: &str| {
        let before = format!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":").into_bytes();
        let between = format!("{at},\"delta\":").into_bytes();
        Frame { before, between, behind: format!("{more}}}\n\n").into_bytes() }
    };
    let done = |name: &str, at: &str, member: &str, text: &str, more: &str| {
        let mut members = format!("{at},\"{member}\":").into_bytes();
        push_text(&mut members, text);
        members.extend_from_slice(more.as_bytes());
        Piece::End { frame: event(name, &members) }
    };
    match (item, &plan.answer.call) {
        (Item::Call, Some(call)) => {
            let frame = words("response.function_call_arguments.delta", &at, "");
            pieces.push_back(Piece::words(frame, call.arguments.clone()));
            let text = call.arguments.whole();
            pieces.push_back(done("response.function_call_arguments.done", &at, "arguments", &text, ""));
        }
        (Item::Reasoning, _) => {
            let reasoning = &plan.answer.reasoning;
            let frame = words("response.reasoning_text.delta", &text_at, "");
            pieces.push_back(Piece::words(frame, reasoning.clone()));
            pieces.push_back(done("response.reasoning_text.done", &text_at, "text", &reasoning.whole(), ""));
        }
        _ => {
            let part = |text: &str| {
                let mut members = format!("{text_at},\"part\":{{\"type\":\"output_text\",\"text\":").into_bytes();
                push_text(&mut members, text);
                members.extend_from_slice(b",\"annotations\":[],\"logprobs\":[]}");
                members
            };
            let text = plan.answer.content.whole();
            pieces.push_back(Piece::fixed(event("response.content_part.added", &part(""))));
            let frame = words("response.output_text.delta", &text_at, ",\"logprobs\":[]");
            pieces.push_back(Piece::words(frame, plan.answer.content.clone()));
            pieces.push_back(done("response.output_text.done", &text_at, "text", &text, ",\"logprobs\":[]"));
            pieces.push_back(Piece::fixed(event("response.content_part.done", &part(&text))));
        }
    }
    let whole = item.whole(plan, State::Ended.status(plan));
    pieces.push_back(Piece::fixed(event("response.output_item.done", &framed(&whole))));
}
