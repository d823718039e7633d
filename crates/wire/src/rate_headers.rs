//! What a limited caller is told of its limits, as header lines (W25). Which limit is the tightest is not known here.
//!
//! OpenAI-shaped rows say times as Go writes durations, Anthropic-shaped ones as RFC 3339. Times are rounded up to whole
//! milliseconds or seconds, so that whoever waits as told is not early.

use claviger_domain::endpoint::ErrorShape;
use claviger_domain::gcra::Reading;
use claviger_domain::time::Timestamp;
use std::fmt::Write as _;
use std::time::Duration;

/// The limits that are shown, each absent when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownLimits {
    /// On requests.
    pub requests: Option<Reading>,
    /// On tokens.
    pub tokens: Option<Reading>,
}

/// The header lines; names are lower-case.
pub fn rate_headers(shown: &ShownLimits, shape: ErrorShape, now: Timestamp) -> Vec<(&'static str, String)> {
    const OPENAI: [[&str; 3]; 2] = [
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    ];
    const ANTHROPIC: [[&str; 3]; 2] = [
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ];
    let names = match shape {
        ErrorShape::OpenAi => OPENAI,
        ErrorShape::Anthropic => ANTHROPIC,
    };
    let mut lines = Vec::new();
    for ([limit, remaining, reset], reading) in names.into_iter().zip([shown.requests, shown.tokens]) {
        let Some(reading) = reading else { continue };
        lines.push((limit, reading.limit.to_string()));
        lines.push((remaining, reading.remaining.to_string()));
        let when = match shape {
            ErrorShape::OpenAi => go_duration(reading.reset),
            ErrorShape::Anthropic => {
                now.plus(reading.reset.saturating_add(Duration::from_nanos(999_999_999))).rfc3339()
            }
        };
        lines.push((reset, when));
    }
    lines
}

/// A duration as Go writes it, in whole milliseconds rounded up: `0s`, `644ms`, `1.5s`, `6m0s`, `1h0m0.25s`.
pub fn go_duration(duration: Duration) -> String {
    let milliseconds = duration.as_nanos().div_ceil(1_000_000);
    let (seconds, fraction) = (milliseconds / 1000, milliseconds % 1000);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    if seconds == 0 {
        return format!("{fraction}ms");
    }
    let mut text = String::new();
    let (hours, minutes) = (seconds / 3600, (seconds / 60) % 60);
    // Writing to a String cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if seconds >= 60 {
        let _ = write!(text, "{minutes}m");
    }
    let _ = write!(text, "{}", seconds % 60);
    if fraction > 0 {
        let digits = format!(".{fraction:03}");
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (milliseconds, text) in [
            (0, "0s"),
            (12, "12ms"),
            (644, "644ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_600_250, "1h0m0.25s"),
            (90_061_010, "25h1m1.01s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(go_duration(Duration::from_nanos(643_000_001)), "644ms", "nobody is told to come too early");
    }

    #[test]
    fn each_shape_has_its_own_names_and_times() {
        let requests = Some(Reading { limit: 60, remaining: 0, reset: Duration::from_millis(644) });
        let shown = ShownLimits { requests, tokens: None };
        let now = Timestamp::from_seconds(1_795_255_200);
        assert_eq!(
            rate_headers(&shown, ErrorShape::OpenAi, now),
            [
                ("x-ratelimit-limit-requests", "60".to_owned()),
                ("x-ratelimit-remaining-requests", "0".to_owned()),
                ("x-ratelimit-reset-requests", "644ms".to_owned()),
            ]
        );
        let shown = ShownLimits { requests: None, tokens: requests };
        assert_eq!(
            rate_headers(&shown, ErrorShape::Anthropic, now),
            [
                ("anthropic-ratelimit-tokens-limit", "60".to_owned()),
                ("anthropic-ratelimit-tokens-remaining", "0".to_owned()),
                ("anthropic-ratelimit-tokens-reset", "2026-11-21T10:00:01Z".to_owned()),
            ]
        );
    }
}
