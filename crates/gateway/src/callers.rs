//! Who calls with which secret, counted in memory and written behind: bounded, and never a write per request.
//!
//! A request notes itself when its key is known and tells model and status at its end. What a batch cannot write is
//! counted on; beyond the bound callers go unseen until the next batch, requests never wait. Of what came, each batch
//! also tells which keys were refused too much of it in the last hour.

use crate::authenticated::Caller;
use crate::node::Node;
use claviger_domain::error::Code;
use claviger_domain::id::{IdMap, KeyId, SecretId};
use claviger_domain::key::{HourLoad, Network, client_of};
use claviger_domain::limits;
use claviger_domain::time::Timestamp;
use claviger_storage::CallerUse;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};

const SHARDS: usize = 16;

type Shard = Mutex<IdMap<SecretId, Vec<Arc<CallerCount>>>>;

/// The callers of this node.
#[derive(Debug)]
pub(crate) struct Callers {
    shards: [Shard; SHARDS],
    known: AtomicUsize,
    /// By key: what came in the last hour, and when it was last told that too much of it was refused.
    loads: Mutex<IdMap<KeyId, (HourLoad, Option<Timestamp>)>>,
}

/// One caller since the last batch.
#[derive(Debug)]
pub(crate) struct CallerCount {
    key: KeyId,
    secret: SecretId,
    network: Network,
    client: Box<str>,
    requests: AtomicU32,
    limited: AtomicU32,
    last_seen: AtomicI64,
    last: Mutex<Option<(Box<str>, u16)>>,
    is_dirty: AtomicBool,
}

/// What one batch has to write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    uses: Vec<(Arc<CallerCount>, CallerUse)>,
    limited: Vec<KeyId>,
}

impl CallerCount {
    /// How the request ended.
    pub(crate) fn ended(&self, model: &str, status: u16, code: Option<Code>) {
        if code == Some(Code::RateLimitExceeded) {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        let mut last = self.last.lock();
        match &mut *last {
            Some((known, last_status)) if **known == *model => *last_status = status,
            other => *other = Some((model.into(), status)),
        }
        drop(last);
        self.is_dirty.store(true, Ordering::Release);
    }

    fn take(&self) -> CallerUse {
        let last = self.last.lock().clone();
        CallerUse {
            key: self.key,
            secret: self.secret,
            network: self.network.to_string(),
            client: self.client.to_string(),
            requests: u64::from(self.requests.swap(0, Ordering::Relaxed)),
            at: Timestamp(self.last_seen.load(Ordering::Relaxed)),
            last_model: last.as_ref().map(|(model, _)| model.to_string()).filter(|model| !model.is_empty()),
            last_status: last.map(|(_, status)| status),
        }
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()), known: AtomicUsize::new(0), loads: Mutex::default() }
    }
}

impl Callers {
    /// Notes a request; `None` = there is no room for another caller before the next batch.
    pub(crate) fn seen(
        &self,
        caller: &Caller,
        address: IpAddr,
        headers: &HeaderMap,
        at: Timestamp,
    ) -> Option<Arc<CallerCount>> {
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.note((caller.key.id, caller.secret), Network::of(address), client_of(agent), at)
    }

    fn note(
        &self,
        (key, secret): (KeyId, SecretId),
        network: Network,
        client: &str,
        at: Timestamp,
    ) -> Option<Arc<CallerCount>> {
        let mut shard = self.shard(secret)?.lock();
        let known = shard.entry(secret).or_default();
        let count = match known.iter().find(|count| count.network == network && *count.client == *client) {
            Some(count) => Arc::clone(count),
            None if self.known.load(Ordering::Relaxed) >= limits::CALLERS_IN_MEMORY => return None,
            // More than that are not kept of a secret anyway.
            None if known.len() >= usize::try_from(limits::CALLERS_PER_SECRET).unwrap_or(usize::MAX) => return None,
            None => {
                self.known.fetch_add(1, Ordering::Relaxed);
                let count = Arc::new(CallerCount {
                    key,
                    secret,
                    network,
                    client: client.into(),
                    requests: AtomicU32::new(0),
                    limited: AtomicU32::new(0),
                    last_seen: AtomicI64::new(0),
                    last: Mutex::new(None),
                    is_dirty: AtomicBool::new(false),
                });
                known.push(Arc::clone(&count));
                count
            }
        };
        drop(shard);
        count.requests.fetch_add(1, Ordering::Relaxed);
        count.last_seen.fetch_max(at.0, Ordering::Relaxed);
        count.is_dirty.store(true, Ordering::Release);
        Some(count)
    }

    /// What is to be written. Callers that were quiet since the last batch are forgotten here; the store has them.
    fn take(&self, now: Timestamp) -> Batch {
        let mut batch = Batch::default();
        let mut loads = self.loads.lock();
        for shard in &self.shards {
            shard.lock().retain(|_, counts| {
                counts.retain(|count| {
                    if count.is_dirty.swap(false, Ordering::AcqRel) {
                        let used = count.take();
                        let limited = count.limited.swap(0, Ordering::Relaxed);
                        if loads.contains_key(&count.key) || loads.len() < limits::RATE_LIMITED_KEYS {
                            let requests = u32::try_from(used.requests).unwrap_or(u32::MAX);
                            loads.entry(count.key).or_default().0.add(requests, limited, now);
                        }
                        batch.uses.push((Arc::clone(count), used));
                        return true;
                    }
                    // A running request still has something to tell.
                    let is_held = Arc::strong_count(count) > 1;
                    if !is_held {
                        self.known.fetch_sub(1, Ordering::Relaxed);
                    }
                    is_held
                });
                !counts.is_empty()
            });
        }
        loads.retain(|key, (load, told)| {
            let is_told = told.is_some_and(|at| now < at.plus(limits::RATE_LIMITED_AGAIN));
            if !is_told && load.is_limited(now) {
                *told = Some(now);
                batch.limited.push(*key);
            }
            !load.is_empty(now)
        });
        batch
    }

