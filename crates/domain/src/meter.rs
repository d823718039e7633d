//! The closed list of meters, and a quantity of each.
//!
//! Meters are disjoint: a token is counted in exactly one (`money.md` §2). Where the numbers came from is kept beside
//! them; how an upstream words them is `wire/usage.rs`.

use std::fmt;

/// A quantity above this is absurd and treated as not reported (`money.md` §1).
pub const ABSURD_QUANTITY: u64 = 1_000_000_000_000;

macro_rules! meters {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $side:ident;)*) => {
        /// One disjoint billable quantity. Adding one is an ADR.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Meter { $($(#[$doc])* $name,)* }

        impl Meter {
            /// Every meter, in the order of this list.
            pub const ALL: &'static [Meter] = &[$(Meter::$name,)*];

            /// The meter's name in files, rows and receipts.
            pub const fn name(self) -> &'static str {
                match self { $(Meter::$name => $text,)* }
            }

            /// Which side of a request the meter measures.
            pub const fn side(self) -> Side {
                match self { $(Meter::$name => Side::$side,)* }
            }

            /// The meter of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Meter::$name),)* _ => None }
            }
        }
    };
}

meters! {
    /// Uncached input tokens.
    InputToken = "input_token", Input;
    /// Input tokens read from the upstream's cache.
    CachedInputToken = "cached_input_token", Input;
    /// Input tokens written to a five-minute cache.
    CacheWriteToken = "cache_write_token", Input;
    /// Input tokens written to a one-hour cache.
    CacheWrite1hToken = "cache_write_1h_token", Input;
    /// Input tokens of images.
    ImageInputToken = "image_input_token", Input;
    /// Input tokens of audio.
    AudioInputToken = "audio_input_token", Input;
    /// Unicode scalar values of text to be spoken.
    Character = "character", Input;
    /// Seconds of audio, rounded up to whole ones.
    AudioSecond = "audio_second", Input;
    /// Hundreds of documents ranked.
    SearchUnit = "search_unit", Input;
    /// The request itself.
    Request = "request", Input;
    /// Output tokens that are none of the following.
    OutputToken = "output_token", Output;
    /// Output tokens of reasoning.
    ReasoningToken = "reasoning_token", Output;
    /// Output tokens of images.
    ImageOutputToken = "image_output_token", Output;
    /// Output tokens of audio.
    AudioOutputToken = "audio_output_token", Output;
    /// Images.
    Image = "image", Output;
    /// Seconds of video.
    VideoSecond = "video_second", Output;
    /// Calls of a tool that the upstream runs.
    ToolCall = "tool_call", Output;
}

/// Input or output of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the caller sent.
    Input,
    /// What the model made.
    Output,
}

impl Meter {
    /// Whether it counts tokens.
    pub const fn is_token(self) -> bool {
        !matches!(
            self,
            Meter::Character
                | Meter::AudioSecond
                | Meter::SearchUnit
                | Meter::Request
                | Meter::Image
                | Meter::VideoSecond
                | Meter::ToolCall
        )
    }

