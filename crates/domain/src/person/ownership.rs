//! The last owner: an organization always keeps at least one who can act (`keys.md` §7).
//!
//! The count is taken under the lock of the organization's row; that lock is storage's.

use super::UserState;
use crate::id::UserId;
use crate::right::Role;

/// What shall become of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They get this role.
    Role(Role),
    /// They go.
    Gone,
}

/// Would leave the organization without an active owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the last owner of an organization stays")]
pub struct LastOwner;

/// Whether an active owner is left when `who` meets `fate`. `owners` are all present owners with their state.
///
/// # Errors
/// [`LastOwner`] when none would be left.
pub fn keeps_an_owner(owners: &[(UserId, UserState)], who: UserId, fate: Fate) -> Result<(), LastOwner> {
    let is_owner = owners.iter().any(|(user, _)| *user == who);
    if !is_owner || fate == Fate::Role(Role::Owner) {
        return Ok(());
    }
    let others = owners.iter().any(|(user, state)| *user != who && *state == UserState::Active);
    if others { Ok(()) } else { Err(LastOwner) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_active_owner_stays() {
        let (ann, bob, cat) = (UserId::from_u128(1), UserId::from_u128(2), UserId::from_u128(3));
        let both = [(ann, UserState::Active), (bob, UserState::Active)];
        let one = [(ann, UserState::Active), (bob, UserState::Disabled)];
        assert_eq!(keeps_an_owner(&both, ann, Fate::Gone), Ok(()));
        assert_eq!(keeps_an_owner(&both, ann, Fate::Role(Role::Admin)), Ok(()));
        assert_eq!(keeps_an_owner(&one, ann, Fate::Gone), Err(LastOwner));
        assert_eq!(keeps_an_owner(&one, ann, Fate::Role(Role::Admin)), Err(LastOwner));
        assert_eq!(keeps_an_owner(&one, ann, Fate::Role(Role::Owner)), Ok(()));
        assert_eq!(keeps_an_owner(&one, bob, Fate::Gone), Ok(()));
        assert_eq!(keeps_an_owner(&one, cat, Fate::Gone), Ok(()), "no owner goes");
    }
}
