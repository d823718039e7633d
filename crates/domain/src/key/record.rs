//! A key and its secrets as the database has them. Their texts are not known here, and never were.

use super::name::{Name, SourceTag, StoredIn};
use super::policy::{Class, Owner, Policy};
use super::state::{KeyState, StoredState};
use crate::id::{EnvironmentId, KeyId, OrganizationId, SecretId};
use crate::lifetime::Lifetimes;
use crate::right::{Role, words};
use crate::secret::Digest;
use crate::time::Timestamp;

/// A key as the database has it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// What it is for.
    pub class: Class,
    /// Whether it reaches the simulator only.
    pub is_test: bool,
    /// Whether it is bait: without rights, answered as unknown, told to its owners.
    pub is_canary: bool,
    /// Its name, verbatim.
    pub name: String,
    /// Its billing label.
    pub source_tag: Option<String>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// Who made it: `usr_…`, `key_…`, `agt_…`, `operator` or `system`.
    pub created_by: String,
    /// The role of an admin key.
    pub role: Option<Role>,
    /// Its stored state.
    pub state: StoredState,
    /// When, by whom and why that last changed.
    pub state_changed: Option<StateChange>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What it may do.
    pub policy: Policy,
    /// Where people keep it, in their words.
    pub stored_in: Option<String>,
    /// Since when it is known to have leaked.
    pub exposed_at: Option<Timestamp>,
    /// Since when it should be rotated, because somebody who has seen it left.
    pub rotation_due_since: Option<Timestamp>,
    /// When it was last used from where it had not been before.
    pub new_caller_at: Option<Timestamp>,
    /// When its limits were last found to refuse too much of what it asks.
    pub rate_limited_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used; at most 15 s late.
    pub last_used_at: Option<Timestamp>,
    /// Counts changes.
    pub version: i64,
    /// Its secrets, newest first and never none: live ones, and those ended lately.
    pub secrets: Vec<StoredSecret>,
}

/// The last change of a key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// When.
    pub at: Timestamp,
    /// Who, as in [`Key::created_by`].
    pub by: String,
    /// Why, in the words of a revocation.
    pub reason: Option<String>,
}

words! {
    /// How a secret is recognised.
    Recipe {
        /// By the id in its text.
        Native = "native";
        /// By its digest alone: made elsewhere, the text has no id of ours.
        Sha256 = "sha256";
    }
}

words! {
    /// Why a secret ended.
    EndReason {
        /// A newer one took its place, and the overlap is over.
        Replaced = "replaced";
        /// It was lost before its first use, and issued again.
        Reissued = "reissued";
        /// Somebody ended it.
        Ended = "ended";
        /// It leaked.
        Compromised = "compromised";
    }
}

words! {
    /// What happens to an older secret that is still in use when its overlap is over.
    AtDeadline {
        /// It ends.
        End = "end";
        /// It lives a day longer, up to 30 days from the rotation.
        Extend = "extend";
    }
}

/// What is kept of a secret.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// Its id.
    pub id: SecretId,
    /// Its number among the key's secrets, from 1.
    pub number: u32,
    /// The peppered digest.
    pub digest: Digest,
    /// Which pepper.
    pub pepper_version: u16,
    /// How it is recognised.
    pub recipe: Recipe,
    /// How lists show it: prefix + `…` + last 4.
    pub redacted: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it, as in [`Key::created_by`].
    pub created_by: String,
    /// Until when it may be issued again, if it was never used.
    pub reissue_until: Option<Timestamp>,
    /// When its overlap ends.
    pub ends_at: Option<Timestamp>,
    /// How long it must have been quiet for its overlap to end early.
    pub finish_when_quiet_hours: Option<u32>,
    /// What happens at `ends_at` if it is still in use.
    pub at_deadline: AtDeadline,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// When it was first used.
    pub first_used_at: Option<Timestamp>,
    /// When it was last used; at most 15 s late.
    pub last_used_at: Option<Timestamp>,
}

impl StoredSecret {
    /// A secret that nobody has used and nothing ends, the key's first.
    pub fn new(id: SecretId, digest: Digest, pepper_version: u16, redacted: String, created_at: Timestamp) -> Self {
        Self {
            id,
            number: 1,
            digest,
            pepper_version,
            recipe: Recipe::Native,
            redacted,
            created_at,
            created_by: String::new(),
            reissue_until: None,
            ends_at: None,
            finish_when_quiet_hours: None,
            at_deadline: AtDeadline::End,
            ended_at: None,
            end_reason: None,
            first_used_at: None,
            last_used_at: None,
        }
    }

