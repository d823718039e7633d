//! What each report of usage is about, and what it counts, in OpenAI's words.
//!
//! Counters that OpenAI's reports always have are whole numbers; any other is `null` where nobody reported it, which is
//! not 0. Our exact meters stand beside them.

use claviger_domain::endpoint::EndpointName;
use claviger_domain::meter::{Meter, Meters};
use std::collections::BTreeMap;

/// A report of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Completions,
    Embeddings,
    Images,
    AudioSpeeches,
    AudioTranscriptions,
    /// Nothing that Claviger serves: always empty.
    Moderations,
    Rerank,
    Videos,
    /// All endpoints together.
    Requests,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Completions,
        Self::Embeddings,
        Self::Images,
        Self::AudioSpeeches,
        Self::AudioTranscriptions,
        Self::Moderations,
        Self::Rerank,
        Self::Videos,
        Self::Requests,
    ];

    /// The report at a path of the endpoint table.
    pub(super) fn at(path: &str) -> Option<Self> {
        let last = path.rsplit('/').next()?;
        Self::ALL.into_iter().find(|kind| kind.name() == last)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::AudioSpeeches => "audio_speeches",
            Self::AudioTranscriptions => "audio_transcriptions",
            Self::Moderations => "moderations",
            Self::Rerank => "rerank",
            Self::Videos => "videos",
            Self::Requests => "requests",
        }
    }

    /// The type of its results.
    pub(super) fn object(self) -> String {
        format!("organization.usage.{}.result", self.name())
    }

    /// The endpoints it is about; `None` = all.
    pub(super) const fn endpoints(self) -> Option<&'static [EndpointName]> {
        use EndpointName as Of;
        Some(match self {
            Self::Completions => &[Of::ChatCompletions, Of::Completions, Of::Responses, Of::Messages],
            Self::Embeddings => &[Of::Embeddings],
            Self::Images => &[Of::Images],
            Self::AudioSpeeches => &[Of::AudioSpeech],
            Self::AudioTranscriptions => &[Of::AudioTranscriptions, Of::AudioTranslations],
            Self::Moderations => &[],
            Self::Rerank => &[Of::Rerank],
            Self::Videos => &[Of::Video],
            Self::Requests => return None,
        })
    }

    /// Its counters.
    pub(super) fn counters(self, meters: &Meters) -> BTreeMap<&'static str, Option<u64>> {
        let sum = |list: &[Meter]| list.iter().filter_map(|meter| meters.of(*meter)).reduce(u64::saturating_add);
        let always = |list: &[Meter]| sum(list).or(Some(0));
        match self {
            Self::Completions | Self::Requests => BTreeMap::from([
                // Cached tokens are part of these, as in OpenAI's.
                ("input_tokens", always(&INPUT)),
                ("output_tokens", always(&OUTPUT)),
                ("input_cached_tokens", sum(&[Meter::CachedInputToken])),
                ("input_audio_tokens", sum(&[Meter::AudioInputToken])),
                ("output_audio_tokens", sum(&[Meter::AudioOutputToken])),
                ("batch", None),
                ("service_tier", None),
            ]),
            Self::Embeddings | Self::Moderations => BTreeMap::from([("input_tokens", always(&INPUT))]),
            Self::Images => BTreeMap::from([("images", always(&[Meter::Image])), ("size", None), ("source", None)]),
            Self::AudioSpeeches => BTreeMap::from([("characters", always(&[Meter::Character]))]),
            Self::AudioTranscriptions => BTreeMap::from([("seconds", always(&[Meter::AudioSecond]))]),
            Self::Rerank => BTreeMap::from([("search_units", sum(&[Meter::SearchUnit]))]),
            Self::Videos => BTreeMap::from([("seconds", sum(&[Meter::VideoSecond]))]),
        }
    }
}

const INPUT: [Meter; 6] = [
    Meter::InputToken,
    Meter::CachedInputToken,
    Meter::CacheWriteToken,
    Meter::CacheWrite1hToken,
    Meter::ImageInputToken,
    Meter::AudioInputToken,
];

const OUTPUT: [Meter; 4] =
    [Meter::OutputToken, Meter::ReasoningToken, Meter::ImageOutputToken, Meter::AudioOutputToken];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reported_is_null_and_not_0() {
        let meters = Meters::NONE.with(Meter::InputToken, 5).with(Meter::CachedInputToken, 0);
        let counters = Kind::Completions.counters(&meters);
        assert_eq!(counters["input_tokens"], Some(5));
        assert_eq!(counters["input_cached_tokens"], Some(0), "reported as 0");
        assert_eq!(counters["output_audio_tokens"], None);
        assert_eq!(Kind::at("/v1/organization/usage/rerank"), Some(Kind::Rerank));
        assert_eq!(Kind::Rerank.counters(&meters)["search_units"], None);
    }
}