    /// The meter whose price stands in when this one has none; a stated price, shown as such on the receipt.
    pub const fn fallback(self) -> Option<Meter> {
        match self {
            Meter::CachedInputToken | Meter::CacheWriteToken | Meter::ImageInputToken | Meter::AudioInputToken => {
                Some(Meter::InputToken)
            }
            Meter::CacheWrite1hToken => Some(Meter::CacheWriteToken),
            Meter::ReasoningToken | Meter::ImageOutputToken | Meter::AudioOutputToken => Some(Meter::OutputToken),
            _ => None,
        }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A quantity for each meter; `None` is *not reported*, which is never the same as 0.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Meters {
    /// 0 where nothing is reported.
    quantities: [u64; Meter::ALL.len()],
    /// One bit a meter.
    reported: u32,
}

impl Meters {
    /// No meter reported.
    pub const NONE: Self = Self { quantities: [0; Meter::ALL.len()], reported: 0 };

    /// All tokens, of whatever kind: what limits on tokens count.
    pub fn tokens(&self) -> u64 {
        let tokens = self.iter().filter(|(meter, _)| meter.is_token());
        tokens.fold(0, |sum, (_, quantity)| sum.saturating_add(quantity))
    }

    /// The reported quantity of a meter.
    pub fn of(&self, meter: Meter) -> Option<u64> {
        let is_reported = self.reported & bit(meter) != 0;
        self.quantities.get(meter as usize).copied().filter(|_| is_reported)
    }

    /// Reports a quantity, replacing what was there: running values are never summed.
    pub fn set(&mut self, meter: Meter, quantity: u64) {
        if let Some(slot) = self.quantities.get_mut(meter as usize) {
            *slot = quantity;
            self.reported |= bit(meter);
        }
    }

    /// The same meters with one more reported.
    pub fn with(mut self, meter: Meter, quantity: u64) -> Self {
        self.set(meter, quantity);
        self
    }

    /// The reported meters in list order.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, u64)> + '_ {
        // From bit to bit: of all the meters a request reports three or four, and settling it reads them a dozen times.
        let mut left = self.reported;
        std::iter::from_fn(move || {
            let index = usize::try_from(left.trailing_zeros()).unwrap_or(usize::MAX);
            let (meter, quantity) = (*Meter::ALL.get(index)?, *self.quantities.get(index)?);
            left &= !bit(meter);
            Some((meter, quantity))
        })
    }

    /// Only the meters of one side.
    pub fn side(&self, side: Side) -> Self {
        // In place: a fold by value copies all quantities once for each meter, on every request.
        let mut found = Self::NONE;
        for (meter, quantity) in self.iter().filter(|(meter, _)| meter.side() == side) {
            found.set(meter, quantity);
        }
        found
    }

    /// Those that count no tokens.
    pub fn without_tokens(&self) -> Self {
        let mut found = Self::NONE;
        for (meter, quantity) in self.iter().filter(|(meter, _)| !meter.is_token()) {
            found.set(meter, quantity);
        }
        found
    }

    /// These meters, completed by those of `other` that are not reported here.
    pub fn or(mut self, other: &Self) -> Self {
        for (meter, quantity) in other.iter() {
            if self.of(meter).is_none() {
                self.set(meter, quantity);
            }
        }
        self
    }

    /// Whether no meter is reported.
    pub fn is_empty(&self) -> bool {
        self.reported == 0
    }
}

const fn bit(meter: Meter) -> u32 {
    1_u32.wrapping_shl(meter as u32)
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(meter, n)| (meter.name(), n))).finish()
    }
}

/// Where the meters of a record came from; of several sources the least exact one, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageSource {
    /// The upstream's final figures.
    UpstreamFinal,
    /// The last cumulative figure before a cut.
    UpstreamRunning,
    /// A header of the upstream's reply.
    UpstreamHeader,
    /// Exact from the request or the reply: characters, ids, seconds of a file.
    Computed,
    /// Counted by a rule that may be off.
    Estimated,
    /// Nothing was used.
    None,
}

impl UsageSource {
    /// The word in rows, receipts and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpstreamFinal => "upstream_final",
            Self::UpstreamRunning => "upstream_running",
            Self::UpstreamHeader => "upstream_header",
            Self::Computed => "computed",
            Self::Estimated => "estimated",
            Self::None => "none",
        }
    }

    /// The source of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::UpstreamFinal, Self::UpstreamRunning, Self::UpstreamHeader, Self::Computed, Self::Estimated, Self::None]
            .into_iter()
            .find(|source| source.name() == name)
    }

    /// Whether the figures are exact; totals show the share of the others.
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::UpstreamFinal | Self::UpstreamRunning | Self::UpstreamHeader | Self::Computed)
    }
}

/// Quantities and where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The quantities.
    pub meters: Meters,
    /// Their source.
    pub source: UsageSource,
    /// Whether a figure was clipped, contradictory or absurd.
    pub is_anomalous: bool,
}
