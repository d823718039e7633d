//! A chat answer as a stream of events, made one at a time.
//!
//! Role chunk, one chunk per token with the choices interleaved by index, finish chunk, usage chunk if asked, `[DONE]`.
//! The first event waits `first_ms`, every token but the first `gap_ms`.

use super::fault::Fault;
use super::plan::{BreakKind, Plan, StreamForm};
use super::script::{Ending, Script, Source, Step, Steps};
use super::shape::Shape;
use super::tokens::{self, Cursor, Words};
use super::usage::{UsageForm, push_number, push_text};
use super::whole::push_head;
use bytes::Bytes;
use http::{HeaderValue, header};

const DONE: &[u8] = b"data: [DONE]\n\n";

/// Renders the plan.
pub(super) fn script(plan: Plan) -> Script {
    let ending = match plan.breaks {
        Some(breaks) if breaks.how == BreakKind::Stall => Ending::Stall,
        _ => Ending::Clean,
    };
    let content_type = plan.shape.stream_type();
    let mut script = Script::at_once(200, content_type, Steps(Source::Chunks(Box::new(Chunks::new(plan)))));
    script.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    script.ending = ending;
    script
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Role,
    Reasoning,
    CallName,
    /// Content, or the arguments of the call.
    Body,
    Finish,
    Usage,
    UsageAgain,
    Done,
    Ended,
}

/// The stream; every step is one event.
#[derive(Debug)]
pub(super) struct Chunks {
    plan: Plan,
    form: StreamForm,
    /// What stands before and behind the list of choices in every chunk.
    before: Vec<u8>,
    behind: Vec<u8>,
    phase: Phase,
    /// The choice whose turn it is.
    choice: u64,
    cursor: Cursor,
    /// Tokens sent of each choice.
    sent: u64,
    is_first_step: bool,
    is_first_token: bool,
    scratch: String,
}

impl Chunks {
    fn new(plan: Plan) -> Self {
        let mut head = Vec::with_capacity(192);
        push_head(&mut head, &plan, if plan.is_text { b"text_completion" } else { b"chat.completion.chunk" });
        let (mut before, mut behind) = (b"data: {".to_vec(), b"]".to_vec());
        if plan.shape == Shape::LlamaCpp {
            behind.push(b',');
            behind.extend_from_slice(&head);
        } else {
            before.extend_from_slice(&head);
            before.push(b',');
        }
        before.extend_from_slice(b"\"choices\":[");
        let form = plan.stream.unwrap_or(StreamForm { has_usage: false, has_running_usage: false });
        Self {
            form,
            before,
            behind,
            phase: if plan.is_text { Phase::Body } else { Phase::Role },
            plan,
            choice: 0,
            cursor: Cursor::default(),
            sent: 0,
            is_first_step: true,
            is_first_token: true,
            scratch: String::new(),
        }
    }

    /// The next event and the wait its kind has.
    fn event(&mut self) -> Option<(u64, Bytes)> {
        loop {
            if self.breaks_here() {
                return self.broken();
            }
            match self.phase {
                Phase::Role => {
                    let delta: &[u8] = match self.plan.shape {
                        Shape::LlamaCpp => b"\"role\":\"assistant\",\"content\":null",
                        _ => b"\"role\":\"assistant\",\"content\":\"\"",
                    };
                    let event = self.chunk(delta, None);
                    self.turn(Phase::Reasoning);
                    return Some((0, event));
                }
                Phase::Reasoning | Phase::Body => {
                    if let Some(token) = self.token() {
                        return Some(token);
                    }
                    self.cursor = Cursor::default();
                    self.phase = if self.phase == Phase::Reasoning { Phase::CallName } else { Phase::Finish };
                }
                Phase::CallName => match self.call_name() {
                    Some(token) => return Some(token),
                    None => self.phase = Phase::Body,
                },
                Phase::Finish => {
                    let event = self.chunk(b"", Some(self.plan.answer.finish));
                    self.turn(Phase::Usage);
                    return Some((0, event));
                }
                Phase::Usage | Phase::UsageAgain => {
                    let is_twice = self.phase == Phase::Usage && self.plan.usage == UsageForm::Twice;
                    self.phase = if is_twice { Phase::UsageAgain } else { Phase::Done };
                    if self.form.has_usage {
                        return Some((0, self.usage_chunk()));
                    }
                }
                Phase::Done => {
                    self.phase = Phase::Ended;
                    return Some((0, Bytes::from_static(DONE)));
                }
                Phase::Ended => return None,
            }
        }
    }

