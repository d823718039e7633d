//! One key as this node holds it: what a request needs of it, small, because there may be a million.
//!
//! What many keys have in common is held once, what few keys have lies behind one pointer, and a short name lies in place:
//! with its counts an entry takes 160 bytes. Where entries are found is not known here.

use super::own::OwnModels;
use crate::limits::Places;
use claviger_domain::address::Cidr;
use claviger_domain::id::{EnvironmentId, KeyId, OrganizationId, SecretId};
use claviger_domain::key::{
    Class, EndReason, Key, KeyState, Owner, Policy, Recipe, RevocationReason, StoredSecret, StoredState,
};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::secret::Digest;
use claviger_domain::tenancy::{Organization, OrganizationState};
use claviger_domain::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What is known of an organization.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: OrganizationId,
    pub(crate) state: OrganizationState,
    /// Why it stands still, for its members.
    pub(crate) state_reason: Option<Box<str>>,
    /// How long its secrets may live.
    pub(crate) lifetimes: Lifetimes,
    /// Where its keys may be used from.
    pub(crate) allowed_ips: Option<Box<[Cidr]>>,
    /// What it and its environments limit, if they do.
    pub(crate) places: Option<Arc<Places>>,
    /// What it brings along, if it does.
    pub(crate) own: Option<Arc<OwnModels>>,
}

impl Tenant {
    pub(crate) fn of(organization: &Organization, places: Option<Places>, own: Option<Arc<OwnModels>>) -> Self {
        Self {
            id: organization.id,
            state: organization.state,
            state_reason: organization.state_reason.clone().map(String::into_boxed_str),
            lifetimes: organization.policy.lifetimes.clone(),
            allowed_ips: organization.policy.allowed_ips.clone().map(Vec::into_boxed_slice),
            places: places.map(Arc::new),
            own,
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
    pub(crate) policy: Arc<Policy>,
}

/// One key. Replaced whole when the key changes; only last uses move in place.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    pub(crate) id: KeyId,
    pub(crate) class: Class,
    pub(crate) is_test: bool,
    pub(crate) is_canary: bool,
    name: ShortName,
    binding: Arc<Binding>,
    /// `i64::MAX` = it does not expire.
    expires_at: i64,
    newest: EntrySecret,
    rare: Option<Box<Rare>>,
}

/// What most keys do not have.
#[derive(Debug)]
struct Rare {
    state: StoredState,
    /// Secrets beside the newest, newest first.
    older: Vec<EntrySecret>,
}

/// A name in place if it is short.
#[derive(Debug)]
enum ShortName {
    InPlace { length: u8, bytes: [u8; 22] },
    Elsewhere(Box<str>),
}

impl ShortName {
    fn of(name: String) -> Self {
        let mut bytes = [0; 22];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name.as_bytes());
                Self::InPlace { length, bytes }
            }
            _ => Self::Elsewhere(name.into_boxed_str()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            // It was a text when it was put there, and nothing changes it.
            Self::InPlace { length, bytes } => {
                bytes.get(..usize::from(*length)).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
            }
            Self::Elsewhere(name) => name,
        }
    }
}

/// One secret of a key.
#[derive(Debug)]
pub(super) struct EntrySecret {
    /// The bytes of a [`SecretId`], which as a number would want a place divisible by 16.
    id: [u8; 16],
    digest: Digest,
    created_at: Timestamp,
    /// When it ended or will end; `i64::MAX` = nothing ends it.
    ends_at: i64,
    /// 0 = never.
    last_use: AtomicI64,
    pub(super) pepper_version: u16,
    pub(super) is_native: bool,
    is_compromised: bool,
    /// Whether its last use waits to be written.
    is_dirty: AtomicBool,
}

