//! How an act on a key ended, as an answer; and the one check that nobody makes a key stronger than they are.

use crate::authorize::Member;
use crate::respond::Refusal;
use claviger_domain::error::Code;
use claviger_domain::key::{Key, Unwilling};
use claviger_domain::limits;
use claviger_domain::right::Permission;
use claviger_domain::rights::{Exceeds, Rights, is_within};
use claviger_storage::{ChangeKeyOutcome, Changed};

/// Why an act on a key is refused while its lock is held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Denied {
    /// The key's life forbids it.
    Unwilling(Unwilling),
    /// The result would be more than the caller.
    Exceeds(Exceeds),
}

impl From<Unwilling> for Denied {
    fn from(unwilling: Unwilling) -> Self {
        Self::Unwilling(unwilling)
    }
}

impl From<Exceeds> for Denied {
    fn from(exceeds: Exceeds) -> Self {
        Self::Exceeds(exceeds)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unwilling(unwilling) => of_life(unwilling),
            Denied::Exceeds(Exceeds { what }) => Refusal::because(
                Code::PermissionDenied,
                format!("The key would be allowed more than you are: '{what}'. Ask somebody who may do that."),
            )
            .about(what),
        }
    }
}

/// An act that was done, now or before under the same Idempotency-Key.
pub(crate) enum Done {
    /// Now.
    Now(Changed),
    /// Before: the key as it is now.
    Before(Key),
}

/// What the store says, as an answer.
pub(crate) fn settle<E: Into<Refusal>>(outcome: Option<ChangeKeyOutcome<E>>) -> Result<Done, Refusal> {
    match outcome.ok_or_else(Refusal::not_found)? {
        ChangeKeyOutcome::Changed(changed) => Ok(Done::Now(changed)),
        ChangeKeyOutcome::Repeated { key } => Ok(Done::Before(key)),
        ChangeKeyOutcome::Refused(refused) => Err(refused.into()),
        ChangeKeyOutcome::Stale => Err(Code::VersionConflict.into()),
        ChangeKeyOutcome::OtherBody => Err(Code::IdempotencyKeyReused.into()),
        ChangeKeyOutcome::LimitReached { limit, unused } => Err(limit_reached(limit, unused)),
    }
}

/// As [`settle`], for acts without an Idempotency-Key.
pub(crate) fn changed<E: Into<Refusal>>(outcome: Option<ChangeKeyOutcome<E>>) -> Result<Changed, Refusal> {
    match settle(outcome)? {
        Done::Now(changed) => Ok(changed),
        Done::Before(_) => Err(Code::InternalError.into()),
    }
}

/// The organization has as many keys as it may.
pub(crate) fn limit_reached(limit: u32, unused: u32) -> Refusal {
    // Nobody counts further than that.
    let unused = if unused < limits::UNUSED_KEYS_COUNTED { unused.to_string() } else { format!("{unused} or more") };
    let message = format!(
        "This organization has {limit} of {limit} API keys; {unused} were not used for 90 days. Revoke one or ask the \
         operator for more."
    );
    Refusal::because(Code::KeyLimitReached, message)
}

/// Whether the key, as it shall be, is within what the caller may (`keys.md` §8).
pub(crate) fn check_within(key: &Key, maker: &Rights) -> Result<(), Denied> {
    Ok(is_within(&Rights::of_key(key), maker)?)
}

/// Asks for a permission that may reach the caller's own keys only.
pub(crate) fn require_own(actor: &Member, permission: Permission, key: &Key) -> Result<(), Refusal> {
    actor.require_own(permission, actor.owns(key.owner))
}

fn of_life(unwilling: Unwilling) -> Refusal {
    match unwilling {
        Unwilling::Revoked => Code::KeyIsRevoked.into(),
        Unwilling::NotActive(state) => Refusal::because(
            Code::KeyNotActive,
            format!("This key is {}; only an active key gets a new secret.", state.name()),
        ),
        Unwilling::TooManySecrets { next_end } => {
            let end = next_end.map_or(String::new(), |at| format!(" The next one ends at {at}."));
            Refusal::because(
                Code::TooManySecrets,
                format!("This key has three live secrets, as many as it may.{end} End one, or rotate without overlap."),
            )
        }
        Unwilling::SecretUsed => Code::SecretAlreadyUsed.into(),
        Unwilling::WindowOver => Code::ReissueWindowOver.into(),
        Unwilling::NewestSecret => Code::RevokeTheKey.into(),
        Unwilling::UnknownSecret => Refusal::not_found(),
        Unwilling::NoOverlap => Refusal::invalid("ends_at", "a secret whose overlap still runs"),
        Unwilling::TooLate { latest } => {
            Refusal::invalid("ends_at", format_args!("at most 30 days from the rotation, {}", latest.seconds()))
        }
    }
}
