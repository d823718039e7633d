//! One chat request decided: what is said, what it counts, when it is sent and where it breaks.
//!
//! Everything that can refuse is here; rendering it cannot fail.

use super::answer::Answer;
use super::ask::{Ask, StreamOptions};
use super::damage;
use super::fault::Fault;
use super::knobs::Knobs;
use super::mode::{EchoPlace, Mode};
use super::models::Kind;
use super::shape::Shape;
use super::tokens::Words;
use super::usage::{Counts, UsageForm};
use super::{SimCall, SimEndpoint, Standalone};
use claviger_domain::limits::CHOICES;

/// A chat answer, ready to be rendered.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    /// Random-looking filler in deltas, which OpenAI sends; not in process, where it would only be noise.
    pub(super) is_obfuscated: bool,
    /// Whether it is a text that is continued, and not a message.
    pub(super) is_text: bool,
    /// `chatcmpl-…`, `cmpl-…`.
    pub(super) id: String,
    /// The answer that it goes on from.
    pub(super) previous: Option<String>,
    pub(super) created_seconds: i64,
    /// As the caller wrote it.
    pub(super) model: String,
    pub(super) choices: u64,
    pub(super) answer: Answer,
    pub(super) counts: Counts,
    pub(super) usage: UsageForm,
    /// `None`: one JSON answer.
    pub(super) stream: Option<StreamForm>,
    pub(super) first_ms: u64,
    pub(super) gap_ms: u64,
    pub(super) breaks: Option<Break>,
}

/// Where usage is reported on a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamForm {
    /// A final chunk.
    pub(super) has_usage: bool,
    /// Every chunk.
    pub(super) has_running_usage: bool,
}

/// A stream that ends before it is finished.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    /// Tokens before it.
    pub(super) after: u64,
    pub(super) how: BreakKind,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakKind {
    /// With an error event.
    Error,
    /// Cleanly, without a word.
    Truncate,
    /// Not at all: nothing more comes.
    Stall,
}

