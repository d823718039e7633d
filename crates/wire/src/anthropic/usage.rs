//! Anthropic's usage figures → disjoint meters (W41, W42). Its input numbers are disjoint as they come: those of the
//! cache are not part of `input_tokens`.
//!
//! On a stream the figures are cumulative: the last wins, and one that was told stays when a later event is silent
//! about it, or tells 0 of it.

use crate::scan::{Kind, Value};
use crate::usage::count;
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};

/// One number of a usage object in Anthropic's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// `input_tokens`, without those of the cache.
    Input,
    /// `cache_read_input_tokens`.
    CacheRead,
    /// `cache_creation_input_tokens`, for however long they are kept.
    CacheWrite,
    /// Those of them that are kept for an hour.
    CacheWrite1h,
    /// `output_tokens`, thinking included.
    Output,
}

const COUNT: usize = Figure::Output as usize + 1;

/// The members of a usage object that are read; `tag` wraps a figure in the reader's own tag.
macro_rules! usage_fields {
    ($tag:path) => {{
        use $crate::anthropic::usage::Figure;
        use $crate::scan::{Field, Place};
        &[
            Field::leaf("input_tokens", $tag(Figure::Input)),
            Field::leaf("output_tokens", $tag(Figure::Output)),
            Field::leaf("cache_read_input_tokens", $tag(Figure::CacheRead)),
            Field::leaf("cache_creation_input_tokens", $tag(Figure::CacheWrite)),
            Field {
                name: "cache_creation",
                place: Place::new(None, &[Field::leaf("ephemeral_1h_input_tokens", $tag(Figure::CacheWrite1h))], None),
            },
        ]
    }};
}
pub(super) use usage_fields;

/// The figures of an answer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    told: [Option<u64>; COUNT],
    /// Some figure was negative, fractional, no number, or beyond belief.
    is_absurd: bool,
}

impl Figures {
    /// Takes a figure of the object in; `null` tells nothing.
    pub(super) fn take(&mut self, figure: Figure, value: Value, document: &[u8]) {
        let told = match value.kind {
            Kind::Null => return,
            Kind::Number => count(value.raw(document)),
            _ => None,
        };
        self.is_absurd |= told.is_none();
        if let Some(slot) = self.told.get_mut(figure as usize) {
            *slot = told;
        }
    }

    /// What is known when `later` was told too.
    pub(super) fn followed_by(mut self, later: &Self) -> Self {
        for (slot, told) in self.told.iter_mut().zip(later.told) {
            // What is cumulative does not fall: a 0 behind a number says that nothing is said.
            *slot = told.filter(|told| *told > 0).or(*slot).or(told);
        }
        Self { is_absurd: self.is_absurd || later.is_absurd, ..self }
    }

    /// Whether nothing was told.
    pub(super) fn is_empty(&self) -> bool {
        self.told.iter().all(Option::is_none) && !self.is_absurd
    }

    /// The input side alone.
    pub(super) fn input(mut self) -> Self {
        self.told.iter_mut().skip(Figure::Output as usize).for_each(|slot| *slot = None);
        self
    }

    /// The meters. `has_content`: whether the answer had any so far, so that 0 output tokens cannot be true.
    ///
    /// `None` when nothing was told.
    pub(super) fn usage(&self, source: UsageSource, has_content: bool) -> Option<Usage> {
        if self.is_empty() {
            return None;
        }
        let told = |figure: Figure| self.told.get(figure as usize).copied().flatten();
        let mut is_anomalous = self.is_absurd;
        let mut meters = Meters::NONE;
        let mut set = |meter: Meter, quantity: Option<u64>| {
            if let Some(quantity) = quantity {
                meters.set(meter, quantity);
            }
        };
        set(Meter::InputToken, told(Figure::Input));
        set(Meter::CachedInputToken, told(Figure::CacheRead).filter(|read| *read > 0));
        let written = told(Figure::CacheWrite).unwrap_or(0);
        let long = told(Figure::CacheWrite1h).unwrap_or(0);
        is_anomalous |= long > written;
        let long = long.min(written);
        set(Meter::CacheWriteToken, Some(written.saturating_sub(long)).filter(|short| *short > 0));
        set(Meter::CacheWrite1hToken, Some(long).filter(|long| *long > 0));
        let output = told(Figure::Output);
        let is_missing = has_content && output == Some(0);
        set(Meter::OutputToken, output.filter(|_| !is_missing));
        Some(Usage { meters, source, is_anomalous: is_anomalous || is_missing })
    }
}
