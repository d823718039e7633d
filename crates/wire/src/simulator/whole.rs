//! A chat answer as one JSON object.

use super::FINGERPRINT;
use super::fault::Fault;
use super::plan::{BreakKind, Plan};
use super::script::Script;
use super::shape::Shape;
use super::usage::{UsageForm, push_number, push_text};

/// Renders the plan; the same text after the same time as its stream would take.
pub(super) fn script(plan: &Plan) -> Script {
    let mut script = match plan.breaks {
        Some(breaks) if breaks.how == BreakKind::Error => Fault::midstream().script(plan.shape),
        _ => Script::json(200, plan.shape.json_type(), body(plan)),
    };
    let gaps = plan.answer.tokens().saturating_sub(1);
    script.head_wait_ms = plan.first_ms.saturating_add(plan.gap_ms.saturating_mul(gaps));
    script
}

fn body(plan: &Plan) -> Vec<u8> {
    let is_choices_first = plan.shape == Shape::LlamaCpp;
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    if is_choices_first {
        push_choices(&mut out, plan);
        out.push(b',');
    }
    push_head(&mut out, plan, if plan.is_text { b"text_completion" } else { b"chat.completion" });
    if !is_choices_first {
        out.push(b',');
        push_choices(&mut out, plan);
    }
    if plan.usage != UsageForm::Never {
        out.extend_from_slice(b",\"usage\":");
        plan.counts.push(&mut out, plan.shape, &plan.usage);
    }
    if plan.shape == Shape::LlamaCpp {
        plan.counts.push_timings(&mut out);
    }
    out.push(b'}');
    out
}

/// Id, object, time, model and fingerprint, which whole answers and chunks have in common.
pub(super) fn push_head(out: &mut Vec<u8>, plan: &Plan, object: &[u8]) {
    out.extend_from_slice(b"\"id\":");
    push_text(out, &plan.id);
    out.extend_from_slice(b",\"object\":\"");
    out.extend_from_slice(object);
    push_number(out, b"\",\"created\":", u64::try_from(plan.created_seconds).unwrap_or(0));
    out.extend_from_slice(b",\"model\":");
    push_text(out, &plan.model);
    out.extend_from_slice(b",\"system_fingerprint\":\"");
    out.extend_from_slice(FINGERPRINT.as_bytes());
    out.push(b'"');
}

fn push_choices(out: &mut Vec<u8>, plan: &Plan) {
    out.extend_from_slice(b"\"choices\":[");
    for index in 0..plan.choices {
        if index > 0 {
            out.push(b',');
        }
        push_number(out, b"{\"index\":", index);
        if plan.is_text {
            out.extend_from_slice(b",\"text\":");
            push_text(out, &plan.answer.content.whole());
        } else {
            out.extend_from_slice(b",\"message\":{\"role\":\"assistant\"");
            push_message(out, plan);
            out.push(b'}');
        }
        if plan.shape != Shape::Ollama && plan.shape != Shape::LlamaCpp {
            out.extend_from_slice(b",\"logprobs\":null");
        }
        out.extend_from_slice(b",\"finish_reason\":");
        push_text(out, plan.answer.finish);
        if plan.shape == Shape::Sglang {
            out.extend_from_slice(b",\"matched_stop\":null");
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn push_message(out: &mut Vec<u8>, plan: &Plan) {
    let answer = &plan.answer;
    out.extend_from_slice(b",\"content\":");
    if answer.call.is_some() {
        out.extend_from_slice(b"null");
    } else {
        push_text(out, &answer.content.whole());
    }
    if answer.reasoning.tokens() > 0 {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(plan.shape.reasoning_member().as_bytes());
        out.extend_from_slice(b"\":");
        push_text(out, &answer.reasoning.whole());
    }
    if let Some(call) = &answer.call {
        out.extend_from_slice(b",\"tool_calls\":[{\"id\":\"call_sim_1\",\"type\":\"function\",\"function\":{\"name\":");
        push_text(out, &call.name);
        out.extend_from_slice(b",\"arguments\":");
        push_text(out, &call.arguments.whole());
        out.extend_from_slice(b"}}]");
    }
    if plan.shape == Shape::OpenAi {
        out.extend_from_slice(b",\"refusal\":null");
    }
}
