//! Denied attempts: counted a minute and code, shown a few a second, never in the audit chain.
//!
//! A flood of them must not be able to stop administration, so nothing here writes while a request waits: a job writes one
//! row a minute and code, with how many attempts came from how many networks.

use crate::serve::{Control, Origin};
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_domain::time::{Now, Timestamp};
use claviger_storage as storage;
use claviger_storage::SecurityMinute;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// What was counted and not yet written.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    minutes: BTreeMap<(i64, &'static str), Count>,
    second: i64,
    shown: u32,
    hidden: u64,
}

#[derive(Debug, Default)]
struct Count {
    attempts: u64,
    networks: HashSet<u64>,
    sample: String,
}

impl Denied {
    /// One attempt; whether it is to be shown in the log.
    fn note(&mut self, at: Timestamp, code: Code, network: Option<u64>, operation: &str) -> Option<u64> {
        let minute = at.seconds().div_euclid(60);
        if self.minutes.len() < limits::DENIED_ROWS || self.minutes.contains_key(&(minute, code.text())) {
            let count = self.minutes.entry((minute, code.text())).or_default();
            count.attempts += 1;
            if let Some(network) = network.filter(|_| count.networks.len() < limits::DENIED_NETWORKS) {
                count.networks.insert(network);
            }
            if count.sample.is_empty() {
                count.sample = operation.to_owned();
            }
        }
        if self.second != at.seconds() {
            (self.second, self.shown) = (at.seconds(), 0);
        }
        if self.shown >= limits::DENIED_LINES {
            self.hidden += 1;
            return None;
        }
        self.shown += 1;
        Some(std::mem::take(&mut self.hidden))
    }

    /// The minutes that have passed.
    fn passed(&mut self, at: Timestamp) -> Vec<SecurityMinute> {
        let minute = at.seconds().div_euclid(60);
        let rest = self.minutes.split_off(&(minute, ""));
        let passed = std::mem::replace(&mut self.minutes, rest);
        let row = |((minute, code), count): ((i64, &'static str), Count)| SecurityMinute {
            minute: Timestamp::from_seconds(minute * 60),
            code: code.to_owned(),
            attempts: count.attempts,
            networks: u64::try_from(count.networks.len()).unwrap_or(u64::MAX),
            sample: count.sample,
        };
        passed.into_iter().map(row).collect()
    }
}

/// Counts a refusal of the management plane, if it denied somebody.
pub(crate) fn note(control: &Control, origin: Origin, code: Code, operation: &str, now: Now) {
    if !matches!(code.status(), 401 | 403) {
        return;
    }
    let network = match origin {
        Origin::Network { address } => Some(network(address.ip())),
        Origin::LocalOperator => None,
    };
    let shown = control.audit().state.denied.lock().note(now.wall, code, network, operation);
    if let Some(hidden) = shown {
        tracing::warn!(target: "claviger::security", code = code.text(), operation, hidden, "an attempt was denied");
    }
}

/// /24 of IPv4, /48 of IPv6: a network, not a person.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (u64::MAX << 48) | u64::try_from(v6.to_bits() >> 80).unwrap_or_default(),
    }
}

/// Writes the minutes that have passed. What cannot be written is counted on, within the bound.
pub(crate) async fn reconcile(control: &Control, now: Now) -> Result<u64, storage::Error> {
    let rows = control.audit().state.denied.lock().passed(now.wall);
    if rows.is_empty() {
        return Ok(0);
    }
    control.store().save_security_minutes(&rows).await?;
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_in_one_row_and_shown_in_a_few_lines() {
        let mut denied = Denied::default();
        let at = Timestamp::from_seconds(600);
        let shown =
            (0..100_000_u64).filter(|n| denied.note(at, Code::InvalidApiKey, Some(n % 5000), "keys.list").is_some());
        assert_eq!(shown.count(), usize::try_from(limits::DENIED_LINES).expect("small"));
        assert_eq!(denied.passed(at), vec![], "the minute still runs");
        let rows = denied.passed(Timestamp::from_seconds(660));
        assert_eq!((rows.len(), rows[0].attempts), (1, 100_000));
        assert_eq!(rows[0].networks, u64::try_from(limits::DENIED_NETWORKS).expect("small"));
        assert_eq!(denied.passed(Timestamp::from_seconds(9999)), vec![]);
    }
}
