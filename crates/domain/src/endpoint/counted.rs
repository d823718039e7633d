//! What each endpoint counts whatever its upstream says, so that a model's price can be seen to measure it (`money.md` §2).
//!
//! A price whose base counts none of these would give the endpoint away: characters do not price a chat. What an upstream may
//! or may not report is left out on purpose; it would be given away whenever it does not.

use super::EndpointName;
use crate::meter::Meter;

impl EndpointName {
    /// The quantities of which every answer has some, reported or counted; one of them must be priced. Empty for what
    /// costs nothing by itself. A new endpoint must say this before it compiles.
    pub const fn counted(self) -> &'static [Meter] {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Messages => {
                &[Meter::InputToken, Meter::OutputToken]
            }
            Self::Embeddings => &[Meter::InputToken],
            Self::Rerank => &[Meter::SearchUnit, Meter::InputToken],
            Self::Images => &[Meter::Image, Meter::InputToken],
            Self::AudioSpeech => &[Meter::Character, Meter::InputToken],
            Self::AudioTranscriptions | Self::AudioTranslations => &[Meter::AudioSecond, Meter::InputToken],
            Self::Video => &[Meter::VideoSecond],
            // A task counts as what its body means; the others are the free list.
            Self::Tasks
            | Self::Models
            | Self::Credits
            | Self::Environments
            | Self::Registries
            | Self::Agents
            | Self::Account => &[],
        }
    }
}
