//! Durations as people write them: `500ms 10s 5m 24h 90d`.

use std::time::Duration;

/// Reads a duration; `None` if it is none.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("90d"), Some(Duration::from_secs(90 * 86_400)));
        for bad in ["", "5", "s", "-5s", "5 s", "1.5h", "5y"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
