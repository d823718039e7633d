//! Requests that were admitted and have not settled, counted by key.
//!
//! Only confirmations ask: what was admitted before a revocation finishes, and whoever revokes is told how much that is.

use claviger_domain::id::{IdMap, KeyId};
use parking_lot::Mutex;
use std::sync::Arc;

const SHARDS: usize = 16;

/// The counts. A clone is the same counts.
#[derive(Clone)]
pub(crate) struct Running(Arc<[Mutex<IdMap<KeyId, u64>>]>);

/// One admitted request; dropping it ends it.
pub(crate) struct RunningRequest {
    all: Running,
    key: KeyId,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Counts a request in.
    pub(crate) fn begin(&self, key: KeyId) -> RunningRequest {
        if let Some(shard) = self.shard(key) {
            let mut shard = shard.lock();
            let count = shard.entry(key).or_default();
            *count = count.saturating_add(1);
        }
        RunningRequest { all: self.clone(), key }
    }

    /// How many of a key run.
    pub(crate) fn count(&self, key: KeyId) -> u64 {
        self.shard(key).and_then(|shard| shard.lock().get(&key).copied()).unwrap_or(0)
    }

    fn shard(&self, key: KeyId) -> Option<&Mutex<IdMap<KeyId, u64>>> {
        let [.., last] = key.symbols();
        self.0.get(usize::from(*last).checked_rem(SHARDS)?)
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let Some(shard) = self.all.shard(self.key) else { return };
        let mut shard = shard.lock();
        if let Some(count) = shard.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                shard.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_until_it_is_dropped() {
        let running = Running::new();
        let key = KeyId::from_symbols(b"00000000000a").unwrap();
        let first = running.begin(key);
        let second = running.begin(key);
        assert_eq!(running.count(key), 2);
        drop(first);
        assert_eq!(running.count(key), 1);
        drop(second);
        assert_eq!(running.count(key), 0);
    }
}
