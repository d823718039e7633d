//! The upstream's copy of a chat request: the caller's bytes with as little changed as the rules demand (W5, W10, W11,
//! W49). Slices of the body and insertions; nothing is rebuilt, and only short bodies are copied.

use super::ask::ChatAsk;
use crate::body;
use crate::dialect::{Habits, habits};
use crate::inference::Edits;
use crate::scan::{Kind, Value, plain_integer};
use crate::splice::Splice;
use bytes::Bytes;

impl ChatAsk {
    /// The body for a target, in pieces; their lengths add up to its Content-Length.
    pub(super) fn upstream_body(&self, edits: &Edits<'_>) -> Vec<Bytes> {
        let habits = habits(edits.dialect);
        let mut splice = Splice::new();
        self.fields.shared.rename_model(&self.body, edits.upstream_model, &mut splice);
        if let Some(limit) = edits.output_limit {
            self.limit_output(limit, habits, &mut splice);
        }
        if self.is_stream {
            self.ask_usage(habits, &mut splice);
        }
        if let Some(removal) = &self.removal {
            removal.edit(&mut splice);
        }
        body::pieces(&self.body, splice)
    }

    fn limit_output(&self, limit: u64, habits: &Habits, splice: &mut Splice) {
        let both = [self.fields.max_tokens, self.fields.max_completion_tokens];
        let mut is_said = false;
        for value in both.into_iter().flatten().filter(|value| value.kind == Kind::Number) {
            is_said = true;
            if plain_integer(value.raw(&self.body)).is_none_or(|asked| asked > limit) {
                splice.replace(value.span(), limit.to_string());
            }
        }
        if is_said {
            return;
        }
        let own = match habits.limit_field {
            "max_tokens" => self.fields.max_tokens,
            _ => self.fields.max_completion_tokens,
        };
        match own {
            // Inserting beside the `null` would make the key twice.
            Some(null) => splice.replace(null.span(), limit.to_string()),
            None => splice.insert(self.fields.shared.inside(), format!("\"{}\":{limit},", habits.limit_field)),
        }
    }

    fn ask_usage(&self, habits: &Habits, splice: &mut Splice) {
        let running = habits.has_running_usage;
        let (member, options) = if running {
            const MEMBER: &str = r#""stream_options":{"include_usage":true,"continuous_usage_stats":true},"#;
            (MEMBER, r#"{"include_usage":true,"continuous_usage_stats":true}"#)
        } else {
            (r#""stream_options":{"include_usage":true},"#, r#"{"include_usage":true}"#)
        };
        match self.fields.stream_options {
            None => splice.insert(self.fields.shared.inside(), member),
            Some(value @ Value { kind: Kind::Object { is_empty: false }, .. }) => {
                let inside = value.start() + 1;
                set_true(self.fields.include_usage, "include_usage", inside, splice);
                if running {
                    set_true(self.fields.running_usage, "continuous_usage_stats", inside, splice);
                }
            }
            Some(value) => splice.replace(value.span(), options),
        }
    }
}

fn set_true(value: Option<Value>, name: &str, inside: usize, splice: &mut Splice) {
    match value {
        None => splice.insert(inside, format!("\"{name}\":true,")),
        Some(Value { kind: Kind::Bool(true), .. }) => {}
        Some(value) => splice.replace(value.span(), "true"),
    }
}