    /// The turn goes to the next choice, and behind the last one to `next`.
    fn turn(&mut self, next: Phase) {
        self.choice = self.choice.saturating_add(1);
        if self.choice >= self.plan.choices {
            self.choice = 0;
            self.phase = next;
        }
    }

    fn breaks_here(&self) -> bool {
        let is_between_tokens =
            self.choice == 0 && matches!(self.phase, Phase::Reasoning | Phase::CallName | Phase::Body | Phase::Finish);
        let is_behind = |after: u64| self.sent >= after || self.phase == Phase::Finish;
        is_between_tokens && self.plan.breaks.is_some_and(|breaks| is_behind(breaks.after))
    }

    fn broken(&mut self) -> Option<(u64, Bytes)> {
        self.phase = Phase::Ended;
        if self.plan.breaks.is_none_or(|breaks| breaks.how != BreakKind::Error) {
            self.plan.breaks = None;
            return None;
        }
        self.plan.breaks = None;
        if matches!(self.plan.shape, Shape::Vllm | Shape::Sglang) {
            self.phase = Phase::Done;
        }
        Some((0, Fault::midstream().event(self.plan.shape)))
    }

    /// The token under the cursor for the choice whose turn it is; `None` behind the last.
    fn token(&mut self) -> Option<(u64, Bytes)> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut delta = Vec::with_capacity(64);
        let (words, before, behind) = self.words();
        let Some(piece) = words.piece(&self.cursor, &mut scratch) else {
            self.scratch = scratch;
            return None;
        };
        delta.extend_from_slice(before);
        push_text(&mut delta, piece);
        delta.extend_from_slice(behind);
        self.scratch = scratch;
        let is_last_choice = self.choice.saturating_add(1) >= self.plan.choices;
        let mut cursor = self.cursor;
        if is_last_choice {
            self.words().0.advance(&mut cursor);
        }
        let event = self.sent_token(&delta, 1);
        self.cursor = cursor;
        Some(event)
    }

    /// The text of this phase, and what stands around a piece of it in a delta.
    fn words(&self) -> (&Words, &'static [u8], &'static [u8]) {
        let answer = &self.plan.answer;
        match (self.phase, &answer.call) {
            (Phase::Reasoning, _) if self.plan.shape.reasoning_member() == "reasoning" => {
                (&answer.reasoning, b"\"reasoning\":", b"")
            }
            (Phase::Reasoning, _) => (&answer.reasoning, b"\"reasoning_content\":", b""),
            (_, Some(call)) => (&call.arguments, b"\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":", b"}}]"),
            (_, None) if self.plan.is_text => (&answer.content, b"\"text\":", b""),
            (_, None) => (&answer.content, b"\"content\":", b""),
        }
    }

    /// The call's name in one piece for the choice whose turn it is; `None` without a call.
    fn call_name(&mut self) -> Option<(u64, Bytes)> {
        let call = self.plan.answer.call.as_ref()?;
        let cost = tokens::count(&call.name);
        let mut delta =
            b"\"tool_calls\":[{\"index\":0,\"id\":\"call_sim_1\",\"type\":\"function\",\"function\":{\"name\":"
                .to_vec();
        push_text(&mut delta, &call.name);
        delta.extend_from_slice(b",\"arguments\":\"\"}}]");
        let event = self.sent_token(&delta, cost);
        if self.choice == 0 {
            self.phase = Phase::Body;
        }
        Some(event)
    }

    /// Sends tokens of one choice, counts them when every choice has them, and passes the turn on.
    fn sent_token(&mut self, delta: &[u8], cost: u64) -> (u64, Bytes) {
        let wait_ms = if self.choice > 0 || self.is_first_token { 0 } else { self.plan.gap_ms };
        let is_last_choice = self.choice.saturating_add(1) >= self.plan.choices;
        self.is_first_token = false;
        let event = self.chunk(delta, None);
        if is_last_choice {
            self.sent = self.sent.saturating_add(cost);
        }
        self.turn(self.phase);
        (wait_ms, event)
    }

    fn chunk(&self, delta: &[u8], finish: Option<&'static str>) -> Bytes {
        let shape = self.plan.shape;
        let mut out = self.opened();
        push_number(&mut out, b"{\"index\":", self.choice);
        self.push_piece(&mut out, delta);
        if matches!(shape, Shape::OpenAi | Shape::Vllm | Shape::Sglang) {
            out.extend_from_slice(b",\"logprobs\":null");
        }
        out.extend_from_slice(b",\"finish_reason\":");
        match finish {
            Some(finish) => push_text(&mut out, finish),
            None => out.extend_from_slice(b"null"),
        }
        if shape == Shape::Sglang {
            out.extend_from_slice(b",\"matched_stop\":null");
        }
        out.push(b'}');
        out.extend_from_slice(&self.behind);
        self.push_running_usage(&mut out);
        if self.plan.is_obfuscated && !delta.is_empty() {
            out.extend_from_slice(b",\"obfuscation\":\"sim\"");
        }
        if shape == Shape::LlamaCpp && finish.is_some() && !self.form.has_usage {
            self.plan.counts.push_timings(&mut out);
        }
        out.extend_from_slice(b"}\n\n");
        out.into()
    }

    /// What a choice says in this event.
    fn push_piece(&self, out: &mut Vec<u8>, delta: &[u8]) {
        if self.plan.is_text {
            out.push(b',');
            return out.extend_from_slice(if delta.is_empty() { b"\"text\":\"\"" } else { delta });
        }
        out.extend_from_slice(b",\"delta\":{");
        if self.plan.shape == Shape::Ollama && !delta.starts_with(b"\"role\"") {
            out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"");
            if !delta.is_empty() {
                out.push(b',');
            }
        }
        out.extend_from_slice(delta);
        out.push(b'}');
    }

    fn opened(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.before.len().saturating_add(self.behind.len()).saturating_add(256));
        out.extend_from_slice(&self.before);
        out
    }

    /// OpenAI announces usage with a null once it was asked for; SGLang always does; running usage is a count so far.
    fn push_running_usage(&self, out: &mut Vec<u8>) {
        if self.form.has_running_usage {
            let mut counts = self.plan.counts;
            counts.completion = self.completion_so_far();
            counts.reasoning = counts.reasoning.min(counts.completion);
            out.extend_from_slice(b",\"usage\":");
            counts.push(out, self.plan.shape, &self.plan.usage);
        } else if self.plan.shape == Shape::Ollama && self.plan.is_text {
            out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}");
        } else if self.plan.shape == Shape::Sglang || (self.plan.shape == Shape::OpenAi && self.form.has_usage) {
            out.extend_from_slice(b",\"usage\":null");
        }
    }

    /// Completion tokens over all choices, the event that is being written included.
    fn completion_so_far(&self) -> u64 {
        let is_token = matches!(self.phase, Phase::Reasoning | Phase::CallName | Phase::Body);
        let cost = match (&self.plan.answer.call, self.phase) {
            (Some(call), Phase::CallName) => tokens::count(&call.name),
            _ => 1,
        };
        let this_round = if is_token { self.choice.saturating_add(1).saturating_mul(cost) } else { 0 };
        self.sent.saturating_mul(self.plan.choices).saturating_add(this_round)
    }

    fn usage_chunk(&self) -> Bytes {
        let mut out = self.opened();
        out.extend_from_slice(&self.behind);
        out.extend_from_slice(b",\"usage\":");
        self.plan.counts.push(&mut out, self.plan.shape, &self.plan.usage);
        if self.plan.shape == Shape::LlamaCpp {
            self.plan.counts.push_timings(&mut out);
        }
        out.extend_from_slice(b"}\n\n");
        out.into()
    }
}

impl Iterator for Chunks {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let (wait_ms, bytes) = self.event()?;
        let first_ms = if self.is_first_step { self.plan.first_ms } else { 0 };
        self.is_first_step = false;
        Some(Step { wait_ms: wait_ms.saturating_add(first_ms), bytes })
    }
}
