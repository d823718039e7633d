//! An upstream's usage figures → disjoint meters (`money.md` §2, W41, W42).
//!
//! `split(total, parts…)`: each part takes `min(part, what is left)` and the rest is the base meter, so the sum is the
//! total whatever the parts say, and no token is counted twice. What is not told stays *not reported*, which is never
//! 0. Prices and holds are not known here.

use crate::dialect;
use crate::scan::{Kind, Value, plain_integer};
use claviger_domain::catalog::Dialect;
use claviger_domain::meter::{ABSURD_QUANTITY, Meter, Meters, Usage, UsageSource};

/// One number of a usage object in OpenAI's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// `prompt_tokens`, cached ones included.
    Prompt,
    /// `completion_tokens`.
    Completion,
    /// `total_tokens`.
    Total,
    /// Prompt tokens read from a cache, wherever the server tells them.
    Cached,
    /// Prompt tokens written to a cache.
    CacheWrite,
    /// Prompt tokens of audio.
    AudioInput,
    /// Prompt tokens of images.
    ImageInput,
    /// Completion tokens of reasoning, wherever the server tells them.
    Reasoning,
    /// Completion tokens of audio.
    AudioOutput,
    /// Completion tokens of images.
    ImageOutput,
}

const COUNT: usize = Figure::ImageOutput as usize + 1;

/// The members of a usage object that are read; `tag` wraps a figure in the reader's own tag.
macro_rules! usage_fields {
    ($tag:path) => {{
        use $crate::scan::{Field, Place};
        use $crate::usage::Figure;
        &[
            Field::leaf("prompt_tokens", $tag(Figure::Prompt)),
            Field::leaf("completion_tokens", $tag(Figure::Completion)),
            Field::leaf("total_tokens", $tag(Figure::Total)),
            Field::leaf("prompt_cache_hit_tokens", $tag(Figure::Cached)),
            Field::leaf("cached_tokens", $tag(Figure::Cached)),
            Field::leaf("reasoning_tokens", $tag(Figure::Reasoning)),
            Field {
                name: "prompt_tokens_details",
                place: Place::new(
                    None,
                    &[
                        Field::leaf("cached_tokens", $tag(Figure::Cached)),
                        Field::leaf("cache_write_tokens", $tag(Figure::CacheWrite)),
                        Field::leaf("audio_tokens", $tag(Figure::AudioInput)),
                        Field::leaf("image_tokens", $tag(Figure::ImageInput)),
                    ],
                    None,
                ),
            },
            Field {
                name: "completion_tokens_details",
                place: Place::new(
                    None,
                    &[
                        Field::leaf("reasoning_tokens", $tag(Figure::Reasoning)),
                        Field::leaf("audio_tokens", $tag(Figure::AudioOutput)),
                        Field::leaf("image_tokens", $tag(Figure::ImageOutput)),
                    ],
                    None,
                ),
            },
        ]
    }};
}
pub(crate) use usage_fields;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Count(u64),
    /// Negative, fractional, not a number, or above [`ABSURD_QUANTITY`].
    Absurd,
}

/// The figures of one usage object, as told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// 0 where none is counted.
    counts: [u64; COUNT],
    /// One bit a figure.
    counted: u16,
    absurd: u16,
}

impl Figures {
    /// Takes a figure of the object in; `null` tells nothing, the last of two wins.
    pub fn take(&mut self, figure: Figure, value: Value, document: &[u8]) {
        let told = match value.kind {
            Kind::Null => return,
            Kind::Number => count(value.raw(document)),
            _ => None,
        };
        let bit = 1 << figure as u16;
        let (counted, absurd) = if told.is_some() { (bit, 0) } else { (0, bit) };
        self.counted = self.counted & !bit | counted;
        self.absurd = self.absurd & !bit | absurd;
        if let Some(slot) = self.counts.get_mut(figure as usize) {
            *slot = told.unwrap_or_default();
        }
    }

    /// Whether no figure was told.
    pub fn is_empty(&self) -> bool {
        self.counted | self.absurd == 0
    }

    /// Whether every figure told is 0: what some servers send before they know (Ollama).
    pub fn is_zero(&self) -> bool {
        self.absurd == 0 && self.counts.iter().all(|count| *count == 0)
    }

