//! An invite: bound to an address and a role, used once, and worth no more than its inviter's rights at that moment.
//!
//! The token in the link is known only to the mail; what is kept is its digest, and that is not here.

use super::EmailAddress;
use crate::error::Code;
use crate::id::{InviteId, OrganizationId, UserId};
use crate::right::{Creators, Extent, Permission, Role, Standing, words};
use crate::time::Timestamp;

words! {
    /// Where an invite stands.
    InviteStatus {
        /// It waits.
        Pending = "pending";
        /// Somebody joined by it.
        Accepted = "accepted";
        /// Nobody came in time.
        Expired = "expired";
        /// It was taken back.
        Withdrawn = "withdrawn";
    }
}

/// Somebody asked to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: InviteId,
    /// Into which organization.
    pub organization: OrganizationId,
    /// Whom.
    pub email: EmailAddress,
    /// As what.
    pub role: Role,
    /// Who invited: `usr_…`, `key_…`, or `operator`.
    pub invited_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When somebody joined by it.
    pub accepted_at: Option<Timestamp>,
    /// Who that was.
    pub accepted_by: Option<UserId>,
    /// When it was taken back.
    pub withdrawn_at: Option<Timestamp>,
}

impl Invite {
    /// Where it stands now.
    pub fn status(&self, now: Timestamp) -> InviteStatus {
        if self.accepted_at.is_some() {
            InviteStatus::Accepted
        } else if self.withdrawn_at.is_some() {
            InviteStatus::Withdrawn
        } else if now >= self.expires_at {
            InviteStatus::Expired
        } else {
            InviteStatus::Pending
        }
    }

    /// Whether `email` may join by it now, as `asked` if the request names a role. `inviter` is what the inviter
    /// stands on at this moment; `None` = they have left, or their key has ended (`reliability.md` §4, row 70).
    ///
    /// # Errors
    /// `InviteUsed`, `InviteExpired`, `InviteWithdrawn`, `InviteMismatch`.
    pub fn accept(
        &self,
        email: &EmailAddress,
        asked: Option<Role>,
        inviter: Option<&Standing>,
        creators: Creators,
        now: Timestamp,
    ) -> Result<(), Code> {
        match self.status(now) {
            InviteStatus::Accepted => return Err(Code::InviteUsed),
            InviteStatus::Withdrawn => return Err(Code::InviteWithdrawn),
            InviteStatus::Expired => return Err(Code::InviteExpired),
            InviteStatus::Pending => {}
        }
        if *email != self.email || asked.is_some_and(|asked| asked != self.role) {
            return Err(Code::InviteMismatch);
        }
        if inviter.is_some_and(|inviter| may_give(inviter, self.role, creators)) {
            Ok(())
        } else {
            Err(Code::InviteWithdrawn)
        }
    }
}

/// Whether somebody who stands on `giver` may make others a `given`: they manage members, and no permission of the given
/// role is beyond theirs (`keys.md` §8).
pub fn may_give(giver: &Standing, given: Role, creators: Creators) -> bool {
    giver.extent(Permission::MembersManage, creators) != Extent::None
        && Standing::Member(given).is_at_most(giver, creators)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::right::Bound;

    const CREATORS: Creators = Creators::Owners;

    fn invite() -> Invite {
        Invite {
            id: InviteId::from_u128(1),
            organization: OrganizationId::from_u128(2),
            email: EmailAddress::parse("mo@acme.io").unwrap(),
            role: Role::Developer,
            invited_by: "usr_x".to_owned(),
            created_at: Timestamp(0),
            expires_at: Timestamp(100),
            accepted_at: None,
            accepted_by: None,
            withdrawn_at: None,
        }
    }

    #[test]
    fn row_70_each_bad_invite_has_its_own_answer() {
        let now = Timestamp(50);
        let mo = EmailAddress::parse("mo@acme.io").unwrap();
        let other = EmailAddress::parse("other@acme.io").unwrap();
        let owner = Some(&Standing::Member(Role::Owner));
        assert_eq!(invite().accept(&mo, None, owner, CREATORS, now), Ok(()));
        assert_eq!(invite().accept(&mo, Some(Role::Developer), owner, CREATORS, now), Ok(()));
        let used = Invite { accepted_at: Some(Timestamp(1)), ..invite() };
        assert_eq!(used.accept(&mo, None, owner, CREATORS, now), Err(Code::InviteUsed));
        assert_eq!(invite().accept(&mo, None, owner, CREATORS, Timestamp(100)), Err(Code::InviteExpired));
        let withdrawn = Invite { withdrawn_at: Some(Timestamp(1)), ..invite() };
        assert_eq!(withdrawn.accept(&mo, None, owner, CREATORS, now), Err(Code::InviteWithdrawn));
        assert_eq!(invite().accept(&other, None, owner, CREATORS, now), Err(Code::InviteMismatch));
        assert_eq!(invite().accept(&mo, Some(Role::Owner), owner, CREATORS, now), Err(Code::InviteMismatch));
        for inviter in [None, Some(Role::Developer), Some(Role::Viewer), Some(Role::Billing)] {
            let inviter = inviter.map(Standing::Member);
            assert_eq!(invite().accept(&mo, None, inviter.as_ref(), CREATORS, now), Err(Code::InviteWithdrawn));
        }
        let key = |owner| Standing::AdminKey { role: Role::Owner, owner };
        assert_eq!(invite().accept(&mo, None, Some(&key(Bound::Role(Role::Admin))), CREATORS, now), Ok(()));
        for owner in [Bound::Gone, Bound::Role(Role::Viewer)] {
            assert_eq!(invite().accept(&mo, None, Some(&key(owner)), CREATORS, now), Err(Code::InviteWithdrawn));
        }
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let may_give = |giver, given, creators| may_give(&Standing::Member(giver), given, creators);
        for given in Role::ALL {
            assert!(may_give(Role::Owner, *given, CREATORS));
            assert!(!may_give(Role::Developer, *given, CREATORS) && !may_give(Role::Viewer, *given, CREATORS));
        }
        assert!(may_give(Role::Admin, Role::Admin, CREATORS) && may_give(Role::Admin, Role::Developer, CREATORS));
        assert!(!may_give(Role::Admin, Role::Owner, CREATORS) && !may_give(Role::Admin, Role::Billing, CREATORS));
    }
}
