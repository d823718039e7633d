//! Usage objects of media endpoints → disjoint meters (`money.md` §2): tokens of text, pictures and sound, or seconds.
//!
//! `input_tokens` and `output_tokens` are totals that the details split; what is no plain number counts as not told.

use crate::scan::{Kind, Value, plain_integer};
use claviger_domain::meter::{ABSURD_QUANTITY, Meter, Meters, Usage, UsageSource};

/// One number of a usage object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Input,
    InputCached,
    InputImage,
    InputAudio,
    Output,
    OutputText,
    /// Of sound, rounded up to whole ones.
    Seconds,
}

const COUNT: usize = Figure::Seconds as usize + 1;

/// The members of a usage object that are read; `tag` wraps a figure in the reader's own tag.
macro_rules! media_usage {
    ($tag:path) => {{
        use $crate::media::usage::Figure;
        use $crate::scan::{Field, Place};
        &[
            Field::leaf("input_tokens", $tag(Figure::Input)),
            Field::leaf("output_tokens", $tag(Figure::Output)),
            Field::leaf("seconds", $tag(Figure::Seconds)),
            Field {
                name: "input_tokens_details",
                place: Place::new(
                    None,
                    &[
                        Field::leaf("cached_tokens", $tag(Figure::InputCached)),
                        Field::leaf("image_tokens", $tag(Figure::InputImage)),
                        Field::leaf("audio_tokens", $tag(Figure::InputAudio)),
                    ],
                    None,
                ),
            },
            Field {
                name: "output_tokens_details",
                place: Place::new(None, &[Field::leaf("text_tokens", $tag(Figure::OutputText))], None),
            },
        ]
    }};
}
pub(crate) use media_usage;

/// The figures of one usage object, as told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    counts: [Option<u64>; COUNT],
    is_absurd: bool,
}

impl Figures {
    /// Takes a figure in; `null` tells nothing.
    pub(crate) fn take(&mut self, figure: Figure, value: Value, document: &[u8]) {
        if value.kind == Kind::Null {
            return;
        }
        let told = match figure {
            Figure::Seconds => whole_seconds(value, document),
            _ => plain_integer(value.raw(document)).filter(|count| *count <= ABSURD_QUANTITY),
        };
        self.is_absurd |= told.is_none();
        if let Some(slot) = self.counts.get_mut(figure as usize) {
            *slot = told;
        }
    }

    /// The meters, with output that is not text counted as `output`; `None` when nothing was told.
    pub(crate) fn usage(&self, output: Meter) -> Option<Usage> {
        let of = |figure: Figure| self.counts.get(figure as usize).copied().flatten();
        if !self.is_absurd && self.counts.iter().all(Option::is_none) {
            return None;
        }
        let (mut meters, mut is_anomalous) = (Meters::NONE, self.is_absurd);
        let mut split = |total: u64, base: Meter, parts: &[(Meter, Option<u64>)]| {
            let mut left = total;
            for (meter, told) in parts {
                let Some(told) = told else { continue };
                let part = (*told).min(left);
                is_anomalous |= part != *told;
                left = left.saturating_sub(part);
                meters.set(*meter, part);
            }
            meters.set(base, left);
        };
        if let Some(total) = of(Figure::Input) {
            let parts = [
                (Meter::CachedInputToken, of(Figure::InputCached)),
                (Meter::AudioInputToken, of(Figure::InputAudio)),
                (Meter::ImageInputToken, of(Figure::InputImage)),
            ];
            split(total, Meter::InputToken, &parts);
        }
        match of(Figure::Output) {
            Some(total) if output == Meter::OutputToken => meters.set(output, total),
            Some(total) => split(total, output, &[(Meter::OutputToken, of(Figure::OutputText))]),
            None => {}
        }
        if let Some(seconds) = of(Figure::Seconds) {
            meters.set(Meter::AudioSecond, seconds);
        }
        Some(Usage { meters, source: UsageSource::UpstreamFinal, is_anomalous })
    }
}

/// Seconds rounded up to whole ones; written as a number, or as a text by some servers.
pub(crate) fn whole_seconds(value: Value, document: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.raw(document)).ok()?.trim_matches('"');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = fraction.bytes().all(|digit| digit.is_ascii_digit());
    let rest = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    let seconds = plain_integer(whole.as_bytes()).filter(|_| is_plain)?.checked_add(rest)?;
    Some(seconds).filter(|seconds| *seconds <= ABSURD_QUANTITY)
}
