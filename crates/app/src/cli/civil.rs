//! Durations, days and months as people type them. Days are UTC.

use super::{Failure, Kind};
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Seconds of `90d`, `12h`, `30m`, `45s`.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Start and end of a calendar month, `2026-11`, in seconds since 1970.
pub(super) fn month(text: &str) -> Result<(i64, i64), Failure> {
    let invalid = || Failure::new(Kind::Usage, format!("--month {text}: write it as 2026-11"));
    let first: Date = format!("{text}-01").parse().map_err(|_| invalid())?;
    let next = first.last_of_month().tomorrow().map_err(|_| invalid())?;
    Ok((start(first).ok_or_else(invalid)?, start(next).ok_or_else(invalid)?))
}

/// Start and end of a day, `2026-11-21`.
pub(super) fn day(flag: &str, text: &str) -> Result<(i64, i64), Failure> {
    let invalid = || Failure::new(Kind::Usage, format!("{flag} {text}: write it as 2026-11-21"));
    let date: Date = text.parse().map_err(|_| invalid())?;
    let next = date.tomorrow().map_err(|_| invalid())?;
    Ok((start(date).ok_or_else(invalid)?, start(next).ok_or_else(invalid)?))
}

fn start(date: Date) -> Option<i64> {
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_days_have_their_lengths() {
        assert_eq!(month("2026-02").ok().map(|(from, to)| (to - from) / 86_400), Some(28));
        assert_eq!(month("2028-02").ok().map(|(from, to)| (to - from) / 86_400), Some(29));
        assert_eq!(day("--from", "2026-11-21").ok(), Some((1_795_219_200, 1_795_305_600)));
        for bad in ["2026-13", "2026", "x", "2026-11-01"] {
            assert!(month(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds("90d"), Some(7_776_000));
        assert_eq!((seconds("0d"), seconds("d"), seconds("5"), seconds("")), (None, None, None, None));
    }
}
