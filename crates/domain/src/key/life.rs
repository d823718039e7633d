//! The life of a key, pure: what each act makes of a key at an instant, or why it is refused (`keys.md` §4).
//!
//! Every function takes the key as it is under its lock and gives the next version of it; `None` = it is so already.
//! Who acts and whether they may is not known here; how it becomes rows and news is storage's business.

use super::record::{AtDeadline, EndReason, Key, StateChange, StoredSecret};
use super::state::{KeyState, RevocationReason, StoredState};
use crate::id::SecretId;
use crate::limits;
use crate::secret::Digest;
use crate::time::Timestamp;
use std::time::Duration;

/// Secrets that a key may have alive at once.
pub const LIVE_SECRETS: usize = 3;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Why an act is refused, beyond rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwilling {
    /// The key is revoked, and that is final.
    #[error("the key is revoked")]
    Revoked,
    /// Only an active key is rotated or issued again.
    #[error("the key is {}", .0.name())]
    NotActive(KeyState),
    /// It has as many live secrets as it may; one of them ends next.
    #[error("the key has three live secrets")]
    TooManySecrets {
        /// When, if any of them ends by itself.
        next_end: Option<Timestamp>,
    },
    /// The newest secret was used: it arrived, so it is not lost.
    #[error("the secret was used")]
    SecretUsed,
    /// More than ten minutes have passed since it was made.
    #[error("the time for issuing it again is over")]
    WindowOver,
    /// The newest secret ends with the key, by revocation.
    #[error("it is the key's newest secret")]
    NewestSecret,
    /// The key has no such secret.
    #[error("no such secret")]
    UnknownSecret,
    /// The secret has ended, or nothing ends it: there is no overlap to extend.
    #[error("there is no overlap to extend")]
    NoOverlap,
    /// An overlap lasts 30 days from the rotation at most.
    #[error("an overlap lasts 30 days at most")]
    TooLate {
        /// The latest end.
        latest: Timestamp,
    },
}

/// How a rotation treats the older secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long they live on.
    pub overlap: Duration,
    /// After how many quiet hours they end early.
    pub finish_when_quiet_hours: Option<u32>,
    /// What happens at the end of the overlap if they are still in use.
    pub at_deadline: AtDeadline,
}

/// A new text for a key: what is kept of it.
#[derive(Clone, Debug)]
pub struct NewText {
    /// The peppered digest.
    pub digest: Digest,
    /// Which pepper.
    pub pepper_version: u16,
    /// How lists show it.
    pub redacted: String,
}

/// Gives the key a new secret; older live ones end after the overlap, and never later than they would have.
///
/// # Errors
/// The key is not active, or has three live secrets.
pub fn rotate(
    key: &Key,
    id: SecretId,
    text: NewText,
    how: Rotation,
    by: &str,
    now: Timestamp,
) -> Result<Key, Unwilling> {
    require_active(key, now)?;
    let live = key.live_secrets(now).count();
    if !how.overlap.is_zero() && live >= LIVE_SECRETS {
        let next_end = key.live_secrets(now).filter_map(|secret| secret.ends_at).min();
        return Err(Unwilling::TooManySecrets { next_end });
    }
    let mut next = key.clone();
    let overlap_end = now.plus(how.overlap);
    let end = key.expires_at.map_or(overlap_end, |expiry| expiry.min(overlap_end));
    for secret in next.secrets.iter_mut().filter(|secret| secret.is_live(now)) {
        secret.ends_at = Some(secret.ends_at.map_or(end, |former| former.min(end)));
        secret.finish_when_quiet_hours = how.finish_when_quiet_hours;
        secret.at_deadline = how.at_deadline;
        secret.reissue_until = None;
        if how.overlap.is_zero() {
            (secret.ended_at, secret.end_reason) = (Some(now), Some(EndReason::Replaced));
        }
    }
    let number = key.secrets.iter().map(|secret| secret.number).max().unwrap_or(0).saturating_add(1);
    let NewText { digest, pepper_version, redacted } = text;
    let secret = StoredSecret {
        number,
        created_by: by.to_owned(),
        reissue_until: Some(now.plus(limits::REISSUE_WINDOW)),
        ..StoredSecret::new(id, digest, pepper_version, redacted, now)
    };
    next.secrets.insert(0, secret);
    next.rotation_due_since = None;
    Ok(next)
}

