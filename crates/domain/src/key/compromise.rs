//! What becomes of a key one of whose secrets is known to others.

use super::record::{EndReason, Key, StateChange, StoredSecret};
use super::state::{RevocationReason, StoredState};
use crate::id::SecretId;
use crate::time::Timestamp;

impl Key {
    /// The key without this secret: it ends as compromised; if no other one lives on, the key is revoked. `None` = that is
    /// so already, or the secret is none of this key's.
    pub fn without_secret(&self, secret: SecretId, at: Timestamp, by: &str) -> Option<Self> {
        if matches!(self.state, StoredState::Revoked { reason: RevocationReason::Compromised, .. }) {
            return None;
        }
        let found = self.secrets.iter().find(|candidate| candidate.id == secret)?;
        let ended = |one: &StoredSecret| {
            let ended_at = if one.id == secret { one.ended(at).or(Some(at)) } else { one.ended_at };
            let end_reason = if one.id == secret { Some(EndReason::Compromised) } else { one.end_reason };
            StoredSecret { ended_at, end_reason, ..one.clone() }
        };
        let secrets: Vec<StoredSecret> = self.secrets.iter().map(ended).collect();
        if self.live_secrets(at).any(|live| live.id != secret) {
            return (found.end_reason != Some(EndReason::Compromised)).then(|| Self { secrets, ..self.clone() });
        }
        let state = self.state.revoke(at, RevocationReason::Compromised)?;
        let reason = Some(RevocationReason::Compromised.name().to_owned());
        let state_changed = Some(StateChange { at, by: by.to_owned(), reason });
        Some(Self { state, state_changed, secrets: self.secrets.clone(), ..self.clone() })
    }
}
