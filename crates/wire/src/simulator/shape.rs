//! Whose bytes to imitate: servers of W51.
//!
//! Only what differs by shape in more than one place is said here; usage, errors and listings keep their own tables.

use super::SimEndpoint;
use std::fmt;
use std::str::FromStr;

/// A server whose answers are imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// OpenAI; also the provider in process.
    OpenAi,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// llama.cpp's own server.
    LlamaCpp,
    /// Ollama's OpenAI endpoints.
    Ollama,
    /// Anthropic; also the endpoints in its dialect of whoever else has them.
    Anthropic,
    /// Text Embeddings Inference: vectors and rankings.
    Tei,
}

/// A word that names no shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownShape;

impl fmt::Display for UnknownShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape is one of openai, vllm, sglang, llamacpp, ollama, anthropic, tei")
    }
}

impl std::error::Error for UnknownShape {}

impl Shape {
    /// Every shape.
    pub const ALL: &'static [Self] =
        &[Self::OpenAi, Self::Vllm, Self::Sglang, Self::LlamaCpp, Self::Ollama, Self::Anthropic, Self::Tei];

    /// Its word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::LlamaCpp => "llamacpp",
            Self::Ollama => "ollama",
            Self::Anthropic => "anthropic",
            Self::Tei => "tei",
        }
    }

    /// Whether the server has an endpoint (W51).
    pub const fn serves(self, endpoint: SimEndpoint<'_>) -> bool {
        match (self, endpoint) {
            (_, SimEndpoint::Models | SimEndpoint::Model(_)) => true,
            (Self::Anthropic, endpoint) => matches!(endpoint, SimEndpoint::Messages | SimEndpoint::CountTokens),
            (_, SimEndpoint::CountResponseTokens | SimEndpoint::CompactResponse) => matches!(self, Self::OpenAi),
            (Self::OpenAi, SimEndpoint::Messages | SimEndpoint::CountTokens) => false,
            (Self::Tei, endpoint) => matches!(endpoint, SimEndpoint::Embeddings | SimEndpoint::Rerank),
            (Self::Ollama, SimEndpoint::CountTokens | SimEndpoint::Rerank) => false,
            (Self::LlamaCpp, SimEndpoint::Transcriptions) => false,
            (_, SimEndpoint::Translations) => matches!(self, Self::OpenAi | Self::Vllm),
            (_, SimEndpoint::Speech) => matches!(self, Self::OpenAi),
            (_, SimEndpoint::Images | SimEndpoint::ImageEdits) => matches!(self, Self::OpenAi | Self::Sglang),
            (
                _,
                SimEndpoint::Videos
                | SimEndpoint::Video(_)
                | SimEndpoint::VideoContent(_)
                | SimEndpoint::DeleteVideo(_),
            ) => matches!(self, Self::OpenAi),
            _ => true,
        }
    }

    /// Whether paths are also served without `/v1`.
    pub const fn serves_bare_paths(self) -> bool {
        matches!(self, Self::LlamaCpp | Self::Tei)
    }

    /// The context length it pretends to have when nobody says otherwise: only llama.cpp's is small enough to matter.
    pub const fn default_context_tokens(self) -> Option<u64> {
        if matches!(self, Self::LlamaCpp) { Some(8192) } else { None }
    }

    /// vLLM and SGLang report usage on every chunk when asked by `continuous_usage_stats` (W11).
    pub(super) const fn has_running_usage(self) -> bool {
        matches!(self, Self::Vllm | Self::Sglang)
    }

    /// The member in which reasoning is sent.
    pub(super) const fn reasoning_member(self) -> &'static str {
        match self {
            Self::Vllm | Self::Ollama => "reasoning",
            Self::OpenAi | Self::Sglang | Self::LlamaCpp | Self::Anthropic | Self::Tei => "reasoning_content",
        }
    }

    /// Content type of JSON answers.
    pub(super) const fn json_type(self) -> &'static str {
        if matches!(self, Self::LlamaCpp) { "application/json; charset=utf-8" } else { "application/json" }
    }

    /// Content type of streams.
    pub(super) const fn stream_type(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Vllm | Self::Sglang | Self::Anthropic => "text/event-stream; charset=utf-8",
            Self::LlamaCpp | Self::Ollama | Self::Tei => "text/event-stream",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(text: &str) -> Result<Self, UnknownShape> {
        Self::ALL.iter().copied().find(|shape| shape.name() == text).ok_or(UnknownShape)
    }
}
