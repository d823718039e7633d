//! The key table: id → entry, sharded, replaced entry by entry.
//!
//! Equal work for an unknown id and a wrong secret (`keys.md` §2.1 step 4): the digest is computed under every pepper,
//! as many comparisons are made as a key with every secret it may have would need, and a miss compares with dummies.
//! An entry holds what a request needs; what many keys have in common is held once.

use crate::limits::Places;
use claviger_domain::address::Cidr;
use claviger_domain::id::{EnvironmentId, IdHasher, KeyId, OrganizationId, SecretId};
use claviger_domain::key::{
    Class, EndReason, Key, KeyState, Owner, Policy, Recipe, RevocationReason, StoredSecret, StoredState,
};
use claviger_domain::secret::{Digest, Pepper};
use claviger_domain::tenancy::{Lifetime, Organization, OrganizationState};
use claviger_domain::time::Timestamp;
use claviger_storage::SecretUse;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

const SHARDS: usize = 64;

/// Comparisons of every look-up by id: three live secrets, and the one that ended last.
const COMPARISONS: usize = 4;

/// What is known of an organization.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: OrganizationId,
    pub(crate) state: OrganizationState,
    /// How long its secrets may live.
    pub(crate) lifetime: Option<Lifetime>,
    /// Where its keys may be used from.
    pub(crate) allowed_ips: Option<Box<[Cidr]>>,
    /// What it and its environments limit, if they do.
    pub(crate) places: Option<Arc<Places>>,
}

impl Tenant {
    pub(crate) fn of(organization: &Organization, places: Option<Places>) -> Self {
        Self {
            id: organization.id,
            state: organization.state,
            lifetime: organization.policy.lifetime,
            allowed_ips: organization.policy.allowed_ips.clone().map(Vec::into_boxed_slice),
            places: places.map(Arc::new),
        }
    }
}

/// What many keys have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    pub(crate) organization: OrganizationId,
    pub(crate) environment: EnvironmentId,
    pub(crate) owner: Option<Owner>,
    pub(crate) source_tag: Option<Box<str>>,
}

/// One key. Replaced whole when the key changes; only last uses move in place.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    pub(crate) id: KeyId,
    pub(crate) name: Box<str>,
    binding: Arc<Binding>,
    policy: Arc<Policy>,
    pub(crate) class: Class,
    pub(crate) is_test: bool,
    pub(crate) is_canary: bool,
    state: StoredState,
    pub(crate) expires_at: Option<Timestamp>,
    newest: EntrySecret,
    older: Option<Box<[EntrySecret]>>,
}

/// One secret of a key.
#[derive(Debug)]
struct EntrySecret {
    id: SecretId,
    digest: Digest,
    created_at: Timestamp,
    /// When it ended or will end; `i64::MAX` = nothing ends it.
    ends_at: i64,
    /// 0 = never.
    last_use: AtomicI64,
    pepper_version: u16,
    is_native: bool,
    is_compromised: bool,
    /// Whether its last use waits to be written.
    is_dirty: AtomicBool,
}

impl EntrySecret {
    fn of(secret: &StoredSecret) -> Self {
        Self {
            id: secret.id,
            digest: secret.digest,
            created_at: secret.created_at,
            ends_at: secret.ended_at.or(secret.ends_at).map_or(i64::MAX, |at| at.0),
            last_use: AtomicI64::new(secret.last_used_at.map_or(0, |at| at.0)),
            pepper_version: secret.pepper_version,
            is_native: secret.recipe == Recipe::Native,
            is_compromised: secret.end_reason == Some(EndReason::Compromised),
            is_dirty: AtomicBool::new(false),
        }
    }

    fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        (now.0 >= self.ends_at).then_some(Timestamp(self.ends_at))
    }

    /// Stamps move over to the entry that takes this one's place.
    fn keep_uses_of(&self, former: &Self) {
        self.last_use.fetch_max(former.last_use.load(Ordering::Relaxed), Ordering::Relaxed);
        self.is_dirty.fetch_or(former.is_dirty.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Why a key and its presented secret may not be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The key's own state forbids it.
    State(KeyState),
    /// The secret ended; the key lives on.
    SecretEnded {
        /// When.
        at: Timestamp,
    },
    /// The secret is as old as its organization lets secrets become.
    TooOld {
        /// Since when.
        at: Timestamp,
        /// The lifetime in days.
        days: u32,
    },
}

impl KeyEntry {
    fn of(key: Key, shared: &Shared) -> Option<Self> {
        let binding = Binding {
            organization: key.organization,
            environment: key.environment,
            owner: key.owner,
            source_tag: key.source_tag.map(String::into_boxed_str),
        };
        let mut secrets = key.secrets.iter().map(EntrySecret::of);
        let newest = secrets.next()?;
        let older: Box<[EntrySecret]> = secrets.collect();
        Some(Self {
            id: key.id,
            name: key.name.into_boxed_str(),
            binding: shared.bindings.one_of(binding),
            policy: shared.policies.one_of(key.policy),
            class: key.class,
            is_test: key.is_test,
            is_canary: key.is_canary,
            state: key.state,
            expires_at: key.expires_at,
            newest,
            older: (!older.is_empty()).then_some(older),
        })
    }

    /// Its organization.
    pub(crate) fn organization(&self) -> OrganizationId {
        self.binding.organization
    }

    /// Its environment.
    pub(crate) fn environment(&self) -> EnvironmentId {
        self.binding.environment
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.binding.owner
    }

    /// Its billing label.
    pub(crate) fn source_tag(&self) -> Option<&str> {
        self.binding.source_tag.as_deref()
    }

    /// What it may do.
    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether it is neither disabled nor revoked.
    pub(crate) fn is_enabled(&self) -> bool {
        matches!(self.state, StoredState::Enabled)
    }

    /// When it was made, as far as its known secrets tell; never earlier than that.
    pub(crate) fn made_at(&self) -> Timestamp {
        self.secrets().map(|secret| secret.created_at).min().unwrap_or_default()
    }

    /// The state at `now`.
    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        self.state.at(now, self.expires_at)
    }

    /// Whether key and presented secret may be used at `now`; of several reasons not to, the worst (`keys.md` §2.1
    /// step 6). Every time limit is judged here, by the clock.
    pub(crate) fn check(&self, secret: SecretId, lifetime: Option<Lifetime>, now: Timestamp) -> Result<(), Unusable> {
        let state = self.state(now);
        if let KeyState::Revoked { .. } = state {
            return Err(Unusable::State(state));
        }
        // A secret that is gone altogether ended long ago.
        let Some(secret) = self.secrets().find(|known| known.id == secret) else {
            return Err(Unusable::SecretEnded { at: now });
        };
        if let Some(at) = secret.ended(now) {
            return Err(Unusable::SecretEnded { at });
        }
        let too_old = lifetime.map(|lifetime| (lifetime.end_of(secret.created_at), lifetime.days));
        match (state, too_old) {
            (KeyState::Expired { .. }, _) => Err(Unusable::State(state)),
            (_, Some((at, days))) if now >= at => Err(Unusable::TooOld { at, days }),
            (KeyState::Active, _) => Ok(()),
            _ => Err(Unusable::State(state)),
        }
    }

    /// When the presented secret stops by itself: the first of the key's expiry, its own end and its lifetime.
    pub(crate) fn stops_at(&self, secret: SecretId, lifetime: Option<Lifetime>) -> Option<Timestamp> {
        let secret = self.secrets().find(|known| known.id == secret);
        let end = secret.filter(|secret| secret.ends_at < i64::MAX).map(|secret| Timestamp(secret.ends_at));
        let too_old = secret.and_then(|secret| Some(lifetime?.end_of(secret.created_at)));
        [self.expires_at, end, too_old].into_iter().flatten().min()
    }

    fn secrets(&self) -> impl Iterator<Item = &EntrySecret> {
        std::iter::once(&self.newest).chain(self.older.iter().flat_map(|older| older.iter()))
    }

    /// Whether streams that came with this secret are to be cut.
    fn is_compromised(&self, secret: SecretId) -> bool {
        matches!(self.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. })
            || self.secrets().any(|known| known.id == secret && known.is_compromised)
    }

    fn has_compromised(&self) -> bool {
        matches!(self.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. })
            || self.secrets().any(|known| known.is_compromised)
    }
}

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

/// Values that many entries share, each held once for as long as an entry has it.
struct Interned<T>(Mutex<HashMap<Arc<T>, ()>>);

