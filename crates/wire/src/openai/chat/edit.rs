//! The upstream's copy of a chat request: the caller's bytes with as little changed as the rules demand (W5, W10, W11,
//! W49). Slices of the body and insertions; nothing is rebuilt, and only short bodies are copied.

use super::ask::ChatAsk;
use crate::body;
use crate::dialect::{Habits, habits};
use crate::inference::Edits;
use crate::scan::{Kind, plain_integer};
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
            self.fields.usage_ask.edit(habits, self.fields.shared.inside(), &mut splice);
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
}
