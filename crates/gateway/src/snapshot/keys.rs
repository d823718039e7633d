//! The key table: id → entry, sharded, replaced entry by entry.
//!
//! Equal work for an unknown id and a wrong secret: a miss computes the digest all the same and compares it with a
//! dummy (`keys.md` §2.1 step 4).

use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, SecretId};
use claviger_domain::key::{Class, Key, KeyState, RevocationReason, StoredState};
use claviger_domain::secret::{Digest, Pepper};
use claviger_domain::tenancy::OrganizationState;
use claviger_domain::time::Timestamp;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const SHARDS: usize = 64;

/// What is known of an organization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: OrganizationId,
    pub(crate) state: OrganizationState,
}

/// One key with its live secret. Replaced whole when the key changes; only the last use moves in place.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    pub(crate) id: KeyId,
    pub(crate) organization: OrganizationId,
    pub(crate) environment: EnvironmentId,
    pub(crate) secret: SecretId,
    pub(crate) name: Box<str>,
    pub(crate) source_tag: Option<Box<str>>,
    pub(crate) class: Class,
    pub(crate) is_test: bool,
    state: StoredState,
    pub(crate) expires_at: Option<Timestamp>,
    digest: Digest,
    pepper_version: u16,
    last_use: AtomicI64,
    /// Set when the key leaked; shared by all versions of the entry, since streams keep the one they came with.
    is_cut: Arc<AtomicBool>,
}

impl KeyEntry {
    fn of(key: Key) -> Self {
        Self {
            id: key.id,
            organization: key.organization,
            environment: key.environment,
            secret: key.secret.id,
            name: key.name.into_boxed_str(),
            source_tag: key.source_tag.map(String::into_boxed_str),
            class: key.class,
            is_test: key.is_test,
            state: key.state,
            expires_at: key.expires_at,
            digest: key.secret.digest,
            pepper_version: key.secret.pepper_version,
            last_use: AtomicI64::new(key.last_used_at.map_or(0, |at| at.0)),
            is_cut: Arc::default(),
        }
    }

    /// The state at `now`.
    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        self.state.at(now, self.expires_at)
    }

    const fn is_compromised(&self) -> bool {
        matches!(self.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. })
    }

    /// Whether streams of this key are to be cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Stamps a use.
    pub(crate) fn used(&self, at: Timestamp) {
        self.last_use.fetch_max(at.0, Ordering::Relaxed);
    }
}

/// The table.
pub(crate) struct Keys {
    shards: Vec<RwLock<HashMap<KeyId, Arc<KeyEntry>>>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }
}

impl Keys {
    /// Puts a key in, or its newer version in its place.
    pub(crate) fn learn(&self, key: Key) {
        let mut entry = KeyEntry::of(key);
        let Some(shard) = self.shard(&entry.id) else { return };
        let mut shard = shard.write();
        if let Some(former) = shard.get(&entry.id) {
            entry.last_use.fetch_max(former.last_use.load(Ordering::Relaxed), Ordering::Relaxed);
            entry.is_cut = Arc::clone(&former.is_cut);
            entry.is_cut.store(entry.is_compromised(), Ordering::Relaxed);
        }
        shard.insert(entry.id, Arc::new(entry));
    }

    /// The entry of an id.
    pub(crate) fn find(&self, id: KeyId) -> Option<Arc<KeyEntry>> {
        self.shard(&id)?.read().get(&id).cloned()
    }

    /// The entry whose live secret is `text`; unknown id and wrong secret take the same path.
    pub(crate) fn find_presented(&self, id: KeyId, text: &[u8], peppers: &[Pepper]) -> Option<Arc<KeyEntry>> {
        const DUMMY: Digest = Digest::from_bytes([0; 32]);
        let entry = self.find(id);
        let newest = peppers.last()?;
        let version = entry.as_ref().map_or(newest.version, |entry| entry.pepper_version);
        let pepper = peppers.iter().find(|pepper| pepper.version == version).unwrap_or(newest);
        let presented = pepper.digest(text);
        let stored = entry.as_ref().map_or(&DUMMY, |entry| &entry.digest);
        let is_match = stored.matches(&presented);
        entry.filter(|_| is_match)
    }

    /// Keys used since `since`, with the time of their last use.
    pub(crate) fn used_since(&self, since: Timestamp) -> Vec<(KeyId, Timestamp)> {
        let mut used = Vec::new();
        for shard in &self.shards {
            used.extend(shard.read().values().filter_map(|entry| {
                let last = entry.last_use.load(Ordering::Relaxed);
                (last > since.0).then_some((entry.id, Timestamp(last)))
            }));
        }
        used
    }

    /// How many keys are known.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).fold(0, usize::saturating_add)
    }

    fn shard(&self, id: &KeyId) -> Option<&RwLock<HashMap<KeyId, Arc<KeyEntry>>>> {
        // Ids are random base62 symbols: the low six bits of one spread well enough over 64 shards.
        let [first, second, ..] = id.symbols();
        self.shards.get(usize::from(first ^ second.rotate_left(3)).checked_rem(SHARDS)?)
    }
}
