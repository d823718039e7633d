//! The models of the simulator, which endpoints they serve, and the models endpoint of each shape.

use super::fault::Fault;
use super::knobs::Knobs;
use super::script::Script;
use super::shape::Shape;
use super::usage::{push_number, push_text};
use claviger_domain::endpoint::EndpointName;

/// The ids of the models, in the order of `wire.md` §8.
pub const MODELS: &[&str] = &[
    "sim-echo",
    "sim-stream",
    "sim-tools",
    "sim-json",
    "sim-reasoning",
    "sim-embed",
    "sim-image",
    "sim-speech",
    "sim-transcribe",
    "sim-video",
    "sim-rerank",
    "sim-error-429",
    "sim-error-500",
    "sim-error-timeout",
    "sim-error-midstream",
    "sim-error-truncate",
];

/// The endpoints that a model serves.
pub fn serves(model: &str) -> &'static [EndpointName] {
    match model {
        "sim-embed" => &[EndpointName::Embeddings],
        "sim-image" => &[EndpointName::Images],
        "sim-transcribe" => &[EndpointName::AudioTranscriptions, EndpointName::AudioTranslations],
        "sim-speech" => &[EndpointName::AudioSpeech],
        "sim-video" => &[EndpointName::Video],
        "sim-rerank" => &[EndpointName::Rerank],
        "sim-error-429" | "sim-error-500" | "sim-error-timeout" => &[
            EndpointName::ChatCompletions,
            EndpointName::Completions,
            EndpointName::Responses,
            EndpointName::Messages,
            EndpointName::Embeddings,
            EndpointName::Rerank,
            EndpointName::Images,
            EndpointName::AudioSpeech,
            EndpointName::AudioTranscriptions,
            EndpointName::AudioTranslations,
            EndpointName::Video,
        ],
        _ => {
            &[EndpointName::ChatCompletions, EndpointName::Completions, EndpointName::Responses, EndpointName::Messages]
        }
    }
}

/// Of endpoints with one model of their own, `sim-<own>`: every other name that begins with `sim-` fails.
///
/// # Errors
/// The error of the model that only fails; unknown.
pub(super) fn refuse_by_name(model: &str, own: &str, knobs: &Knobs) -> Result<(), Fault> {
    let (mut fault, wait_ms) = match model.strip_prefix("sim-") {
        None => return Ok(()),
        Some(name) if name == own => return Ok(()),
        Some("error-429") => (Fault::rate_limited(), 0),
        Some("error-500") => (Fault::internal(), 0),
        Some("error-timeout") => (Fault::timeout(), 10_000),
        Some(_) => return Err(Fault::model_not_found(model)),
    };
    fault.wait_ms = knobs.first_ms.unwrap_or(wait_ms);
    Err(fault)
}

/// How a chat model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Echo,
    Stream,
    Tools,
    Json,
    Reasoning,
    Error429,
    Error500,
    ErrorTimeout,
    ErrorMidstream,
    ErrorTruncate,
}

impl Kind {
    /// The behaviour of a name; names of other models behave as `sim-echo`, so that routes can be tested with any.
    ///
    /// # Errors
    /// A name that begins with `sim-` and is none of ours.
    pub(super) fn of(model: &str) -> Result<Self, Fault> {
        let Some(name) = model.strip_prefix("sim-") else { return Ok(Self::Echo) };
        Ok(match name {
            "echo" => Self::Echo,
            "stream" => Self::Stream,
            "tools" => Self::Tools,
            "json" => Self::Json,
            "reasoning" => Self::Reasoning,
            "error-429" => Self::Error429,
            "error-500" => Self::Error500,
            "error-timeout" => Self::ErrorTimeout,
            "error-midstream" => Self::ErrorMidstream,
            "error-truncate" => Self::ErrorTruncate,
            _ => return Err(Fault::model_not_found(model)),
        })
    }

    /// Waits before the first byte and between two tokens, in milliseconds.
    pub(super) const fn waits_ms(self) -> (u64, u64) {
        match self {
            Self::Stream | Self::ErrorMidstream | Self::ErrorTruncate => (200, 20),
            Self::ErrorTimeout => (10_000, 0),
            _ => (0, 0),
        }
    }
}

/// `GET models`.
pub(super) fn list(shape: Shape, created: i64) -> Script {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    for (position, model) in MODELS.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_item(&mut out, shape, model, created);
    }
    out.extend_from_slice(b"]}");
    Script::json(200, shape.json_type(), out)
}

/// `GET models/{id}`; names that are not ours exist, because they can be called.
///
/// # Errors
/// Unknown, or a shape that has no such endpoint.
pub(super) fn item(shape: Shape, id: &str, created: i64) -> Result<Script, Fault> {
    if matches!(shape, Shape::LlamaCpp | Shape::Tei) {
        return Err(Fault::unknown_path(shape, "GET", "/v1/models/"));
    }
    if !MODELS.contains(&id) {
        Kind::of(id)?;
    }
    let mut out = Vec::with_capacity(256);
    push_item(&mut out, shape, id, created);
    Ok(Script::json(200, shape.json_type(), out))
}

fn push_item(out: &mut Vec<u8>, shape: Shape, id: &str, created: i64) {
    out.extend_from_slice(b"{\"id\":");
    push_text(out, id);
    push_number(out, b",\"object\":\"model\",\"created\":", u64::try_from(created).unwrap_or(0));
    out.extend_from_slice(b",\"owned_by\":");
    let owner = match shape {
        Shape::OpenAi => "simulator",
        Shape::Ollama => "library",
        other => other.name(),
    };
    push_text(out, owner);
    match shape {
        Shape::Vllm | Shape::Sglang => {
            out.extend_from_slice(b",\"root\":");
            push_text(out, id);
            out.extend_from_slice(b",\"parent\":null,\"max_model_len\":131072");
        }
        Shape::LlamaCpp => out.extend_from_slice(b",\"meta\":{\"n_ctx_train\":131072}"),
        Shape::OpenAi | Shape::Ollama | Shape::Anthropic | Shape::Tei => {}
    }
    out.push(b'}');
}
