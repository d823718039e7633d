//! What a gateway's disk took to make charges durable, read from the gateway's own histogram before and behind a load.

use std::net::SocketAddrV4;

use anyhow::{Context, ensure};

use super::http::Client;

const HISTOGRAM: &str = "claviger_journal_sync_seconds";

/// What the histogram had counted at one time: upper bounds in milliseconds, each with the syncs that took no longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Syncs {
    buckets: Vec<(f64, f64)>,
}

impl Syncs {
    /// Reads the private listener's metrics.
    pub(crate) fn read(private_listen: SocketAddrV4) -> anyhow::Result<Self> {
        let (status, text) = Client::connect(private_listen)?.call("GET", "/metrics", "", "")?;
        ensure!(status == 200, "the metrics answered {status}");
        Self::parse(std::str::from_utf8(&text)?)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let begin = format!("{HISTOGRAM}_bucket{{le=\"");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&begin)?.split_once("\"} "));
        let bucket = |(bound, count): (&str, &str)| -> anyhow::Result<(f64, f64)> {
            let seconds: f64 = bound.replace("+Inf", "inf").parse()?;
            Ok((seconds * 1000.0, count.parse()?))
        };
        let buckets = lines.map(bucket).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!buckets.is_empty(), "the metrics have no {HISTOGRAM}");
        Ok(Self { buckets })
    }

    /// The median of the syncs since `before`, milliseconds; within a bucket they are taken to lie evenly. `None` when
    /// there were none.
    pub(crate) fn median_since(&self, before: &Self) -> anyhow::Result<Option<f64>> {
        let pairs = self.buckets.iter().zip(&before.buckets);
        let since: Vec<(f64, f64)> = pairs.map(|((bound, now), (_, then))| (*bound, now - then)).collect();
        let half = since.last().context("a histogram without buckets")?.1 / 2.0;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in since {
            if half > 0.0 && count >= half {
                return Ok(Some(low + (bound - low) * (half - below) / (count - below)));
            }
            (low, below) = (bound, count);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counts: [u32; 3]) -> String {
        let [first, second, all] = counts;
        format!(
            "# TYPE {HISTOGRAM} histogram\n{HISTOGRAM}_bucket{{le=\"0.000200\"}} {first}\n\
             {HISTOGRAM}_bucket{{le=\"0.000300\"}} {second}\n{HISTOGRAM}_bucket{{le=\"+Inf\"}} {all}\n\
             {HISTOGRAM}_sum 1.0\n{HISTOGRAM}_count {all}\n"
        )
    }

    #[test]
    fn the_median_is_of_what_came_between_two_readings() {
        let before = Syncs::parse(&text([900, 1000, 1000])).unwrap();
        let after = Syncs::parse(&text([910, 1100, 1100])).unwrap();
        let median = after.median_since(&before).unwrap().unwrap();
        assert!((median - 0.2444).abs() < 0.001, "{median}");
        assert_eq!(before.median_since(&before).unwrap(), None);
        assert!(Syncs::parse("claviger_keys 1\n").is_err());
    }
}
