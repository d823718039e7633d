//! The key table: id → entry, sharded, replaced entry by entry.
//!
//! Equal work for an unknown id and a wrong secret (`keys.md` §2.1 step 4): the digest is computed under every pepper; an
//! id that is not here is given somebody else's entry, always the same one, so that the way through memory is as long; and
//! as many comparisons are made as a key with every secret it may have would need.

use super::entry::{EntrySecret, KeyEntry, Shared};
use super::shard::Shard;
use claviger_domain::id::{IdHasher, KeyId, OrganizationId, SecretId};
use claviger_domain::key::{Key, Policy, Recipe, StoredState};
use claviger_domain::secret::{Digest, Pepper};
use claviger_domain::time::Timestamp;
use claviger_storage::SecretUse;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Few, because an unknown id is looked for in every shard equally often, and a known one in the fuller ones more often:
/// the more entries a shard has, the less it differs from the next.
const SHARDS: usize = 16;
/// The part of a hash that chooses one of them.
const SHARD_BITS: u64 = 15;

/// Comparisons of every look-up by id: three live secrets, and the one that ended last.
const COMPARISONS: usize = 4;

/// A key got another policy.
pub(crate) struct PolicyChange {
    pub(crate) former: Arc<Policy>,
    pub(crate) policy: Arc<Policy>,
}

/// A presented text that matched: the key, and which of its secrets.
#[derive(Clone, Debug)]
pub(crate) struct Presented {
    pub(crate) key: Arc<KeyEntry>,
    pub(crate) secret: SecretId,
}

/// The table.
pub(crate) struct Keys {
    shards: Vec<RwLock<Shard>>,
    hasher: BuildHasherDefault<IdHasher>,
    shared: Shared,
    /// Secrets made elsewhere, by their digest; empty on most instances.
    foreign: RwLock<HashMap<[u8; 32], KeyId>>,
    /// Counts keys and secrets that leaked: a stream looks at its own key again only when this has moved.
    leaks: AtomicU64,
    /// Whose last uses wait to be written.
    dirty: Mutex<Vec<(KeyId, SecretId)>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: BuildHasherDefault::default(),
            shared: Shared::default(),
            foreign: RwLock::default(),
            leaks: AtomicU64::new(0),
            dirty: Mutex::default(),
        }
    }
}

impl Keys {
    /// Puts a key in, or its newer version in its place; its former policy, if it had another.
    pub(crate) fn learn(&self, key: Key) -> Option<PolicyChange> {
        let foreign: Vec<[u8; 32]> = key
            .secrets
            .iter()
            .filter(|secret| secret.recipe == Recipe::Sha256)
            .map(|secret| *secret.digest.as_bytes())
            .collect();
        let id = key.id;
        let entry = KeyEntry::of(key, &self.shared)?;
        let hash = self.hasher.hash_one(id);
        let shard = self.shard(hash)?;
        let mut change = None;
        let is_leak = entry.has_compromised();
        {
            let mut shard = shard.write();
            if let Some(known) = shard.find(hash, id) {
                for secret in entry.secrets() {
                    if let Some(former) = known.secrets().find(|former| former.id() == secret.id()) {
                        secret.keep_uses_of(former);
                    }
                }
                if !Arc::ptr_eq(known.policy(), entry.policy()) {
                    let (former, policy) = (Arc::clone(known.policy()), Arc::clone(entry.policy()));
                    change = Some(PolicyChange { former, policy });
                }
            }
            shard.put(hash, Arc::new(entry), &self.hasher);
        }
        if !foreign.is_empty() {
            self.foreign.write().extend(foreign.into_iter().map(|digest| (digest, id)));
        }
        if is_leak {
            self.leaks.fetch_add(1, Ordering::Release);
        }
        change
    }

    /// The entry of an id.
    pub(crate) fn find(&self, id: KeyId) -> Option<Arc<KeyEntry>> {
        let hash = self.hasher.hash_one(id);
        self.shard(hash)?.read().find(hash, id).cloned()
    }

    fn find_or_other(&self, id: KeyId) -> Option<(Arc<KeyEntry>, bool)> {
        let hash = self.hasher.hash_one(id);
        let shard = self.shard(hash)?.read();
        shard.find_or_other(hash, id).map(|(entry, is_own)| (Arc::clone(entry), is_own))
    }

