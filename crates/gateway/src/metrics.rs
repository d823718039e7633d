//! Counters with closed label sets: operations, codes, statuses; never a key, a tag or a user's text.

use crate::node::Node;
use claviger_domain::endpoint::Operation;
use claviger_domain::error::Code;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The counters of a node.
pub(crate) struct Metrics {
    by_operation: [AtomicU64; Operation::ALL.len()],
    by_code: [AtomicU64; Code::ALL.len()],
    pub(crate) streams_open: AtomicI64,
    pub(crate) connections: AtomicI64,
    pub(crate) charged_nanos: AtomicI64,
    pub(crate) absorbed_nanos: AtomicI64,
    pub(crate) holds_open: AtomicI64,
    pub(crate) upstream_calls: AtomicU64,
    pub(crate) records_lost: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            by_operation: std::array::from_fn(|_| AtomicU64::new(0)),
            by_code: std::array::from_fn(|_| AtomicU64::new(0)),
            streams_open: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            charged_nanos: AtomicI64::new(0),
            absorbed_nanos: AtomicI64::new(0),
            holds_open: AtomicI64::new(0),
            upstream_calls: AtomicU64::new(0),
            records_lost: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    pub(crate) fn request_ended(&self, operation: Option<Operation>, code: Option<Code>) {
        if let Some(counter) = operation.and_then(|operation| self.by_operation.get(operation as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(counter) = code.and_then(|code| self.by_code.get(code as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Prometheus' text format. Writing to a String cannot fail.
    pub(crate) fn text(&self, node: &Node) -> String {
        let mut text = String::new();
        text.push_str("# TYPE claviger_requests_total counter\n");
        for (operation, counter) in Operation::ALL.iter().zip(&self.by_operation) {
            let _ = writeln!(
                text,
                "claviger_requests_total{{endpoint=\"{}\"}} {}",
                operation.name(),
                counter.load(Ordering::Relaxed)
            );
        }
        text.push_str("# TYPE claviger_refusals_total counter\n");
        for (code, counter) in Code::ALL.iter().zip(&self.by_code) {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                let _ = writeln!(text, "claviger_refusals_total{{reason=\"{}\"}} {count}", code.text());
            }
        }
        // A day stands for ever: where nothing has to be renewed.
        let fresh = node.snapshot.fresh_for(node.now().monotonic).min(std::time::Duration::from_secs(24 * 3600));
        let fresh_ms = i64::try_from(fresh.as_millis()).unwrap_or(i64::MAX);
        let gauges = [
            ("claviger_streams_open", self.streams_open.load(Ordering::Relaxed)),
            ("claviger_connections", self.connections.load(Ordering::Relaxed)),
            ("claviger_holds_open", self.holds_open.load(Ordering::Relaxed)),
            ("claviger_holds_nanos", node.wallets.held().0),
            ("claviger_leased_nanos", node.wallets.leased().0),
            ("claviger_rights_fresh_milliseconds", fresh_ms),
            ("claviger_epoch", node.snapshot.epoch().0),
            ("claviger_keys", i64::try_from(node.snapshot.keys.count()).unwrap_or(i64::MAX)),
        ];
        for (name, value) in gauges {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
        }
        let counters = [
            ("claviger_charged_nanos_total", self.charged_nanos.load(Ordering::Relaxed)),
            ("claviger_absorbed_nanos_total", self.absorbed_nanos.load(Ordering::Relaxed)),
            (
                "claviger_upstream_calls_total",
                i64::try_from(self.upstream_calls.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
            ),
            (
                "claviger_telemetry_dropped_total",
                i64::try_from(self.records_lost.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
            ),
        ];
        for (name, value) in counters {
            let _ = writeln!(text, "# TYPE {name} counter\n{name} {value}");
        }
        sync_metrics(&mut text, node);
        provider_metrics(&mut text, node);
        text
    }
}

/// How long the journal's disk took to make charges durable, where there is a journal.
fn sync_metrics(text: &mut String, node: &Node) {
    let Some(reading) = node.charges.sync_times() else { return };
    let name = "claviger_journal_sync_seconds";
    let _ = writeln!(text, "# TYPE {name} histogram");
    for (bound, count) in &reading.buckets {
        let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {count}", seconds(*bound, 6));
    }
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", reading.count);
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {}", seconds(reading.nanos, 9), reading.count);
}

/// A count of 10^-`digits` seconds as seconds; without floats, so that nothing is rounded.
fn seconds(count: u64, digits: usize) -> String {
    let text = format!("{count:0>width$}", width = digits.saturating_add(1));
    let (whole, part) = text.split_at_checked(text.len().saturating_sub(digits)).unwrap_or((&text, ""));
    format!("{whole}.{part}")
}

/// What this node knows of its providers: names of configuration, no text of a user.
fn provider_metrics(text: &mut String, node: &Node) {
    let readings = node.health.reading(node.monotonic());
    text.push_str("# TYPE claviger_provider_requests_total counter\n");
    for reading in &readings {
        for (outcome, count) in [("answered", reading.answered), ("failed", reading.failed)] {
            let name = &reading.name;
            let _ =
                writeln!(text, "claviger_provider_requests_total{{provider=\"{name}\",outcome=\"{outcome}\"}} {count}");
        }
    }
    text.push_str("# TYPE claviger_provider_open gauge\n");
    for reading in &readings {
        let _ = writeln!(text, "claviger_provider_open{{provider=\"{}\"}} {}", reading.name, u8::from(reading.is_open));
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn seconds_are_written_to_the_last_digit() {
        assert_eq!(seconds(50, 6), "0.000050");
        assert_eq!(seconds(1_000_000, 6), "1.000000");
        assert_eq!(seconds(12_345_678_901, 9), "12.345678901");
        assert_eq!(seconds(0, 9), "0.000000000");
    }
}