    fn shard(&self, secret: SecretId) -> Option<&Shard> {
        // The last bits of an id are random.
        self.shards.get(usize::try_from(secret.to_u128() & 0xF).unwrap_or(0))
    }
}

impl Node {
    /// Writes who called since the last batch, and whom the limits refuse too much.
    pub(crate) async fn write_callers(&self) {
        let now = self.wall();
        let batch = self.callers.take(now);
        if !batch.uses.is_empty() {
            let uses = batch.uses.iter().map(|(_, used)| used.clone()).collect();
            match self.store.add_callers(uses).await {
                Ok(strangers) => log_strangers(&strangers),
                Err(error) => {
                    tracing::warn!(%error, "callers could not be written; they are counted on");
                    for (count, used) in batch.uses {
                        count.requests.fetch_add(u32::try_from(used.requests).unwrap_or(0), Ordering::Relaxed);
                        count.is_dirty.store(true, Ordering::Release);
                    }
                }
            }
        }
        if !batch.limited.is_empty()
            && let Err(error) = self.store.stamp_rate_limited(batch.limited, now).await
        {
            tracing::warn!(%error, "keys that their limits refuse too much could not be marked; they are in a minute");
        }
    }
}

/// A key that somebody new uses may be known to somebody who should not have it. Whoever has a key can look like many
/// clients, so a batch shows a few.
fn log_strangers(strangers: &[CallerUse]) {
    let shown = usize::try_from(limits::DENIED_LINES).unwrap_or(usize::MAX);
    for CallerUse { key, network, client, .. } in strangers.iter().take(shown) {
        tracing::warn!(target: "claviger::security", %key, network, client, "a key was used by a new caller");
    }
    let hidden = strangers.len().saturating_sub(shown);
    if hidden > 0 {
        tracing::warn!(target: "claviger::security", hidden, "keys were used by more new callers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn ids(number: u128) -> (KeyId, SecretId) {
        (KeyId::ZEROS, SecretId::from_u128(number))
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn callers_are_counted_by_secret_network_and_client_and_taken_once() {
        let callers = Callers::default();
        for (secret, address, client) in
            [(1, "192.0.2.1", "curl/8"), (1, "192.0.2.77", "curl/8"), (1, "192.0.2.1", "x"), (2, "192.0.2.1", "curl/8")]
        {
            callers.note(ids(secret), network(address), client, NOW).unwrap().ended("m", 200, None);
        }
        let batch = callers.take(NOW);
        let mut counted: Vec<_> =
            batch.uses.iter().map(|(_, used)| (used.secret.to_u128(), used.client.as_str(), used.requests)).collect();
        counted.sort_unstable();
        assert_eq!(counted, [(1, "curl/8", 2), (1, "x", 1), (2, "curl/8", 1)]);
        assert_eq!(batch.uses[0].1.last_status, Some(200));
        drop(batch);
        assert!(callers.take(NOW).uses.is_empty());
        assert_eq!(callers.known.load(Ordering::Relaxed), 0, "the quiet ones are forgotten");
    }

    #[test]
    fn a_running_request_tells_its_end_in_a_later_batch() {
        let callers = Callers::default();
        let running = callers.note(ids(1), network("192.0.2.1"), "", NOW).unwrap();
        drop(callers.take(NOW));
        drop(callers.take(NOW));
        running.ended("m", 503, None);
        drop(running);
        let batch = callers.take(NOW);
        let told = &batch.uses[0].1;
        assert_eq!((told.requests, told.last_status, told.last_model.as_deref()), (0, Some(503), Some("m")));
    }

    #[test]
    fn a_secret_has_no_more_callers_than_are_kept() {
        let callers = Callers::default();
        let more = |number: u32| callers.note(ids(1), network("192.0.2.1"), &number.to_string(), NOW);
        assert!((0..limits::CALLERS_PER_SECRET).all(|number| more(number).is_some()));
        assert!(more(limits::CALLERS_PER_SECRET).is_none() && more(0).is_some());
    }

    #[test]
    fn keys_whose_limits_refuse_too_much_are_told_once_a_minute() {
        let callers = Callers::default();
        let ask = |code| callers.note(ids(1), network("192.0.2.1"), "", NOW).unwrap().ended("m", 429, code);
        (0..99).for_each(|_| ask(None));
        assert!(callers.take(NOW).limited.is_empty());
        (0..2).for_each(|_| ask(Some(Code::RateLimitExceeded)));
        assert_eq!(callers.take(NOW).limited, [KeyId::ZEROS]);
        assert!(callers.take(NOW.plus(std::time::Duration::from_secs(59))).limited.is_empty());
        assert_eq!(callers.take(NOW.plus(std::time::Duration::from_secs(60))).limited, [KeyId::ZEROS]);
        assert!(callers.take(NOW.plus(std::time::Duration::from_secs(3 * 3600))).limited.is_empty());
    }
}