    /// The entry one of whose secrets is `text`. Without an id in the text, or when it does not match, secrets made
    /// elsewhere are asked. Unknown id and wrong secret take the same path.
    pub(crate) fn find_presented(&self, id: Option<KeyId>, text: &[u8], peppers: &[Pepper]) -> Option<Presented> {
        const DUMMY: Digest = Digest::from_bytes([0; 32]);
        let digests: Vec<(u16, Digest)> = peppers.iter().map(|pepper| (pepper.version, pepper.digest(text))).collect();
        let presented = |version: u16| {
            digests.iter().find(|(known, _)| *known == version).or(digests.last()).map_or(&DUMMY, |(_, digest)| digest)
        };
        let entry = id.and_then(|id| self.find_or_other(id));
        let mut found: Option<SecretId> = None;
        let mut compared = 0_usize;
        if let Some((entry, is_own)) = &entry {
            for secret in entry.secrets() {
                let is_match = secret.matches(presented(secret.pepper_version)) & *is_own;
                compared = compared.saturating_add(1);
                if is_match && found.is_none() {
                    found = Some(secret.id());
                }
            }
        }
        for _ in compared..COMPARISONS {
            std::hint::black_box(DUMMY.matches(presented(0)));
        }
        if let (Some((key, _)), Some(secret)) = (entry, found) {
            return Some(Presented { key, secret });
        }
        self.find_foreign(&digests)
    }

    fn find_foreign(&self, digests: &[(u16, Digest)]) -> Option<Presented> {
        let id = {
            let foreign = self.foreign.read();
            if foreign.is_empty() {
                return None;
            }
            digests.iter().find_map(|(_, digest)| foreign.get(digest.as_bytes()).copied())?
        };
        let key = self.find(id)?;
        let secret = key
            .secrets()
            .filter(|secret| !secret.is_native)
            .find(|secret| digests.iter().any(|(_, digest)| secret.matches(digest)))
            .map(EntrySecret::id)?;
        Some(Presented { key, secret })
    }

    /// Whether secrets made elsewhere are known at all: only then is a text without an id looked up.
    pub(crate) fn has_foreign(&self) -> bool {
        !self.foreign.read().is_empty()
    }

    /// How many leaks are known; see [`Keys::is_cut`].
    pub(crate) fn leaks(&self) -> u64 {
        self.leaks.load(Ordering::Acquire)
    }

    /// Whether a stream that came with this secret is to be cut. `seen` is what [`Keys::leaks`] said when it was asked
    /// last; a key is looked up only when that has moved.
    pub(crate) fn is_cut(&self, id: KeyId, secret: SecretId, seen: &mut u64) -> bool {
        let leaks = self.leaks();
        if leaks == *seen {
            return false;
        }
        let is_cut = self.find(id).is_some_and(|entry| entry.is_compromised(secret));
        if !is_cut {
            *seen = leaks;
        }
        is_cut
    }

    /// Stamps a use; whether it is the secret's first.
    pub(crate) fn used(&self, entry: &KeyEntry, secret: SecretId, at: Timestamp) -> bool {
        let Some(known) = entry.secrets().find(|known| known.id() == secret) else { return false };
        let (is_first, is_newly_dirty) = known.stamp(at);
        if is_newly_dirty {
            self.dirty.lock().push((entry.id, secret));
        }
        is_first
    }