impl Plan {
    /// Decides the answer.
    ///
    /// # Errors
    /// The refusal of a request that is wrong, and the errors of the models that only fail.
    pub(super) fn make(
        call: &SimCall<'_>,
        (ask, prompts): (&Ask<'_>, u64),
        knobs: &Knobs,
        mode: Option<&Mode>,
    ) -> Result<Self, Fault> {
        let model = ask.model.as_ref().map_or("", |model| model.0.as_ref());
        if model.is_empty() && call.shape != Shape::LlamaCpp {
            return Err(Fault::missing("model"));
        }
        let kind = Kind::of(model)?;
        if ask.messages.is_none() {
            return Err(Fault::missing("messages"));
        }
        let choices = choices(ask)?.saturating_mul(prompts);
        let is_text = call.endpoint == SimEndpoint::Completions;
        let stream = stream_form(call.shape, ask, mode)?;
        let (first_ms, gap_ms) = waits_ms(kind, knobs, mode);
        let breaks = breaks(kind, knobs, mode, stream.is_some());
        refuse_by_model(kind, stream.is_some(), first_ms)?;

        let mut answer = Answer::find(kind, ask, knobs)?;
        if let (Some(Mode::EchoHeaders { place: EchoPlace::Content }), Some(Standalone { headers, .. })) =
            (mode, call.standalone)
        {
            answer = Answer::saying(Words::text(damage::headers_text(headers)));
        }
        let counts = counts(call, ask, knobs, &answer, choices)?;
        Ok(Self {
            shape: call.shape,
            is_obfuscated: call.shape == Shape::OpenAi && call.standalone.is_some(),
            is_text,
            id: format!(
                "{}{}",
                match call.endpoint {
                    SimEndpoint::Completions => "cmpl-",
                    SimEndpoint::Messages | SimEndpoint::CountTokens => "msg_",
                    SimEndpoint::Responses | SimEndpoint::CountResponseTokens | SimEndpoint::CompactResponse => "resp_",
                    _ => "chatcmpl-",
                },
                call.request_id.strip_prefix("req_").unwrap_or(call.request_id)
            ),
            previous: ask.previous_response_id.clone(),
            created_seconds: call.now_seconds,
            model: model.to_owned(),
            choices,
            answer,
            counts,
            usage: usage_form(mode),
            stream,
            first_ms,
            gap_ms,
            breaks,
        })
    }
}

fn choices(ask: &Ask<'_>) -> Result<u64, Fault> {
    match ask.n {
        None => Ok(1),
        Some(n) if (1..=CHOICES).contains(&n) => Ok(n),
        Some(_) => Err(Fault::invalid_value("n", &format!("it must be a whole number from 1 to {CHOICES}"))),
    }
}

fn stream_form(shape: Shape, ask: &Ask<'_>, mode: Option<&Mode>) -> Result<Option<StreamForm>, Fault> {
    if ask.stream != Some(true) {
        if shape == Shape::Vllm && ask.stream_options.is_some() {
            return Err(Fault::stream_options_without_stream());
        }
        return Ok(None);
    }
    let StreamOptions { include_usage, continuous_usage_stats } = ask.stream_options.unwrap_or_default();
    // Anthropic tells usage on every stream.
    let has_usage = include_usage == Some(true) || shape == Shape::Anthropic;
    // Running usage is part of the final one's option: alone it does nothing.
    let is_continuous = has_usage && continuous_usage_stats == Some(true) && shape.has_running_usage();
    Ok(Some(match mode {
        Some(Mode::NoUsage {}) => StreamForm { has_usage: false, has_running_usage: false },
        Some(Mode::UsageRunning {}) => StreamForm { has_usage, has_running_usage: true },
        _ => StreamForm { has_usage, has_running_usage: is_continuous },
    }))
}

fn waits_ms(kind: Kind, knobs: &Knobs, mode: Option<&Mode>) -> (u64, u64) {
    if let Some(Mode::Slow { first_ms, gap_ms }) = mode {
        return (*first_ms, *gap_ms);
    }
    let (first_ms, gap_ms) = kind.waits_ms();
    (knobs.first_ms.unwrap_or(first_ms), knobs.gap_ms.unwrap_or(gap_ms))
}

/// Modes break what is streamed here; of what is not, they tear the bytes (`damage.rs`), except for the error.
fn breaks(kind: Kind, knobs: &Knobs, mode: Option<&Mode>, is_streaming: bool) -> Option<Break> {
    let at = |after: u64, how: BreakKind| Some(Break { after, how });
    match (mode, kind) {
        (Some(Mode::ErrorChunk { after }), _) => at(*after, BreakKind::Error),
        (Some(Mode::Truncate { after }), _) if is_streaming => at(*after, BreakKind::Truncate),
        (Some(Mode::Stall { after }), _) if is_streaming => at(*after, BreakKind::Stall),
        (_, Kind::ErrorMidstream) => at(knobs.fail_after.unwrap_or(5), BreakKind::Error),
        (_, Kind::ErrorTruncate) => at(knobs.fail_after.unwrap_or(5), BreakKind::Truncate),
        _ => None,
    }
}

/// The models that only fail.
fn refuse_by_model(kind: Kind, is_streaming: bool, first_ms: u64) -> Result<(), Fault> {
    let mut fault = match kind {
        Kind::Error429 => Fault::rate_limited(),
        Kind::Error500 => Fault::internal(),
        Kind::ErrorTimeout => Fault::timeout(),
        Kind::ErrorMidstream if !is_streaming => Fault::midstream(),
        Kind::ErrorTruncate if !is_streaming => Fault::truncated(),
        _ => return Ok(()),
    };
    fault.wait_ms = first_ms;
    Err(fault)
}

fn counts(call: &SimCall<'_>, ask: &Ask<'_>, knobs: &Knobs, answer: &Answer, choices: u64) -> Result<Counts, Fault> {
    let prompt = ask.prompt_tokens();
    if let Some(context) = call.standalone.and_then(|standalone| standalone.context_tokens) {
        let limit = if call.shape == Shape::LlamaCpp { 0 } else { ask.output_limit().unwrap_or(0) };
        // Ollama shortens the prompt instead of refusing it; what it then reports is not imitated.
        if prompt.saturating_add(limit) > context && call.shape != Shape::Ollama {
            return Err(Fault::context_too_long(call.shape, prompt, limit, context));
        }
    }
    if knobs.cached.is_some_and(|cached| cached > prompt) {
        return Err(Fault::invalid_value("sim.cached", &format!("the prompt has only {prompt} tokens")));
    }
    Ok(Counts {
        prompt,
        cached: knobs.cached,
        completion: answer.tokens().saturating_mul(choices),
        reasoning: answer.reasoning.tokens().saturating_mul(choices),
    })
}

pub(super) fn usage_form(mode: Option<&Mode>) -> UsageForm {
    match mode {
        Some(Mode::NoUsage {}) => UsageForm::Never,
        Some(Mode::UsageRunning {}) => UsageForm::Running,
        Some(Mode::UsageTwice {}) => UsageForm::Twice,
        Some(Mode::UsageAbsurd { usage }) => UsageForm::Absurd(usage.clone()),
        _ => UsageForm::Usual,
    }
}