    /// When it ended, if it has by `now`. The clock decides, not the job that writes the end down.
    pub fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        self.ended_at.or_else(|| self.ends_at.filter(|at| now >= *at))
    }

    /// Whether its text was lost on its way and another one was issued under its number.
    pub fn is_lost(&self) -> bool {
        self.end_reason == Some(EndReason::Reissued)
    }

    /// Whether it admits at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended(now).is_none()
    }
}

impl Key {
    /// The newest secret. Keys have one from their first moment; a row without any is corrupt before it gets here.
    pub fn newest(&self) -> Option<&StoredSecret> {
        self.secrets.first()
    }

    /// How lists show the key: its newest secret.
    pub fn redacted(&self) -> &str {
        self.newest().map_or("", |secret| &secret.redacted)
    }

    /// The state at `now` but for the maximum lifetime of secrets, which a rotation renews.
    pub fn state_at(&self, now: Timestamp) -> KeyState {
        self.state.at(now, self.expires_at)
    }

    /// The state at `now`, as requests with its living secrets meet it (`keys.md` §4).
    pub fn state_within(&self, lifetimes: &Lifetimes, now: Timestamp) -> KeyState {
        self.state.at(now, self.end_within(lifetimes, now))
    }

    /// When it ends by itself: at its expiry, or when the last of its living secrets reaches its maximum lifetime.
    pub fn end_within(&self, lifetimes: &Lifetimes, now: Timestamp) -> Option<Timestamp> {
        let ends = self.live_secrets(now).map(|secret| lifetimes.end_of(secret.created_at).map(|(end, _)| end));
        // Of these, none is later than any instant: such a secret lives for ever.
        let last = ends.map(|end| end.unwrap_or(Timestamp(i64::MAX))).max().filter(|end| *end < Timestamp(i64::MAX));
        [self.expires_at, last].into_iter().flatten().min()
    }

    /// Secrets that admit at `now`, newest first.
    pub fn live_secrets(&self, now: Timestamp) -> impl Iterator<Item = &StoredSecret> {
        self.secrets.iter().filter(move |secret| secret.is_live(now))
    }
}

/// A key to be stored; its text is not part of it.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id, drawn before.
    pub id: KeyId,
    /// Its environment; the organization's default one when absent.
    pub environment: Option<EnvironmentId>,
    /// What it is for.
    pub class: Class,
    /// Whether it reaches the simulator only.
    pub is_test: bool,
    /// Whether it is bait.
    pub is_canary: bool,
    /// Its name.
    pub name: Name,
    /// Its billing label.
    pub source_tag: Option<SourceTag>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// The role of an admin key.
    pub role: Option<Role>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What it may do.
    pub policy: Policy,
    /// Where people keep it.
    pub stored_in: Option<StoredIn>,
    /// Its first secret.
    pub secret: StoredSecret,
}

impl NewKey {
    /// A live inference key of this name without restrictions; the rest is said by whoever asks for more.
    pub fn new(id: KeyId, name: Name, secret: StoredSecret) -> Self {
        Self {
            id,
            environment: None,
            class: Class::Inference,
            is_test: false,
            is_canary: false,
            name,
            source_tag: None,
            owner: None,
            role: None,
            expires_at: None,
            policy: Policy::default(),
            stored_in: None,
            secret,
        }
    }

    /// The key that it becomes.
    pub fn made(&self, organization: OrganizationId, environment: EnvironmentId, at: Timestamp, by: &str) -> Key {
        Key {
            id: self.id,
            organization,
            environment,
            class: self.class,
            is_test: self.is_test,
            is_canary: self.is_canary,
            name: self.name.as_str().to_owned(),
            source_tag: self.source_tag.as_ref().map(|tag| tag.as_str().to_owned()),
            owner: self.owner,
            created_by: by.to_owned(),
            role: self.role,
            state: StoredState::Enabled,
            state_changed: None,
            expires_at: self.expires_at,
            policy: self.policy.clone(),
            stored_in: self.stored_in.as_ref().map(|place| place.as_str().to_owned()),
            exposed_at: None,
            rotation_due_since: None,
            new_caller_at: None,
            rate_limited_at: None,
            created_at: at,
            last_used_at: None,
            version: 1,
            secrets: vec![StoredSecret { number: 1, created_by: by.to_owned(), ..self.secret.clone() }],
        }
    }
}