/// Gives the newest secret another text, because the first was lost on its way: it was never used, and is ten minutes old
/// at most. It keeps id and number; the lost text ends as a secret of its own, `lost`, behind the others: whoever finds and
/// tries it is told that it was replaced, and the owners hear of it.
///
/// # Errors
/// Used, too old or issued again too often, or the key is not active.
pub fn reissue(key: &Key, text: NewText, lost: SecretId, by: &str, now: Timestamp) -> Result<Key, Unwilling> {
    require_active(key, now)?;
    let mut next = key.clone();
    let newest = next.secrets.first_mut().ok_or(Unwilling::UnknownSecret)?;
    if newest.first_used_at.is_some() || newest.last_used_at.is_some() {
        return Err(Unwilling::SecretUsed);
    }
    if newest.reissue_until.is_none_or(|until| now >= until) {
        return Err(Unwilling::WindowOver);
    }
    if key.secrets.iter().filter(|secret| secret.is_lost() && secret.number == newest.number).count()
        >= limits::REISSUES
    {
        return Err(Unwilling::WindowOver);
    }
    let (ended_at, end_reason) = (Some(now), Some(EndReason::Reissued));
    let lost = StoredSecret { id: lost, ended_at, end_reason, reissue_until: None, ..newest.clone() };
    let NewText { digest, pepper_version, redacted } = text;
    (newest.digest, newest.pepper_version, newest.redacted) = (digest, pepper_version, redacted);
    newest.recipe = super::record::Recipe::Native;
    newest.created_by = by.to_owned();
    next.secrets.push(lost);
    Ok(next)
}

/// Ends one older secret now.
///
/// # Errors
/// It is the newest, or unknown.
pub fn end_secret(key: &Key, id: SecretId, now: Timestamp) -> Result<Option<Key>, Unwilling> {
    if let StoredState::Revoked { .. } = key.state {
        return Err(Unwilling::Revoked);
    }
    let secret = key.secrets.iter().find(|secret| secret.id == id).ok_or(Unwilling::UnknownSecret)?;
    if !secret.is_live(now) {
        return Ok(None);
    }
    if key.newest().is_some_and(|newest| newest.id == id) {
        return Err(Unwilling::NewestSecret);
    }
    Ok(Some(with_end(key, id, EndReason::Ended, now)))
}

/// Lets an older secret live until `until`.
///
/// # Errors
/// Later than 30 days from the rotation, or nothing to extend.
pub fn extend_secret(key: &Key, id: SecretId, until: Timestamp, now: Timestamp) -> Result<Option<Key>, Unwilling> {
    if let StoredState::Revoked { .. } = key.state {
        return Err(Unwilling::Revoked);
    }
    let secret = key.secrets.iter().find(|secret| secret.id == id).ok_or(Unwilling::UnknownSecret)?;
    let former = secret.ends_at.filter(|_| secret.is_live(now)).ok_or(Unwilling::NoOverlap)?;
    let latest = latest_end(key, secret);
    if until > latest {
        return Err(Unwilling::TooLate { latest });
    }
    if until <= former {
        return Ok(None);
    }
    let mut next = key.clone();
    next.secrets.iter_mut().filter(|secret| secret.id == id).for_each(|secret| secret.ends_at = Some(until));
    Ok(Some(next))
}

/// Revokes the key for ever. Of a revoked one only an upgrade to `compromised` is new.
pub fn revoke(key: &Key, reason: RevocationReason, by: &str, now: Timestamp) -> Option<Key> {
    let state = key.state.revoke(now, reason)?;
    Some(turned(key, state, Some(reason), by, now))
}

/// Disables the key, reversibly.
///
/// # Errors
/// It is revoked.
pub fn disable(
    key: &Key,
    reason: Option<RevocationReason>,
    by: &str,
    now: Timestamp,
) -> Result<Option<Key>, Unwilling> {
    let state = key.state.disable(now).map_err(|_refused| Unwilling::Revoked)?;
    Ok((state != key.state).then(|| turned(key, state, reason, by, now)))
}

