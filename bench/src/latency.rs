//! Latencies of one run: every one is kept, so percentiles are exact.

use std::time::Duration;

use serde_json::{Value, json};

/// The samples of a run, at most some hundred thousand.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    samples: Vec<Duration>,
}

impl Latencies {
    pub(crate) fn record(&mut self, sample: Duration) {
        self.samples.push(sample);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.samples.extend(other.samples);
    }

    /// The nearest-rank percentile in milliseconds; `None` without samples. `share` lies in 0..=1.
    pub(crate) fn percentile_ms(&mut self, share: f64) -> Option<f64> {
        let last = self.samples.len().checked_sub(1)?;
        self.samples.sort_unstable();
        let rank = (share * self.samples.len() as f64).ceil() as usize;
        Some(self.samples[rank.saturating_sub(1).min(last)].as_secs_f64() * 1e3)
    }

    /// p50, p90, p99 and the largest, in milliseconds.
    pub(crate) fn summary(&mut self) -> Value {
        json!({
            "p50_ms": self.percentile_ms(0.50),
            "p90_ms": self.percentile_ms(0.90),
            "p99_ms": self.percentile_ms(0.99),
            "max_ms": self.percentile_ms(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    #[test]
    fn percentiles_are_nearest_rank_over_all_samples() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile_ms(0.5), None);
        for milliseconds in (1..=100).rev() {
            latencies.record(Duration::from_millis(milliseconds));
        }
        assert_eq!(latencies.percentile_ms(0.50), Some(50.0));
        assert_eq!(latencies.percentile_ms(0.99), Some(99.0));
        assert_eq!(latencies.percentile_ms(1.0), Some(100.0));
    }
}
