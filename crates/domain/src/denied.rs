//! Denied attempts of either plane: counted a minute and code, shown a few a second, never in the audit chain.
//!
//! Pure. A flood of attempts must not be able to stop administration, so nothing is written while a request waits: whoever
//! holds these counts writes one row a minute and code, with how many attempts came from how many networks.

use crate::error::Code;
use crate::limits;
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// What was denied in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedMinute {
    /// Its beginning.
    pub minute: Timestamp,
    /// The public error.
    pub code: String,
    /// How often.
    pub attempts: u64,
    /// From how many networks; over several nodes, at most.
    pub networks: u64,
    /// The first operation that was tried.
    pub sample: String,
}

/// What was counted and not yet written.
#[derive(Debug, Default)]
pub struct DeniedAttempts {
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

impl DeniedAttempts {
    /// Whether a refusal denies somebody something.
    pub const fn is_denial(code: Code) -> bool {
        matches!(code.status(), 401 | 403)
    }

    /// One attempt. `Some` = it is to be shown in the log, with how many were not since the last one.
    pub fn note(&mut self, at: Timestamp, code: Code, from: Option<IpAddr>, operation: &str) -> Option<u64> {
        let minute = at.seconds().div_euclid(60);
        if self.minutes.len() < limits::DENIED_ROWS || self.minutes.contains_key(&(minute, code.text())) {
            let count = self.minutes.entry((minute, code.text())).or_default();
            count.attempts = count.attempts.saturating_add(1);
            if let Some(address) = from.filter(|_| count.networks.len() < limits::DENIED_NETWORKS) {
                count.networks.insert(network(address));
            }
            if count.sample.is_empty() {
                operation.clone_into(&mut count.sample);
            }
        }
        if self.second != at.seconds() {
            (self.second, self.shown) = (at.seconds(), 0);
        }
        if self.shown >= limits::DENIED_LINES {
            self.hidden = self.hidden.saturating_add(1);
            return None;
        }
        self.shown = self.shown.saturating_add(1);
        Some(std::mem::take(&mut self.hidden))
    }

    /// The minutes that have passed.
    pub fn passed(&mut self, at: Timestamp) -> Vec<DeniedMinute> {
        let rest = self.minutes.split_off(&(at.seconds().div_euclid(60), ""));
        rows(std::mem::replace(&mut self.minutes, rest))
    }

    /// Everything, the running minute included: whoever counts ends.
    pub fn rest(&mut self) -> Vec<DeniedMinute> {
        rows(std::mem::take(&mut self.minutes))
    }
}

fn rows(minutes: BTreeMap<(i64, &'static str), Count>) -> Vec<DeniedMinute> {
    let row = |((minute, code), count): ((i64, &'static str), Count)| DeniedMinute {
        minute: Timestamp::from_seconds(minute.saturating_mul(60)),
        code: code.to_owned(),
        attempts: count.attempts,
        networks: u64::try_from(count.networks.len()).unwrap_or(u64::MAX),
        sample: count.sample,
    };
    minutes.into_iter().map(row).collect()
}

/// /24 of IPv4, /48 of IPv6: a network, not a person.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (u64::MAX << 48) | u64::try_from(v6.to_bits() >> 80).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_flood_is_counted_in_one_row_and_shown_in_a_few_lines() {
        let mut denied = DeniedAttempts::default();
        let at = Timestamp::from_seconds(600);
        let from = |n: u32| Some(IpAddr::from(Ipv4Addr::from_bits((n % 5000) << 8)));
        let shown =
            (0..100_000_u32).filter(|n| denied.note(at, Code::InvalidApiKey, from(*n), "keys.list").is_some()).count();
        assert_eq!(shown, usize::try_from(limits::DENIED_LINES).unwrap());
        assert_eq!(denied.passed(at), vec![], "the minute still runs");
        let rows = denied.passed(Timestamp::from_seconds(660));
        assert_eq!((rows.len(), rows[0].attempts), (1, 100_000));
        assert_eq!(rows[0].networks, u64::try_from(limits::DENIED_NETWORKS).unwrap());
        assert_eq!(denied.passed(Timestamp::from_seconds(9999)), vec![]);
    }

    #[test]
    fn what_hides_is_told_with_the_next_line_and_the_rest_at_the_end() {
        let mut denied = DeniedAttempts::default();
        let at = Timestamp::from_seconds(600);
        for _ in 0..limits::DENIED_LINES + 3 {
            denied.note(at, Code::IpNotAllowed, None, "chat.completions");
        }
        let next = denied.note(Timestamp::from_seconds(601), Code::IpNotAllowed, None, "chat.completions");
        assert_eq!(next, Some(3));
        assert_eq!(denied.rest().len(), 1);
        assert_eq!(denied.rest(), vec![]);
    }

    #[test]
    fn only_401_and_403_deny_somebody() {
        let denials = [Code::InvalidApiKey, Code::ModelNotAllowed, Code::OrganizationSuspended];
        assert!(denials.into_iter().all(DeniedAttempts::is_denial));
        assert!(![Code::NotFound, Code::InsufficientQuota].into_iter().any(DeniedAttempts::is_denial));
    }
}