    /// The meters. `has_content`: whether the answer had any so far, so that 0 output tokens cannot be true.
    ///
    /// `None` when the object told nothing.
    pub fn usage(&self, dialect: Dialect, source: UsageSource, has_content: bool) -> Option<Usage> {
        if self.is_empty() {
            return None;
        }
        let mut split = Split { meters: Meters::NONE, is_anomalous: false };
        let mut prompt = split.count(self.told(Figure::Prompt));
        if prompt == Some(0) && dialect::habits(dialect).is_zero_prompt_unknown {
            prompt = None;
        }
        split.parts(
            prompt,
            Meter::InputToken,
            [
                (Meter::CachedInputToken, self.told(Figure::Cached)),
                (Meter::CacheWriteToken, self.told(Figure::CacheWrite)),
                (Meter::AudioInputToken, self.told(Figure::AudioInput)),
                (Meter::ImageInputToken, self.told(Figure::ImageInput)),
            ],
        );
        let mut completion = split.count(self.told(Figure::Completion));
        if has_content && completion == Some(0) {
            completion = None;
            split.is_anomalous = true;
        }
        let reasoning = self.told(Figure::Reasoning);
        let outside = self.reasoning_outside(&mut split);
        split.parts(
            completion,
            Meter::OutputToken,
            [
                (Meter::ReasoningToken, if outside.is_some() { Told::Nothing } else { reasoning }),
                (Meter::AudioOutputToken, self.told(Figure::AudioOutput)),
                (Meter::ImageOutputToken, self.told(Figure::ImageOutput)),
            ],
        );
        if let (Some(_), Some(reasoning)) = (completion, outside) {
            split.meters.set(Meter::ReasoningToken, reasoning);
        }
        Some(Usage { meters: split.meters, source, is_anomalous: split.is_anomalous })
    }

    fn told(&self, figure: Figure) -> Told {
        let bit = 1 << figure as u16;
        match self.counts.get(figure as usize) {
            Some(count) if self.counted & bit != 0 => Told::Count(*count),
            _ if self.absurd & bit != 0 => Told::Absurd,
            _ => Told::Nothing,
        }
    }

    /// Reasoning tokens that are not part of the completion: `total = prompt + completion + reasoning` (V5). When
    /// neither identity holds they count as inside, and the figures as contradictory.
    fn reasoning_outside(&self, split: &mut Split) -> Option<u64> {
        let (Told::Count(prompt), Told::Count(completion)) = (self.told(Figure::Prompt), self.told(Figure::Completion))
        else {
            return None;
        };
        let total = match self.told(Figure::Total) {
            Told::Count(total) => total,
            Told::Nothing => return None,
            Told::Absurd => {
                split.is_anomalous = true;
                return None;
            }
        };
        let inside = prompt.saturating_add(completion);
        if total == inside {
            return None;
        }
        if let Told::Count(reasoning) = self.told(Figure::Reasoning)
            && total == inside.saturating_add(reasoning)
        {
            return Some(reasoning);
        }
        split.is_anomalous = true;
        None
    }
}

struct Split {
    meters: Meters,
    is_anomalous: bool,
}

impl Split {
    fn count(&mut self, told: Told) -> Option<u64> {
        match told {
            Told::Count(count) => Some(count),
            Told::Nothing => None,
            Told::Absurd => {
                self.is_anomalous = true;
                None
            }
        }
    }

    fn parts<const N: usize>(&mut self, total: Option<u64>, base: Meter, parts: [(Meter, Told); N]) {
        let Some(mut left) = total else { return };
        for (meter, told) in parts {
            let Some(part) = self.count(told) else { continue };
            let taken = part.min(left);
            self.is_anomalous |= taken < part;
            self.meters.set(meter, taken);
            left = left.saturating_sub(taken);
        }
        self.meters.set(base, left);
    }
}

/// A plain integer of at most [`ABSURD_QUANTITY`]; some servers print it as `12.0`.
pub(crate) fn count(text: &[u8]) -> Option<u64> {
    let whole = text.strip_suffix(b".0").unwrap_or(text);
    plain_integer(whole).filter(|count| *count <= ABSURD_QUANTITY)
}

/// The base meter of each side: what a whole usage is told as again.
pub(crate) fn openai_totals(meters: &Meters) -> (u64, u64) {
    use Meter::*;
    let sum = |kinds: &[Meter]| kinds.iter().filter_map(|meter| meters.of(*meter)).fold(0_u64, u64::saturating_add);
    (
        sum(&[InputToken, CachedInputToken, CacheWriteToken, CacheWrite1hToken, ImageInputToken, AudioInputToken]),
        sum(&[OutputToken, ReasoningToken, ImageOutputToken, AudioOutputToken]),
    )
}

#[cfg(test)]
mod tests;
