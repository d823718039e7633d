//! The states of a key and the moves between them.

use crate::error::Code;
use crate::right::words;
use crate::time::Timestamp;

words! {
    /// Why a key was revoked.
    RevocationReason {
        /// Nobody used it.
        Unused = "unused";
        /// Another key took its place.
        Replaced = "replaced";
        /// Its owner left.
        MemberLeft = "member_left";
        /// It leaked; streams are cut.
        Compromised = "compromised";
        /// Anything else.
        Other = "other";
    }
}

/// The state as stored; expiry is judged at each use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredState {
    /// In use.
    Enabled,
    /// Refused, reversibly.
    Disabled {
        /// Since when.
        at: Timestamp,
    },
    /// Refused for ever.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
}

/// The state at an instant: revoked, else expired, else disabled, else active (`keys.md` §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Admits requests.
    Active,
    /// Refused, reversibly.
    Disabled,
    /// Refused since its expiry.
    Expired {
        /// Its expiry.
        at: Timestamp,
    },
    /// Refused for ever.
    Revoked {
        /// Since when.
        at: Timestamp,
    },
}

impl KeyState {
    /// The word in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired { .. } => "expired",
            Self::Revoked { .. } => "revoked",
        }
    }
}

impl KeyState {
    /// What is told of a state that admits nothing, to whoever holds the secret (`keys.md` §2.2): code, and the sentence
    /// behind `Incorrect API key provided: <mask>.`
    pub fn told(self) -> (Code, String) {
        match self {
            Self::Revoked { at } => (Code::KeyRevoked, format!("This key was revoked on {}.", at.date())),
            Self::Expired { at } => (Code::KeyExpired, format!("This key expired at {}.", at.rfc3339())),
            Self::Active | Self::Disabled => {
                let reason = "This key is disabled; an administrator of its organization can enable it.";
                (Code::KeyDisabled, reason.to_owned())
            }
        }
    }
}

/// As [`KeyState::told`], for a secret of a living key that ended.
pub fn told_of_ended_secret(at: Timestamp) -> (Code, String) {
    (Code::KeyRevoked, format!("This secret was replaced on {}; use the key's current one.", at.date()))
}

/// As [`KeyState::told`], for a secret that is older than its organization allows.
pub fn told_of_old_secret(at: Timestamp, days: u32) -> (Code, String) {
    let reason = format!("This key reached its organization's maximum lifetime of {days} days at {}.", at.rfc3339());
    (Code::KeyExpired, reason)
}

/// A move that the state does not allow: the key is revoked, and that is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is revoked")]
pub struct Refused;

impl StoredState {
    /// The state at `now`; an expiry holds from its very instant.
    pub fn at(self, now: Timestamp, expires_at: Option<Timestamp>) -> KeyState {
        match (self, expires_at) {
            (Self::Revoked { at, .. }, _) => KeyState::Revoked { at },
            (_, Some(expiry)) if now >= expiry => KeyState::Expired { at: expiry },
            (Self::Disabled { .. }, _) => KeyState::Disabled,
            (Self::Enabled, _) => KeyState::Active,
        }
    }

    /// Revokes. `None` = nothing changes: it was revoked before, and only an upgrade to `compromised` acts again.
    pub fn revoke(self, at: Timestamp, reason: RevocationReason) -> Option<Self> {
        match self {
            Self::Revoked { at: since, reason: former } => {
                let is_upgrade = reason == RevocationReason::Compromised && former != RevocationReason::Compromised;
                is_upgrade.then_some(Self::Revoked { at: since, reason })
            }
            _ => Some(Self::Revoked { at, reason }),
        }
    }

    /// Disables; a disabled key keeps its date.
    ///
    /// # Errors
    /// [`Refused`] for a revoked key.
    pub const fn disable(self, at: Timestamp) -> Result<Self, Refused> {
        match self {
            Self::Revoked { .. } => Err(Refused),
            Self::Disabled { .. } => Ok(self),
            Self::Enabled => Ok(Self::Disabled { at }),
        }
    }

    /// Enables.
    ///
    /// # Errors
    /// [`Refused`] for a revoked key.
    pub const fn enable(self) -> Result<Self, Refused> {
        match self {
            Self::Revoked { .. } => Err(Refused),
            _ => Ok(Self::Enabled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp(1_000_000);

    #[test]
    fn the_worst_state_is_shown() {
        let revoked = StoredState::Revoked { at: T, reason: RevocationReason::Other };
        assert_eq!(revoked.at(T, Some(T)), KeyState::Revoked { at: T });
        assert_eq!(StoredState::Disabled { at: T }.at(T, Some(T)), KeyState::Expired { at: T });
        assert_eq!(StoredState::Disabled { at: T }.at(Timestamp(0), Some(T)), KeyState::Disabled);
        assert_eq!(StoredState::Enabled.at(Timestamp(999_999), Some(T)), KeyState::Active);
    }

    #[test]
    fn revoked_is_final_and_only_compromised_acts_again() {
        let revoked = StoredState::Revoked { at: T, reason: RevocationReason::Other };
        assert_eq!(revoked.enable(), Err(Refused));
        assert_eq!(revoked.disable(T), Err(Refused));
        assert_eq!(revoked.revoke(Timestamp(2), RevocationReason::Unused), None);
        let upgraded = revoked.revoke(Timestamp(2), RevocationReason::Compromised);
        assert_eq!(upgraded, Some(StoredState::Revoked { at: T, reason: RevocationReason::Compromised }));
        assert_eq!(upgraded.and_then(|state| state.revoke(T, RevocationReason::Compromised)), None);
    }
}
