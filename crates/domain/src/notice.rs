//! Notices: what owners, and the person concerned, are told without having asked.
//!
//! A notice is a fact of one organization, written in the transaction that made it true; who hears of it and how is the
//! outbox's business.

use crate::id::{OrganizationId, UserId};
use crate::right::words;
use crate::time::Timestamp;

words! {
    /// What happened.
    NoticeKind {
        /// A key ends soon.
        KeyExpiring = "key.expiring";
        /// A secret that is still used ends soon.
        SecretEnding = "key.secret_ending";
        /// A key was used from where it had not been before.
        NewCaller = "key.new_caller";
        /// A key was found where it does not belong.
        KeyExposed = "key.exposed";
        /// Whoever held a key ended it.
        KeySelfRevoked = "key.self_revoked";
        /// An ended key was used.
        EndedKeyUsed = "key.ended_key_used";
        /// A canary key was used.
        CanaryHit = "key.canary_hit";
        /// A key spends far more than it did.
        SpendSpike = "key.spend_spike";
        /// A member joined.
        MemberJoined = "member.joined";
        /// A member left; keys they have seen may need rotation.
        MemberRemoved = "member.removed";
    }
}

/// One fact to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// Whose owners hear of it.
    pub organization: OrganizationId,
    /// Who else does: the owner of a key.
    pub also: Option<UserId>,
    /// The id of the object it is about.
    pub object: String,
    /// A JSON object of short texts that the mail shows: `name`, `at`, `address`, …. Never a secret.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

words! {
    /// What a mail is, which is also its template.
    MailKind {
        /// Join an organization.
        Invite = "invite";
        /// Prove that mail arrives.
        Verify = "verify";
        /// Choose a new password.
        Reset = "reset";
        /// Somebody signed up with an address that is known.
        AlreadyKnown = "already_known";
        /// A [`Notice`].
        Notice = "notice";
    }
}
