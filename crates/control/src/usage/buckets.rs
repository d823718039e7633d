//! The time line of a usage report: buckets of one width in one time zone, some of them on one page.
//!
//! A day begins at midnight of the zone, whatever its length; hours and minutes are those that its clocks show.

use crate::query::Query;
use crate::respond::Refusal;
use claviger_domain::error::Code;
use claviger_domain::time::Timestamp;
use jiff::tz::TimeZone;

/// The width of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Seconds(i64),
    Day,
}

/// Buckets of one page: what was asked, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Begin and end of each bucket, oldest first, in seconds.
    buckets: Vec<(i64, i64)>,
    /// What was asked for, in seconds.
    asked: (i64, i64),
    /// Where the next page begins, if there is one.
    next: Option<i64>,
    /// The zone's name.
    pub(super) zone: String,
}

impl Window {
    /// Reads `start_time`, `end_time`, `bucket_width`, `limit`, `page` and `timezone`; `now` ends an open range, `own` is
    /// the zone of the organization.
    pub(super) fn read(query: &mut Query, now: Timestamp, own: &str) -> Result<Self, Refusal> {
        let start = query.integer("start_time")?.ok_or_else(|| {
            Refusal::because(
                Code::MissingRequiredParameter,
                "Missing required parameter: 'start_time', in seconds since 1970.",
            )
            .about("start_time")
        })?;
        let end = query.integer("end_time")?.unwrap_or_else(|| now.seconds().saturating_add(1));
        if start < 0 || end <= start {
            return Err(Refusal::invalid("end_time", "a time behind 'start_time'"));
        }
        let zone = match query.text("timezone")?.as_deref() {
            None => "UTC".to_owned(),
            Some("organization") => own.to_owned(),
            Some(name) => name.to_owned(),
        };
        let found = TimeZone::get(&zone)
            .map_err(|_| Refusal::invalid("timezone", "an IANA name such as 'Europe/Berlin', or 'organization'"))?;
        // Widths, defaults and most of a page are OpenAI's.
        let (width, default, most) = match query.text("bucket_width")?.as_deref() {
            Some("1m") => (Width::Seconds(60), 60, 1440),
            Some("1h") => (Width::Seconds(3600), 24, 168),
            None | Some("1d") => (Width::Day, 7, 31),
            Some(_) => return Err(Refusal::invalid("bucket_width", "'1m', '1h' or '1d'")),
        };
        let count = query.integer("limit")?.unwrap_or(default);
        if !(1..=most).contains(&count) {
            return Err(Refusal::invalid("limit", format_args!("a whole number from 1 to {most}")));
        }
        let first_of_all = width.begin(start, &found);
        let is_begin = |at: &i64| match width {
            Width::Day => width.begin(*at, &found) == *at,
            Width::Seconds(width) => at.saturating_sub(first_of_all).rem_euclid(width) == 0,
        };
        let mut at = match query.text("page")? {
            None => first_of_all,
            Some(page) => page
                .strip_prefix("page_")
                .and_then(|text| text.parse::<i64>().ok())
                .filter(|at| *at >= first_of_all && *at < end && is_begin(at))
                .ok_or(Code::InvalidCursor)?,
        };
        let mut buckets = Vec::new();
        for _ in 0..count {
            if at >= end {
                break;
            }
            let behind = width.end(at, &found);
            buckets.push((at, behind));
            at = behind;
        }
        Ok(Self { buckets, asked: (start, end), next: (at < end).then_some(at), zone })
    }

    /// The buckets of the page, oldest first: begin and end.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (i64, i64)> {
        self.buckets.iter().copied()
    }

    /// What of each bucket was asked for.
    pub(super) fn spans(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let (start, end) = self.asked;
        self.buckets().map(move |(from, until)| {
            (Timestamp::from_seconds(from.max(start)), Timestamp::from_seconds(until.min(end)))
        })
    }

    /// The token of the next page.
    pub(super) fn next_page(&self) -> Option<String> {
        self.next.map(|at| format!("page_{at}"))
    }
}