impl<T: Eq + Hash> Default for Interned<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Interned<T> {
    fn one_of(&self, value: T) -> Arc<T> {
        let mut all = self.0.lock();
        if let Some((known, ())) = all.get_key_value(&value) {
            return Arc::clone(known);
        }
        let value = Arc::new(value);
        // What no entry has any more goes when the table would grow, so sweeping costs no more than growing.
        if all.len() == all.capacity() {
            all.retain(|held, ()| Arc::strong_count(held) > 1);
        }
        all.insert(Arc::clone(&value), ());
        value
    }
}

#[derive(Default)]
struct Shared {
    bindings: Interned<Binding>,
    policies: Interned<Policy>,
}

/// The table.
pub(crate) struct Keys {
    shards: Vec<RwLock<HashTable<Arc<KeyEntry>>>>,
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
            if let Some(slot) = shard.find_mut(hash, |known| known.id == id) {
                for secret in entry.secrets() {
                    if let Some(former) = slot.secrets().find(|former| former.id == secret.id) {
                        secret.keep_uses_of(former);
                    }
                }
                if !Arc::ptr_eq(&slot.policy, &entry.policy) {
                    change = Some(PolicyChange { former: Arc::clone(&slot.policy), policy: Arc::clone(&entry.policy) });
                }
                *slot = Arc::new(entry);
            } else {
                shard.insert_unique(hash, Arc::new(entry), |known| self.hasher.hash_one(known.id));
            }
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
        self.shard(hash)?.read().find(hash, |known| known.id == id).cloned()
    }

    /// The entry one of whose secrets is `text`. Without an id in the text, or when it does not match, secrets made
    /// elsewhere are asked. Unknown id and wrong secret take the same path.
    pub(crate) fn find_presented(&self, id: Option<KeyId>, text: &[u8], peppers: &[Pepper]) -> Option<Presented> {
        const DUMMY: Digest = Digest::from_bytes([0; 32]);
        let digests: Vec<(u16, Digest)> = peppers.iter().map(|pepper| (pepper.version, pepper.digest(text))).collect();
        let presented = |version: u16| {
            digests.iter().find(|(known, _)| *known == version).or(digests.last()).map_or(&DUMMY, |(_, digest)| digest)
        };
        let entry = id.and_then(|id| self.find(id));
        let mut found: Option<SecretId> = None;
        let mut compared = 0_usize;
        if let Some(entry) = &entry {
            for secret in entry.secrets() {
                let is_match = secret.digest.matches(presented(secret.pepper_version));
                compared = compared.saturating_add(1);
                if is_match && found.is_none() {
                    found = Some(secret.id);
                }
            }
        }
        for _ in compared..COMPARISONS {
            std::hint::black_box(DUMMY.matches(presented(0)));
        }
        if let (Some(key), Some(secret)) = (entry, found) {
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
            .find(|secret| digests.iter().any(|(_, digest)| secret.digest.matches(digest)))
            .map(|secret| secret.id)?;
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
        let Some(known) = entry.secrets().find(|known| known.id == secret) else { return false };
        let is_first = known.last_use.fetch_max(at.0, Ordering::AcqRel) == 0;
        if !known.is_dirty.swap(true, Ordering::AcqRel) {
            self.dirty.lock().push((entry.id, secret));
        }
        is_first
    }

    /// The uses that are not written yet, of each secret the last.
    pub(crate) fn take_uses(&self) -> Vec<SecretUse> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let last_use = |(key, secret): (KeyId, SecretId)| {
            let entry = self.find(key)?;
            let known = entry.secrets().find(|known| known.id == secret)?;
            known.is_dirty.store(false, Ordering::Release);
            Some(SecretUse { key, secret, at: Timestamp(known.last_use.load(Ordering::Acquire)) })
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
            shard.write().retain(|entry| known.contains(&entry.id));
        }
    }

    /// Every key that is revoked, and whether it leaked: what must survive a history fork.
    pub(crate) fn revoked(&self) -> Vec<(OrganizationId, KeyId, bool)> {
        let mut revoked = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let ended = shard.iter().filter(|entry| matches!(entry.state, StoredState::Revoked { .. }));
            revoked.extend(ended.map(|entry| (entry.organization(), entry.id, entry.has_compromised())));
        }
        revoked
    }

    /// How many keys are known.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).fold(0, usize::saturating_add)
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<HashTable<Arc<KeyEntry>>>> {
        // The low bits choose the place within a shard's table, the high seven mark it there: the shard takes others.
        self.shards.get(usize::try_from((hash >> 40) & 63).unwrap_or(0))
    }
}
