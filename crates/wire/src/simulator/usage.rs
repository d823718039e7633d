//! Usage numbers in each shape, and how single JSON values are written.

use super::shape::Shape;
use serde_json::Value;
use std::io::Write as _;

/// What an answer used; output numbers over all choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Prompt tokens, cached ones among them.
    pub(super) prompt: u64,
    /// Prompt tokens reported as cached; `None` when the request did not ask for any.
    pub(super) cached: Option<u64>,
    /// Completion tokens, reasoning ones among them.
    pub(super) completion: u64,
    /// Reasoning tokens.
    pub(super) reasoning: u64,
}

/// When and how truthfully usage is reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum UsageForm {
    /// As the shape does it.
    #[default]
    Usual,
    /// Never.
    Never,
    /// On every chunk too.
    Running,
    /// The final one twice.
    Twice,
    /// Numbers that cannot be, or the given object.
    Absurd(Option<Value>),
}

/// Negative input, output above any bound, details above their totals.
const ABSURD: &[u8] = br#"{"prompt_tokens":-5,"completion_tokens":900000000000,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":1000000},"completion_tokens_details":{"reasoning_tokens":9000000000000}}"#;

/// The same in the words of responses.
const ABSURD_RESPONSE: &[u8] = br#"{"input_tokens":-5,"input_tokens_details":{"cached_tokens":1000000},"output_tokens":900000000000,"output_tokens_details":{"reasoning_tokens":9000000000000},"total_tokens":7}"#;

/// The same in Anthropic's words.
const ABSURD_MESSAGE: &[u8] = br#"{"input_tokens":-5,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_1h_input_tokens":9000000000000},"cache_read_input_tokens":0.5,"output_tokens":900000000000}"#;

impl Counts {
    /// Writes the usage object.
    pub(super) fn push(&self, out: &mut Vec<u8>, shape: Shape, form: &UsageForm) {
        if let UsageForm::Absurd(given) = form {
            match given {
                Some(value) => drop(serde_json::to_writer(&mut *out, value)),
                None if shape == Shape::Anthropic => out.extend_from_slice(ABSURD_MESSAGE),
                None => out.extend_from_slice(ABSURD),
            }
            return;
        }
        let total = self.prompt.saturating_add(self.completion);
        match shape {
            Shape::Anthropic => {
                let cached = self.cached.unwrap_or(0);
                push_number(out, b"{\"input_tokens\":", self.prompt.saturating_sub(cached));
                push_number(out, b",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":", cached);
                push_number(out, b",\"output_tokens\":", self.completion);
            }
            Shape::OpenAi | Shape::Ollama | Shape::Tei => {
                push_number(out, b"{\"prompt_tokens\":", self.prompt);
                push_number(out, b",\"completion_tokens\":", self.completion);
                push_number(out, b",\"total_tokens\":", total);
            }
            Shape::Vllm | Shape::Sglang => {
                push_number(out, b"{\"prompt_tokens\":", self.prompt);
                push_number(out, b",\"total_tokens\":", total);
                push_number(out, b",\"completion_tokens\":", self.completion);
            }
            Shape::LlamaCpp => {
                push_number(out, b"{\"completion_tokens\":", self.completion);
                push_number(out, b",\"prompt_tokens\":", self.prompt);
                push_number(out, b",\"total_tokens\":", total);
            }
        }
        self.push_details(out, shape);
        out.push(b'}');
    }

    fn push_details(&self, out: &mut Vec<u8>, shape: Shape) {
        match shape {
            Shape::OpenAi => {
                push_number(out, b",\"prompt_tokens_details\":{\"cached_tokens\":", self.cached.unwrap_or(0));
                push_number(
                    out,
                    b",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":",
                    self.reasoning,
                );
                out.extend_from_slice(
                    b",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}",
                );
            }
            // Cached tokens come only when a server flag is set; `sim.cached` stands for the flag.
            Shape::Vllm | Shape::Sglang => {
                match self.cached {
                    Some(cached) => {
                        push_number(out, b",\"prompt_tokens_details\":{\"cached_tokens\":", cached);
                        out.push(b'}');
                    }
                    None => out.extend_from_slice(b",\"prompt_tokens_details\":null"),
                }
                if shape == Shape::Sglang {
                    push_number(out, b",\"reasoning_tokens\":", self.reasoning);
                } else if self.reasoning > 0 {
                    push_number(out, b",\"completion_tokens_details\":{\"reasoning_tokens\":", self.reasoning);
                    out.push(b'}');
                }
            }
            Shape::LlamaCpp => {
                push_number(out, b",\"prompt_tokens_details\":{\"cached_tokens\":", self.cached.unwrap_or(0));
                out.push(b'}');
            }
            Shape::Ollama | Shape::Anthropic | Shape::Tei => {}
        }
    }

    /// Writes the usage object in the words of responses.
    pub(super) fn push_response(&self, out: &mut Vec<u8>, form: &UsageForm) {
        match form {
            UsageForm::Absurd(Some(value)) => return drop(serde_json::to_writer(&mut *out, value)),
            UsageForm::Absurd(None) => return out.extend_from_slice(ABSURD_RESPONSE),
            _ => {}
        }
        push_number(out, b"{\"input_tokens\":", self.prompt);
        push_number(out, b",\"input_tokens_details\":{\"cached_tokens\":", self.cached.unwrap_or(0));
        push_number(out, b"},\"output_tokens\":", self.completion);
        push_number(out, b",\"output_tokens_details\":{\"reasoning_tokens\":", self.reasoning);
        push_number(out, b"},\"total_tokens\":", self.prompt.saturating_add(self.completion));
        out.push(b'}');
    }

    /// llama.cpp's `timings`: one millisecond a token, so that they depend on the request alone.
    pub(super) fn push_timings(&self, out: &mut Vec<u8>) {
        let cached = self.cached.unwrap_or(0);
        let fresh = self.prompt.saturating_sub(cached);
        let completion = self.completion;
        let _ = write!(
            out,
            ",\"timings\":{{\"cache_n\":{cached},\"prompt_n\":{fresh},\"prompt_ms\":{fresh}.0,\"prompt_per_token_ms\":1.0,\
             \"prompt_per_second\":1000.0,\"predicted_n\":{completion},\"predicted_ms\":{completion}.0,\
             \"predicted_per_token_ms\":1.0,\"predicted_per_second\":1000.0}}"
        );
    }
}

/// Writes `before` and a number.
pub(super) fn push_number(out: &mut Vec<u8>, before: &[u8], number: u64) {
    out.extend_from_slice(before);
    let _ = write!(out, "{number}");
}

/// Writes a JSON string.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}