impl EntrySecret {
    fn of(secret: &StoredSecret) -> Self {
        Self {
            id: secret.id.to_u128().to_ne_bytes(),
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

    /// A secret that nobody has: what is compared with it does not match, or matches to no end.
    const fn nobodys() -> Self {
        Self {
            id: [0; 16],
            digest: Digest::from_bytes([0; 32]),
            created_at: Timestamp(0),
            ends_at: 0,
            last_use: AtomicI64::new(0),
            pepper_version: 0,
            is_native: true,
            is_compromised: false,
            is_dirty: AtomicBool::new(false),
        }
    }

    /// Its id.
    pub(super) const fn id(&self) -> SecretId {
        SecretId::from_u128(u128::from_ne_bytes(self.id))
    }

    /// Whether this is the digest of what was presented, in constant time.
    pub(super) fn matches(&self, presented: &Digest) -> bool {
        self.digest.matches(presented)
    }

    /// Stamps a use; whether it is the first, and whether its being written is to be asked for.
    pub(super) fn stamp(&self, at: Timestamp) -> (bool, bool) {
        let is_first = self.last_use.fetch_max(at.0, Ordering::AcqRel) == 0;
        (is_first, !self.is_dirty.swap(true, Ordering::AcqRel))
    }

    /// The last use, which is taken to be written.
    pub(super) fn take_use(&self) -> Timestamp {
        self.is_dirty.store(false, Ordering::Release);
        Timestamp(self.last_use.load(Ordering::Acquire))
    }

    fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        (now.0 >= self.ends_at).then_some(Timestamp(self.ends_at))
    }

    /// Stamps move over to the entry that takes this one's place.
    pub(super) fn keep_uses_of(&self, former: &Self) {
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
    /// The entry of a key; `None` = it has no secret, which no stored key is without.
    pub(super) fn of(key: Key, shared: &Shared) -> Option<Self> {
        let binding = Binding {
            organization: key.organization,
            environment: key.environment,
            owner: key.owner,
            source_tag: key.source_tag.map(String::into_boxed_str),
            policy: shared.policies.one_of(key.policy),
        };
        let mut secrets = key.secrets.iter().map(EntrySecret::of);
        let newest = secrets.next()?;
        let older: Vec<EntrySecret> = secrets.collect();
        let is_rare = !older.is_empty() || key.state != StoredState::Enabled;
        Some(Self {
            id: key.id,
            class: key.class,
            is_test: key.is_test,
            is_canary: key.is_canary,
            name: ShortName::of(key.name),
            binding: shared.bindings.one_of(binding),
            expires_at: key.expires_at.map_or(i64::MAX, |at| at.0),
            newest,
            rare: is_rare.then(|| Box::new(Rare { state: key.state, older })),
        })
    }

    /// An entry of an id that nobody has: what is compared when there is nothing else.
    pub(super) fn nobodys(id: KeyId) -> Self {
        let (organization, environment) = (OrganizationId::from_u128(0), EnvironmentId::from_u128(0));
        let policy = Arc::default();
        Self {
            id,
            class: Class::Inference,
            is_test: false,
            is_canary: false,
            name: ShortName::of(String::new()),
            binding: Arc::new(Binding { organization, environment, owner: None, source_tag: None, policy }),
            expires_at: 0,
            newest: EntrySecret::nobodys(),
            rare: None,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// When it expires, if it does.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        (self.expires_at < i64::MAX).then_some(Timestamp(self.expires_at))
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
        &self.binding.policy
    }

    /// Whether it is neither disabled nor revoked.
    pub(crate) fn is_enabled(&self) -> bool {
        matches!(self.stored_state(), StoredState::Enabled)
    }

    /// When it was made, as far as its known secrets tell; never earlier than that.
    pub(crate) fn made_at(&self) -> Timestamp {
        self.secrets().map(|secret| secret.created_at).min().unwrap_or_default()
    }

    /// What people made of it.
    pub(super) fn stored_state(&self) -> StoredState {
        self.rare.as_ref().map_or(StoredState::Enabled, |rare| rare.state)
    }

    /// The state at `now`.
    pub(crate) fn state(&self, now: Timestamp) -> KeyState {
        self.stored_state().at(now, self.expires_at())
    }

    /// Whether key and presented secret may be used at `now`; of several reasons not to, the worst (`keys.md` §2.1
    /// step 6). Every time limit is judged here, by the clock.
    pub(crate) fn check(&self, secret: SecretId, lifetimes: &Lifetimes, now: Timestamp) -> Result<(), Unusable> {
        let state = self.state(now);
        if let KeyState::Revoked { .. } = state {
            return Err(Unusable::State(state));
        }
        // A secret that is gone altogether ended long ago.
        let Some(secret) = self.secrets().find(|known| known.id() == secret) else {
            return Err(Unusable::SecretEnded { at: now });
        };
        if let Some(at) = secret.ended(now) {
            return Err(Unusable::SecretEnded { at });
        }
        let too_old = lifetimes.end_of(secret.created_at);
        match (state, too_old) {
            (KeyState::Expired { .. }, _) => Err(Unusable::State(state)),
            (_, Some((at, days))) if now >= at => Err(Unusable::TooOld { at, days }),
            (KeyState::Active, _) => Ok(()),
            _ => Err(Unusable::State(state)),
        }
    }

    /// When the presented secret stops by itself: the first of the key's expiry, its own end and its lifetime.
    pub(crate) fn stops_at(&self, secret: SecretId, lifetimes: Option<&Lifetimes>) -> Option<Timestamp> {
        let secret = self.secrets().find(|known| known.id() == secret);
        let end = secret.filter(|secret| secret.ends_at < i64::MAX).map(|secret| Timestamp(secret.ends_at));
        let too_old = secret.and_then(|secret| lifetimes?.end_of(secret.created_at)).map(|(end, _)| end);
        [self.expires_at(), end, too_old].into_iter().flatten().min()
    }

    /// Its secrets, newest first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &EntrySecret> {
        std::iter::once(&self.newest).chain(self.rare.iter().flat_map(|rare| rare.older.iter()))
    }

    /// Whether streams that came with this secret are to be cut.
    pub(super) fn is_compromised(&self, secret: SecretId) -> bool {
        matches!(self.stored_state(), StoredState::Revoked { reason: RevocationReason::Compromised, .. })
            || self.secrets().any(|known| known.id() == secret && known.is_compromised)
    }

    pub(super) fn has_compromised(&self) -> bool {
        matches!(self.stored_state(), StoredState::Revoked { reason: RevocationReason::Compromised, .. })
            || self.secrets().any(|known| known.is_compromised)
    }
}

/// Values that many entries share, each held once for as long as an entry has it.
pub(super) struct Interned<T>(Mutex<HashMap<Arc<T>, ()>>);

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

/// What entries share.
#[derive(Default)]
pub(super) struct Shared {
    bindings: Interned<Binding>,
    policies: Interned<Policy>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_its_counts_takes_160_bytes() {
        // Two counts of the pointer lie before it. The next size that an allocator has is 192.
        assert_eq!(size_of::<KeyEntry>() + 2 * size_of::<usize>(), 160);
    }

    #[test]
    fn names_of_every_length_come_back_as_they_were() {
        for name in [
            "",
            "ci",
            "exactly 22 bytes long!",
            "one byte more than that",
            "é".repeat(11).as_str(),
            "日本語の長い名前です",
        ] {
            assert_eq!(ShortName::of(name.to_owned()).as_str(), name);
        }
    }
}