/// Enables the key.
///
/// # Errors
/// It is revoked.
pub fn enable(key: &Key, reason: Option<RevocationReason>, by: &str, now: Timestamp) -> Result<Option<Key>, Unwilling> {
    let state = key.state.enable().map_err(|_refused| Unwilling::Revoked)?;
    Ok((state != key.state).then(|| turned(key, state, reason, by, now)))
}

/// What time does to older secrets: it ends those whose overlap is over or that are quiet, and extends those that are
/// still in use where the rotation said so.
pub fn tend(key: &Key, now: Timestamp) -> Option<Key> {
    let is_replaced_in_use = key.newest()?.first_used_at.is_some();
    let newest = key.newest()?.id;
    let mut next = key.clone();
    let mut is_changed = false;
    for secret in next.secrets.iter_mut().filter(|secret| secret.id != newest && secret.ended_at.is_none()) {
        let Some(ends_at) = secret.ends_at else { continue };
        let used = secret.last_used_at;
        let is_in_use = used.is_some_and(|at| at > now.minus(DAY));
        let quiet = secret.finish_when_quiet_hours.map(|hours| HOUR.saturating_mul(hours));
        let quiet_since = used.unwrap_or(secret.created_at).max(replaced_at(key, secret));
        let later = ends_at.plus(DAY).min(latest_end(key, secret));
        if now >= ends_at {
            (secret.ended_at, secret.end_reason) = (Some(ends_at), Some(EndReason::Replaced));
            is_changed = true;
        } else if is_replaced_in_use && quiet.is_some_and(|quiet| now >= quiet_since.plus(quiet)) {
            (secret.ends_at, secret.ended_at, secret.end_reason) = (Some(now), Some(now), Some(EndReason::Replaced));
            is_changed = true;
        } else if secret.at_deadline == AtDeadline::Extend && is_in_use && now >= ends_at.minus(HOUR) && later > ends_at
        {
            secret.ends_at = Some(later);
            is_changed = true;
        }
    }
    is_changed.then_some(next)
}

/// Whether an older secret may be ended without anybody noticing: it is quiet for an hour, and the newest is in use.
pub fn is_safe_to_end(key: &Key, secret: &StoredSecret, now: Timestamp) -> bool {
    let is_newest = key.newest().is_some_and(|newest| newest.id == secret.id);
    let is_quiet = secret.last_used_at.is_none_or(|at| now >= at.plus(HOUR));
    !is_newest && secret.is_live(now) && is_quiet && key.newest().is_some_and(|newest| newest.first_used_at.is_some())
}

fn require_active(key: &Key, now: Timestamp) -> Result<(), Unwilling> {
    match key.state_at(now) {
        KeyState::Active => Ok(()),
        KeyState::Revoked { .. } => Err(Unwilling::Revoked),
        state => Err(Unwilling::NotActive(state)),
    }
}

/// When the secret was replaced: when the next one was made.
fn replaced_at(key: &Key, secret: &StoredSecret) -> Timestamp {
    let later = key.secrets.iter().filter(|other| other.number > secret.number);
    later.min_by_key(|other| other.number).map_or(secret.created_at, |other| other.created_at)
}

fn latest_end(key: &Key, secret: &StoredSecret) -> Timestamp {
    let latest = replaced_at(key, secret).plus(limits::OVERLAP_MAX);
    key.expires_at.map_or(latest, |expiry| expiry.min(latest))
}

fn with_end(key: &Key, id: SecretId, reason: EndReason, now: Timestamp) -> Key {
    let mut next = key.clone();
    for secret in next.secrets.iter_mut().filter(|secret| secret.id == id) {
        secret.ended_at = Some(secret.ended(now).unwrap_or(now));
        secret.end_reason = Some(reason);
    }
    next
}

fn turned(key: &Key, state: StoredState, reason: Option<RevocationReason>, by: &str, now: Timestamp) -> Key {
    let reason = reason.map(|reason| reason.name().to_owned());
    Key { state, state_changed: Some(StateChange { at: now, by: by.to_owned(), reason }), ..key.clone() }
}

#[cfg(test)]
mod tests;
