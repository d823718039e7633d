//! The time line of a usage report: buckets of one width, some of them on one page.

use crate::query::Query;
use crate::respond::Refusal;
use claviger_domain::time::Timestamp;
use std::time::Duration;

/// Buckets of one page: what was asked, and what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The first instant that counts.
    pub(super) from: Timestamp,
    /// The first instant that does not.
    pub(super) until: Timestamp,
    /// The start of the first bucket, at or before `from`.
    first: i64,
    width: i64,
    count: i64,
    /// Where the next page begins, if there is one.
    next: Option<i64>,
}

impl Window {
    /// Reads `start_time`, `end_time`, `bucket_width`, `limit` and `page`; `now` ends an open range.
    pub(super) fn read(query: &mut Query, now: Timestamp) -> Result<Self, Refusal> {
        let start = query.integer("start_time")?.ok_or_else(|| {
            Refusal::because(
                claviger_domain::error::Code::MissingRequiredParameter,
                "Missing required parameter: 'start_time', in seconds since 1970.",
            )
            .about("start_time")
        })?;
        let end = query.integer("end_time")?.unwrap_or_else(|| now.seconds().saturating_add(1));
        if start < 0 || end <= start {
            return Err(Refusal::invalid("end_time", "a time behind 'start_time'"));
        }
        // Widths, defaults and most of a page are OpenAI's.
        let (width, default, most) = match query.text("bucket_width")?.as_deref() {
            Some("1m") => (60, 60, 1440),
            Some("1h") => (3600, 24, 168),
            None | Some("1d") => (86_400, 7, 31),
            Some(_) => return Err(Refusal::invalid("bucket_width", "'1m', '1h' or '1d'")),
        };
        let count = query.integer("limit")?.unwrap_or(default);
        if !(1..=most).contains(&count) {
            return Err(Refusal::invalid("limit", format_args!("a whole number from 1 to {most}")));
        }
        let first_of_all = start.div_euclid(width).saturating_mul(width);
        let first = match query.text("page")? {
            None => first_of_all,
            Some(page) => page
                .strip_prefix("page_")
                .and_then(|text| text.parse::<i64>().ok())
                .filter(|at| *at >= first_of_all && *at < end && at.rem_euclid(width) == 0)
                .ok_or(claviger_domain::error::Code::InvalidCursor)?,
        };
        let behind = first.saturating_add(width.saturating_mul(count));
        let next = (behind < end).then_some(behind);
        Ok(Self {
            from: Timestamp::from_seconds(start.max(first)),
            until: Timestamp::from_seconds(end.min(behind)),
            first,
            width,
            count,
            next,
        })
    }

    /// The width, for the store.
    pub(super) fn width(&self) -> Duration {
        Duration::from_secs(self.width.unsigned_abs())
    }

    /// The buckets of the page, oldest first: start and end.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (i64, i64)> + use<> {
        let (first, width, until) = (self.first, self.width, self.until.seconds());
        (0..self.count)
            .map(move |index| first.saturating_add(index.saturating_mul(width)))
            .take_while(move |start| *start < until)
            .map(move |start| (start, start.saturating_add(width)))
    }

    /// The token of the next page.
    pub(super) fn next_page(&self) -> Option<String> {
        self.next.map(|at| format!("page_{at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Result<Window, Refusal> {
        Query::parse(text).and_then(|mut query| Window::read(&mut query, Timestamp::from_seconds(1_000_000)))
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let base = "start_time=90000&end_time=900000&bucket_width=1d&limit=3";
        let mut seen = Vec::new();
        let mut next = Some(String::new());
        while let Some(page) = next {
            let text = if page.is_empty() { base.to_owned() } else { format!("{base}&page={page}") };
            let window = window(&text).unwrap_or_else(|_| panic!("{text}"));
            seen.extend(window.buckets());
            next = window.next_page();
        }
        let expected: Vec<(i64, i64)> = (1..=10).map(|day| (day * 86_400, (day + 1) * 86_400)).collect();
        assert_eq!(seen, expected);
        let exact = window("start_time=0&end_time=259200&limit=3");
        assert_eq!(
            exact.ok().and_then(|window| window.next_page()),
            None,
            "a page that ends with the range is the last"
        );
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
    }
}