impl Width {
    /// Where the bucket of an instant begins.
    fn begin(self, at: i64, zone: &TimeZone) -> i64 {
        let instant = instant(at);
        match self {
            Self::Day => {
                let date = instant.to_zoned(zone.clone()).date();
                date.to_zoned(zone.clone()).map_or(at, |midnight| midnight.timestamp().as_second())
            }
            Self::Seconds(width) => {
                let offset = i64::from(zone.to_offset(instant).seconds());
                at.saturating_sub(at.saturating_add(offset).rem_euclid(width))
            }
        }
    }

    /// Where the bucket that begins at an instant ends.
    fn end(self, begin: i64, zone: &TimeZone) -> i64 {
        match self {
            Self::Day => {
                let next = instant(begin).to_zoned(zone.clone()).date().tomorrow();
                let midnight = next.and_then(|date| date.to_zoned(zone.clone()));
                midnight.map_or(begin.saturating_add(86_400), |midnight| midnight.timestamp().as_second())
            }
            Self::Seconds(width) => begin.saturating_add(width),
        }
    }
}

fn instant(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Result<Window, Refusal> {
        let now = Timestamp::from_seconds(1_000_000);
        Query::parse(text).and_then(|mut query| Window::read(&mut query, now, "Europe/Berlin"))
    }

    /// Every bucket of every page.
    fn walk(base: &str) -> Vec<(i64, i64)> {
        let mut seen = Vec::new();
        let mut next = Some(String::new());
        while let Some(page) = next {
            let text = if page.is_empty() { base.to_owned() } else { format!("{base}&page={page}") };
            let window = window(&text).unwrap_or_else(|_| panic!("{text}"));
            seen.extend(window.buckets());
            next = window.next_page();
        }
        seen
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let expected: Vec<(i64, i64)> = (1..=10).map(|day| (day * 86_400, (day + 1) * 86_400)).collect();
        assert_eq!(walk("start_time=90000&end_time=900000&bucket_width=1d&limit=3"), expected);
        let exact = window("start_time=0&end_time=259200&limit=3");
        assert_eq!(
            exact.ok().and_then(|window| window.next_page()),
            None,
            "a page that ends with the range is the last"
        );
    }

    #[test]
    fn days_are_those_of_the_zone_also_where_clocks_change() {
        // Around 2026-03-29 and 2026-10-25 in Berlin, 2026-03-08 in St. John's; India has half an hour and never changes.
        for (zone, start, hours) in [
            ("Europe/Berlin", 1_774_652_400, [24, 23, 24]),
            ("organization", 1_792_792_800, [24, 25, 24]),
            ("America/St_Johns", 1_772_854_200, [24, 23, 24]),
            ("Asia/Kolkata", 1_774_636_200, [24, 24, 24]),
        ] {
            let end = start + hours.iter().sum::<i64>() * 3600;
            let days = walk(&format!("start_time={start}&end_time={end}&timezone={zone}&limit=2"));
            assert_eq!(days.iter().map(|(from, until)| (until - from) / 3600).collect::<Vec<_>>(), hours, "{zone}");
            assert_eq!((days[0].0, days[2].1), (start, end), "{zone}");
            assert!(days.iter().all(|(from, _)| from % 900 == 0), "{zone}: made of quarters");
        }
        let hours = walk("start_time=1774636200&end_time=1774643400&bucket_width=1h&timezone=Asia/Kolkata");
        assert_eq!(hours, [(1_774_636_200, 1_774_639_800), (1_774_639_800, 1_774_643_400)]);
    }

    #[test]
    fn a_page_that_we_did_not_hand_out_is_refused() {
        assert!(window("start_time=0&end_time=900000&page=page_86400").is_ok());
        for bad in ["page_1", "86400", "page_-86400", "page_9000000"] {
            assert!(window(&format!("start_time=0&end_time=900000&page={bad}")).is_err(), "{bad}");
        }
        assert!(window("end_time=5").is_err());
        assert!(window("start_time=5&end_time=5").is_err());
        assert!(window("start_time=0&limit=32").is_err());
        assert!(window("start_time=0&timezone=Nowhere").is_err());
    }
}