    /// The uses that are not written yet, of each secret the last.
    pub(crate) fn take_uses(&self) -> Vec<SecretUse> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let last_use = |(key, secret): (KeyId, SecretId)| {
            let entry = self.find(key)?;
            let known = entry.secrets().find(|known| known.id() == secret)?;
            Some(SecretUse { key, secret, at: known.take_use() })
        };
        dirty.into_iter().filter_map(last_use).collect()
    }

    /// Gives uses back that could not be written.
    pub(crate) fn put_back(&self, uses: &[SecretUse]) {
        self.dirty.lock().extend(uses.iter().map(|used| (used.key, used.secret)));
    }

    /// Forgets every key that is not among these.
    pub(crate) fn forget_others(&self, known: &HashSet<KeyId>) {
        for shard in &self.shards {
            let mut kept = Shard::default();
            let mut shard = shard.write();
            for entry in shard.all().filter(|entry| known.contains(&entry.id)) {
                kept.put(self.hasher.hash_one(entry.id), Arc::clone(entry), &self.hasher);
            }
            *shard = kept;
        }
    }

    /// Every key that is revoked, and whether it leaked: what must survive a history fork.
    pub(crate) fn revoked(&self) -> Vec<(OrganizationId, KeyId, bool)> {
        let mut revoked = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let ended = shard.all().filter(|entry| matches!(entry.stored_state(), StoredState::Revoked { .. }));
            revoked.extend(ended.map(|entry| (entry.organization(), entry.id, entry.has_compromised())));
        }
        revoked
    }

    /// How many keys are known.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().count()).fold(0, usize::saturating_add)
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        // The low half chooses the line within a shard, the high half marks the place there.
        self.shards.get(usize::try_from((hash >> 40) & SHARD_BITS).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_domain::id::EnvironmentId;
    use claviger_domain::key::{MintedKey, Name, NewKey, StoredSecret};
    use claviger_domain::time::Random;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    /// A counter mixed: the same keys in every run.
    struct Numbers(u64);

    impl Random for Numbers {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (self.0 >> 33) as u8;
            }
        }
    }

    fn pepper() -> Pepper {
        Pepper::new(1, [7; 32])
    }

    fn key(numbers: &mut Numbers) -> (Key, Vec<u8>) {
        let id = KeyId::generate(numbers);
        let text = MintedKey::mint("clv_", false, id, numbers).text.expose().clone().into_bytes();
        let secret =
            StoredSecret::new(SecretId::generate(NOW, numbers), pepper().digest(&text), 1, "…".to_owned(), NOW);
        let new = NewKey::new(id, Name::parse("ci").unwrap(), secret);
        (new.made(OrganizationId::from_u128(1), EnvironmentId::from_u128(2), NOW, "operator"), text)
    }

    #[test]
    fn a_key_is_found_by_its_own_text_alone() {
        let (keys, mut numbers) = (Keys::default(), Numbers(1));
        let (stranger, stranger_text) = key(&mut numbers);
        assert!(keys.find_presented(Some(stranger.id), &stranger_text, &[pepper()]).is_none(), "an empty table");
        let known: Vec<_> = (0..500).map(|_| key(&mut numbers)).collect();
        for (key, _) in &known {
            assert!(keys.learn(key.clone()).is_none());
        }
        assert_eq!(keys.count(), 500);
        for (key, text) in &known {
            let found = keys.find_presented(Some(key.id), text, &[pepper()]).unwrap();
            assert_eq!((found.key.id, found.key.name(), found.secret), (key.id, "ci", key.secrets[0].id));
        }
        // The text of another key: as if it were a wrong secret of this id, and an id that nobody has.
        for (key, _) in &known {
            assert!(keys.find_presented(Some(key.id), &stranger_text, &[pepper()]).is_none());
            assert!(keys.find_presented(Some(stranger.id), &known[0].1, &[pepper()]).is_none());
        }
    }

    #[test]
    fn an_id_that_is_not_here_is_compared_with_one_and_the_same_other_entry() {
        let (keys, mut numbers) = (Keys::default(), Numbers(2));
        for _ in 0..1_000 {
            keys.learn(key(&mut numbers).0);
        }
        let mut others = HashSet::new();
        for _ in 0..1_000 {
            let id = KeyId::generate(&mut numbers);
            let [(one, is_own), (again, _)] = [(); 2].map(|()| keys.find_or_other(id).unwrap());
            assert!(!is_own && Arc::ptr_eq(&one, &again));
            others.insert(one.id);
        }
        assert!(others.len() > 400, "spread over the table as the entries of known ids are: {}", others.len());
    }

    #[test]
    fn keys_that_are_forgotten_are_gone_and_the_others_stay() {
        let (keys, mut numbers) = (Keys::default(), Numbers(3));
        let all: Vec<_> = (0..300).map(|_| key(&mut numbers)).collect();
        for (key, _) in &all {
            keys.learn(key.clone());
        }
        let kept: HashSet<KeyId> = all.iter().take(100).map(|(key, _)| key.id).collect();
        keys.forget_others(&kept);
        assert_eq!(keys.count(), 100);
        for (key, text) in &all {
            assert_eq!(keys.find_presented(Some(key.id), text, &[pepper()]).is_some(), kept.contains(&key.id));
        }
    }
}
